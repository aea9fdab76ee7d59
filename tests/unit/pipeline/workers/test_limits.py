"""Which rate and which cap hold: the newest word of a start or of `ocrlabel set`."""

from __future__ import annotations

import asyncio

from ocrlabel.options import Options
from ocrlabel.pipeline.workers.limits import change_limits, limits_of, say_limits
from tests.support.clock import run_virtual
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore

CAP = frozenset({"max_cost"})


def hold(*said, then=None):
    """What holds for a start `then` after starts (Options) and settings (dict) in this order."""

    async def story():
        store = DictStore()
        for n, one in enumerate(said):
            me = run_of(runtime(store, f"w{n + 1}"))
            if isinstance(one, Options):
                await say_limits(me, one)
            else:
                await change_limits(me, one)
        limits = await limits_of(run_of(runtime(store)))
        options = limits.hold_for(then or Options())
        return options.max_cost, options.rps, len(store.objects)

    return run_virtual(story())


def test_nothing_holds_where_nothing_was_said():
    assert hold(Options()) == (None, None, 0)


def test_what_one_start_said_holds_for_the_next_that_says_nothing():
    assert hold(Options(max_cost=5.0, rps=3.0), Options()) == (5.0, 3.0, 1)


def test_a_later_start_wins_over_an_earlier_setting_and_a_setting_over_an_earlier_start():
    start = Options(max_cost=5.0)
    assert hold(start, {"max_cost_usd": 20.0}) == (20.0, None, 2)
    assert hold(start, {"max_cost_usd": 20.0}, then=start) == (5.0, None, 2)


def test_saying_the_same_again_writes_nothing():
    start = Options(max_cost=5.0, rps=2.0)
    assert hold(start, start, start) == (5.0, 2.0, 1)


def test_the_retry_of_a_job_does_not_take_back_what_was_set_since():
    start = Options(max_cost=5.0, job="job-1")
    assert hold(start, {"max_cost_usd": 20.0}, start, then=start) == (20.0, None, 2)


def test_another_job_says_its_own():
    first, second = (Options(max_cost=cost, job=f"job-{cost}") for cost in (5.0, 2.0))
    assert hold(first, {"max_cost_usd": 20.0}, second, then=second) == (2.0, None, 3)


def test_a_limit_is_lifted_by_name_and_the_other_one_stays():
    start = Options(max_cost=5.0, rps=3.0)
    assert hold(start, Options(lifted=CAP)) == (None, 3.0, 2)
    assert hold(start, then=Options(lifted=CAP))[:2] == (None, 3.0)


def test_the_children_of_an_array_that_start_at_once_say_it_once():
    async def story():
        store, start = DictStore(), Options(max_cost=5.0, job="job-1")
        await asyncio.gather(
            *(say_limits(run_of(runtime(store, f"w{n}")), start) for n in range(1, 9))
        )
        return len(store.objects)

    assert run_virtual(story()) == 1
