"""What a person is told of a run: by its progress, by `status`, and by its account."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from ocrlabel.cli.progress import ProgressStatistics
from ocrlabel.cli.status import lines
from ocrlabel.engine import Lane
from ocrlabel.errors import BudgetReached, Interrupted, Rejected, Unavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.events import CapChanged, Notice, Started
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.status import read_status
from ocrlabel.pipeline.workers.limits import change_limits
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, BillingEngine, Told, go, made, runtime
from tests.support.stores import DictStore

TENS = Options(batch_size=10)
SLOW = (Lane("key", 2.0),)


class Watched(Told):
    """What a display counts, at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = ProgressStatistics(clock)

    def __call__(self, event):
        super().__call__(event)
        self.progress.take(event)

    @property
    def notices(self):
        return [event.message for event in self.events if isinstance(event, Notice)]


def test_two_workers_of_a_run_both_show_all_of_it_and_that_they_are_not_alone():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)
    watched = [Watched(), Watched()]
    halfway = []

    async def look():
        await sleep(60.0)
        halfway.extend((one.progress.done, one.progress.done_here) for one in watched)

    async def story():
        workers = (
            go(store, made(200), engine, TENS, worker=f"w{n}", host=f"h{n}", told=told)
            for n, told in enumerate(watched, 1)
        )
        await asyncio.gather(*workers, look())

    run_virtual(story())
    done_here = sum(here for _, here in halfway)
    assert all(here > 20 for _, here in halfway)
    # a heartbeat is at most five seconds old, and the rate is 2/s
    assert all(done_here - 15 <= done <= done_here + 15 for done, _ in halfway)
    assert [one.progress.done for one in watched] == [200, 200]
    assert "another worker is at work on this run: w2" in watched[0].notices
    assert "another worker is at work on this run: w1" in watched[1].notices


def stopped_and_gone_on(pause_s):
    """run.json of a run of 80 rows at 2/s that paused after 20 s."""
    store, engine = DictStore(), BillingEngine(lanes=SLOW)

    async def interrupted():
        stop = Stop(clock)
        asyncio.get_running_loop().call_later(20.0, lambda: stop.drain("enough", grace_s=10.0))
        with pytest.raises(Interrupted):
            await go(store, made(80), engine, TENS, stop=stop)

    async def story():
        await interrupted()
        await sleep(pause_s)
        status = await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)
        done = await go(store, made(80), engine, TENS, worker="w2")
        return status, done.record

    return run_virtual(story())


def test_the_pause_of_a_run_counts_neither_as_its_time_nor_in_its_rate():
    _, soon = stopped_and_gone_on(pause_s=0.0)
    status, late = stopped_and_gone_on(pause_s=10_000.0)
    assert late.ended_at_s - late.created_at_s > 10_000
    assert late.active_s == pytest.approx(soon.active_s, abs=10)
    assert late.requests_per_s == pytest.approx(soon.requests_per_s, rel=0.15)
    assert status.active_s == pytest.approx(21, abs=5)
    assert ("state", "stopped; the same command goes on") in lines(status, 0.0015)


@pytest.mark.parametrize("part", [{"limit": 12}, {"sample": 12}])
def test_a_part_is_counted_against_what_was_asked_for(part):
    store, engine = DictStore(), BillingEngine()
    first, second = Watched(), Watched()

    async def story():
        await go(store, made(30), engine, replace(TENS, limit=5), told=first)
        await go(store, made(30), engine, replace(TENS, **part), worker="w2", told=second)
        return await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)

    found = run_virtual(story())
    (started,) = (event for event in second.events if isinstance(event, Started))
    assert started.rows == 12
    assert started.done == 5 if "limit" in part else started.done < 5
    assert second.progress.done == 12
    assert "12 of 30 rows, as --limit and --sample ask for" in second.notices
    state = dict(lines(found, 0.0015))["state"]
    assert state.startswith("a part is done, as asked; without --limit and --sample")
    assert "last stopped" not in dict(lines(found, 0.0015))


def test_of_a_finished_batch_only_the_rows_that_are_asked_for_count():
    store, engine = DictStore(), BillingEngine(trouble=never_read)
    second = Watched()

    async def story():
        await go(store, made(30), engine, replace(TENS, limit=20))
        await go(store, made(30), engine, replace(TENS, limit=25), worker="w2")
        await go(store, made(30), engine, replace(TENS, limit=15), worker="w3", told=second)

    run_virtual(story())
    (started,) = (event for event in second.events if isinstance(event, Started))
    # two rows of every batch fail; of half a batch nobody knows which
    assert (started.rows, started.done, started.failed) == (15, 15, 2)


def never_read(image, _attempt):
    return Rejected("refused") if image[-1] in "34" else None


