from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.engine import Lane
from ocrlabel.errors import BudgetReached, Rejected, Unavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.budget.attempts import AttemptClaimer
from ocrlabel.pipeline.budget.budget import BudgetLedger
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.workers.limits import change_limits
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, Frozen, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, Told, go, made, run_of, runtime
from tests.support.stores import DictStore

LIFTED = frozenset({"max_cost"})


def capped(usd: float | None, **more) -> Options:
    return Options(batch_size=10, max_cost=usd, **more)


@pytest.mark.parametrize("cap", [0, 1, 2, 7, 12, 19])
def test_a_cap_is_reached_and_never_passed_and_a_higher_one_goes_on(cap):
    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01)

    async def story():
        with pytest.raises(BudgetReached):
            await go(store, made(20), engine, capped(cap * 0.01))
        spent = engine.billed.total()
        await go(store, made(20), engine, capped(0.20), worker="w2")
        return spent

    assert run_virtual(story()) == cap
    assert engine.billed.total() == 20


@pytest.mark.parametrize("cut", [8, 14, 20])
def test_a_cap_holds_for_whoever_goes_on_without_naming_one_also_after_a_death(cut):
    store, engine, told = DictStore(), BillingEngine(price_per_page_usd=0.01), Told()

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, cut), made(60), engine, capped(0.30))
        with pytest.raises(BudgetReached):
            await go(store, made(60), engine, capped(None), worker="w2", told=told)
        return engine.asked.total()

    assert run_virtual(story()) <= 30
    assert any("the cap of 0.3000 USD" in e.message for e in told.events if isinstance(e, Notice))


def test_a_cap_that_is_lifted_holds_no_more():
    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01)

    async def story():
        with pytest.raises(BudgetReached):
            await go(store, made(20), engine, capped(0.05))
        return await go(store, made(20), engine, capped(None, lifted=LIFTED), worker="w2")

    assert run_virtual(story()).record.max_cost_usd is None
    assert engine.billed.total() == 20


def test_a_worker_that_joins_with_a_cap_caps_the_whole_fleet():
    store = DictStore()
    engine = BillingEngine(price_per_page_usd=0.01, lanes=(Lane("key", 1.0, None),))

    async def joins():
        await sleep(30.0)
        await go(store, made(400), engine, capped(0.90), worker="w2", host="b")

    async def story():
        first = go(store, made(400), engine, capped(None), worker="w1", host="a")
        return await asyncio.gather(first, joins(), return_exceptions=True)

    ended = run_virtual(story())
    assert [type(one) for one in ended] == [BudgetReached, BudgetReached]
    assert 80 < engine.asked.total() <= 90


async def set_limits(store, after_s, **changes):
    """What `ocrlabel set` does, after a while."""
    await sleep(after_s)
    run_id = json.loads(store.objects[LAYOUT.plan_key])["run_id"]
    await change_limits(run_of(runtime(store, "w9"), run_id), changes)


@pytest.mark.parametrize("cap", [5, 25, 30, 40, 63, 70])
def test_a_cap_that_is_lowered_under_a_live_fleet_holds_with_the_next_heartbeat(cap):
    store = DictStore()
    engine = BillingEngine(price_per_page_usd=0.01, lanes=(Lane("key", 1.0, None),))

    async def story():
        workers = [
            go(store, made(400), engine, capped(None), worker=f"w{n}", host=f"h{n}") for n in (1, 2)
        ]
        setting = set_limits(store, 25.0, max_cost_usd=cap * 0.01)
        ended = await asyncio.gather(*workers, setting, return_exceptions=True)
        return [type(one) for one in ended]

    assert run_virtual(story()) == [BudgetReached, BudgetReached, type(None)]
    one_beat_at_1_rps = 6
    assert engine.asked.total() <= max(cap, 25 + one_beat_at_1_rps)


def test_a_cap_that_is_raised_reaches_a_worker_that_waits_for_one_that_may_be_dead():
    store = DictStore()
    engine = BillingEngine(price_per_page_usd=0.01, lanes=(Lane("key", 5.0, None),))

    async def somebody_holds_a_grant():
        await sleep(1.0)
        run_id = json.loads(store.objects[LAYOUT.plan_key])["run_id"]
        ledger = BudgetLedger(run_of(runtime(store, "w7", host="b"), run_id), duration_s=60.0)
        while not await ledger.append("grant", "w7", 10):
            await ledger.refresh()

    async def story():
        run = go(store, made(60), engine, capped(0.40), host="a")
        raised = set_limits(store, 30.0, max_cost_usd=5.0)
        return (await asyncio.gather(run, somebody_holds_a_grant(), raised))[0]

    assert run_virtual(story()).record.labelled == 60


def test_a_cap_means_nothing_where_nothing_costs_anything():
    engine = BillingEngine(price_per_page_usd=0.0)
    assert run_virtual(go(DictStore(), made(5), engine, capped(5.0))).record.labelled == 5


def test_what_a_start_says_itself_is_no_news_to_it():
    told, engine = Told(), BillingEngine(price_per_page_usd=0.01)
    run_virtual(go(DictStore(), made(5), engine, capped(5.0), told=told))
    assert not [e for e in told.events if isinstance(e, Notice) and e.kind == "settings"]