def test_a_part_that_was_done_is_not_told_once_a_worker_died_at_the_rest():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)

    async def story():
        await go(store, made(80), engine, replace(TENS, limit=10))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                await go(store, made(80), engine, TENS, worker="w2")
        return await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)

    shown = dict(lines(run_virtual(story()), 0.0015))
    assert shown["state"] == "stopped; the same command goes on"


def test_who_gives_up_says_where_it_asked_and_what_it_heard_last():
    message = "HTTP 503 from https://ocr.test/v1: the service failed"
    engine = BillingEngine(trouble=lambda *_: Unavailable(message, status=503))
    options = replace(TENS, give_up_after=60.0)
    with pytest.raises(Interrupted, match=f"the last: {message}"):
        run_virtual(go(DictStore(), made(20), engine, options))


def test_an_interrupted_run_after_a_part_says_stopped_and_not_that_its_part_is_done():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)

    async def story():
        await go(store, made(80), engine, replace(TENS, limit=10))
        stop = Stop(clock)
        asyncio.get_running_loop().call_later(20.0, lambda: stop.drain("enough", grace_s=10.0))
        with pytest.raises(Interrupted):
            await go(store, made(80), engine, TENS, worker="w2", stop=stop)
        return await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)

    shown = dict(lines(run_virtual(story()), 0.0015))
    assert shown["state"] == "stopped; the same command goes on"
    assert shown["last stopped"] == "enough"


def test_a_second_round_of_the_same_worker_uses_no_heartbeat_number_again():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)
    numbers = []
    put = store.put

    async def noted(key, data):
        if "/workers/" in key:
            numbers.append(int(key.rpartition("/")[2].removesuffix(".json")))
        await put(key, data)

    store.put = noted
    again = replace(TENS, retry_failed=())
    run_virtual(go(store, made(40, absent=[3]), engine, again))
    assert len(numbers) > 4
    assert numbers == sorted(set(numbers))


def test_time_left_is_not_told_from_a_handful_of_rows():
    store, engine = DictStore(), BillingEngine(lanes=SLOW)

    async def looks():
        found = []
        for wait_s in (3.0, 40.0):
            await sleep(wait_s)
            found.append(await read_status(runtime(store, "w3"), LAYOUT, watch_s=1.0))
        return found

    async def story():
        work = go(store, made(150), engine, replace(TENS, rps=2.0), host="far")
        _, found = await asyncio.gather(work, looks())
        return found

    early, later = run_virtual(story())
    assert early.left_s is None
    assert later.left_s is not None
    assert later.left_s == pytest.approx(later.tally.not_reached / 2, rel=0.3)


def test_the_account_of_a_run_says_how_long_it_was_worked_on():
    store = DictStore()
    done = run_virtual(go(store, made(20), BillingEngine()))
    status = run_virtual(read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0))
    assert status.active_s == done.record.active_s
    assert 2 <= done.record.active_s <= done.record.ended_at_s - done.record.created_at_s


def stopped_at_a_cap(*, and_then=None):
    """What status tells after a cap of twelve pages ended a run of fifty, and it was changed."""
    store, engine = DictStore(), BillingEngine()

    async def story():
        with pytest.raises(BudgetReached):
            await go(store, made(50), engine, Options(batch_size=10, max_cost=0.018))
        run = await find_run(runtime(store, "w2"), LAYOUT)
        if and_then is not None:
            await change_limits(run, {"max_cost_usd": and_then})
        return await read_status(runtime(store, "w3"), LAYOUT, watch_s=2.0)

    return dict(lines(run_virtual(story()), 0.0015))


def test_after_its_cap_status_says_so_and_what_goes_on():
    told = stopped_at_a_cap()
    assert told["cap"] == "0.0180 USD, for the whole run"
    assert told["state"].startswith("stopped at its cap; the command goes on with a higher")
    assert "ocrlabel set" in told["state"]


@pytest.mark.parametrize(("cap_usd", "at_it"), [(0.03, False), (0.018, True), (0.01, True)])
def test_once_the_cap_was_raised_the_same_command_goes_on(cap_usd, at_it):
    state = stopped_at_a_cap(and_then=cap_usd)["state"]
    assert state.startswith("stopped at its cap") is at_it


def test_a_rate_that_is_set_to_auto_is_told_as_auto():
    store, told = DictStore(), Told()
    engine = BillingEngine(latency_s=5.0, lanes=(Lane("key", 1.0, None),))

    async def story():
        options = Options(batch_size=10, rps=1.0)
        running = asyncio.ensure_future(go(store, made(50), engine, options, told=told))
        await sleep(12.0)
        run = await find_run(runtime(store, "w2"), LAYOUT)
        await change_limits(run, {"rps": None, "max_cost_usd": 5.0})
        await sleep(15.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(story())
    (said,) = [one.message for one in told.events if getattr(one, "kind", "") == "settings"]
    assert said == "changed for this run: --rps auto, --max-cost 5"
    assert CapChanged(5.0) in told.events