@given(cuts=st.lists(st.integers(1, 60), max_size=4), cap=st.integers(5, 25))
@settings(max_examples=25)
def test_deaths_never_make_a_run_spend_more_than_its_cap(cuts, cap):
    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01)
    options = Options(batch_size=10, max_cost=cap * 0.01)

    async def story():
        for number, cut in enumerate(cuts):
            try:
                await go(DiesAfter(store, cut), made(20), engine, options, worker=f"w{number + 1}")
            except (PowerCut, BudgetReached):
                continue
        try:
            await go(store, made(20), engine, options, worker="w9")
        except BudgetReached:
            return False
        return True

    done = run_virtual(story())
    assert engine.asked.total() <= cap
    if done:
        assert len(engine.billed) == 20


def test_of_a_dead_workers_grant_only_what_it_asked_for_stays_spent():
    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01)
    options = Options(batch_size=10, max_cost=0.15)

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 10), made(40), engine, options)
        claimed = sum("/asks/" in key for key in store.objects)
        before = engine.asked.total()
        with pytest.raises(BudgetReached):
            await go(store, made(40), engine, options, worker="w2")
        return claimed, engine.asked.total() - before

    claimed, asked_by_the_next = run_virtual(story())
    assert claimed > 0
    assert claimed + asked_by_the_next == 15


def test_a_cap_counts_what_was_spent_before_it_was_set():
    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01)

    async def story():
        await go(store, made(60), engine, Options(batch_size=10, limit=30))
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 12), made(60), engine, worker="w2")
        options = Options(batch_size=10, max_cost=0.45)
        with pytest.raises(BudgetReached):
            await go(store, made(60), engine, options, worker="w3")

    run_virtual(story())
    assert 30 < engine.asked.total() <= 45


def test_the_rounds_of_one_process_share_one_cap():
    def refused_at_first(image, attempt):
        late = int(image.split()[1]) >= 20
        return Rejected("no", status=400) if attempt == 1 and late else None

    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01, trouble=refused_at_first)
    options = Options(batch_size=50, max_cost=0.50, retry_failed=())

    async def story():
        with pytest.raises(BudgetReached):
            await go(store, made(100), engine, options)

    run_virtual(story())
    assert engine.billed.total() == 50


def test_a_second_round_does_not_spend_what_the_first_one_spent_again():
    def lost_at_first(image, attempt):
        early = int(image.split()[1]) < 2
        return Unavailable("try again", status=503) if attempt == 1 and early else None

    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01, trouble=lost_at_first)
    options = Options(batch_size=50, max_cost=0.60, attempts=1, retry_failed=())
    run_virtual(go(store, made(50), engine, options))
    assert engine.billed.total() == 50


@given(cut=st.integers(20, 70))
@settings(max_examples=15)
def test_a_death_in_a_retry_round_never_makes_a_run_spend_more_than_its_cap(cut):
    def refused_at_first(image, attempt):
        late = int(image.split()[1]) >= 10
        return Rejected("no", status=400) if attempt == 1 and late else None

    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01, trouble=refused_at_first)
    options = Options(batch_size=50, max_cost=0.30)
    again = Options(batch_size=50, max_cost=0.30, retry_failed=())

    async def story():
        await go(store, made(40), engine, options)
        with pytest.raises((PowerCut, BudgetReached)):
            await go(DiesAfter(store, cut), made(40), engine, again, worker="w2")
        with pytest.raises(BudgetReached):
            await go(store, made(40), engine, again, worker="w3")

    run_virtual(story())
    assert engine.billed.total() <= 30


def test_a_request_that_was_lost_before_the_merge_counts_in_every_later_round():
    def refused_at_first(image, attempt):
        late = int(image.split()[1]) >= 10
        return Rejected("no", status=400) if attempt == 1 and late else None

    store, engine = DictStore(), BillingEngine(price_per_page_usd=0.01, trouble=refused_at_first)

    async def a_request_is_lost():
        await sleep(0.5)
        run_id = json.loads(store.objects[LAYOUT.plan_key])["run_id"]
        run = run_of(runtime(store, "w8", host="gone"), run_id)
        ledger = BudgetLedger(run, duration_s=60.0)
        while not await ledger.append("grant", "w8", 5):
            await ledger.refresh()
        times = {"send_within_s": 60.0, "request_timeout_s": 30.0, "margin_s": 15.0}
        assert await AttemptClaimer(run.round(), **times).claim("ab" * 32, 1, batch=0, pages=1)

    async def story():
        await asyncio.gather(go(store, made(20), engine, capped(0.16)), a_request_is_lost())
        assert engine.billed.total() == 10
        with pytest.raises(BudgetReached):
            await go(store, made(20), engine, capped(0.16, retry_failed=()), worker="w2")

    run_virtual(story())
    assert engine.billed.total() + 1 == 16


@given(after_s=st.floats(1.0, 12.0))
@settings(max_examples=15)
def test_a_worker_that_was_frozen_for_minutes_never_breaks_the_cap(after_s):
    store = DictStore()
    engine = BillingEngine(price_per_page_usd=0.01, lanes=(Lane("key", 5.0, None),))
    options = Options(batch_size=20, max_cost=0.40)

    async def story():
        frozen = Frozen(store, from_s=clock() + after_s, to_s=clock() + 400.0)
        ends = await asyncio.gather(
            go(frozen, made(200), engine, options, worker="w1", host="a"),
            go(store, made(200), engine, options, worker="w2", host="b"),
            return_exceptions=True,
        )
        return {type(end) for end in ends}

    assert run_virtual(story()) == {BudgetReached}
    assert engine.billed.total() <= 40
