"""The ledger of page grants: never above the cap, whoever is thought dead and comes back."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.errors import BudgetReached
from ocrlabel.pipeline.budget.budget import (
    BudgetClient,
    BudgetEntry,
    by_worker,
    holders,
    taken_pages,
)
from ocrlabel.pipeline.merge.settle_dead import settle_dead_workers
from ocrlabel.pipeline.workers.heartbeat import Heartbeats, WorkerReport
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore

_CAP = 100


def entries(*told):
    return [
        BudgetEntry(n, kind, who, pages, 60.0, 0.0) for n, (kind, who, pages) in enumerate(told)
    ]


class Worker:
    """A worker with a budget, that pays a page at a time. fleet: all of them, by name."""

    def __init__(self, store, name, fleet):
        me = runtime(store, name, host=name)
        run = run_of(me, price_usd=0.01, lease_s=60.0)
        self.budget = BudgetClient(run, cap=_CAP)
        self.heartbeats = Heartbeats(run, duration_s=60.0)
        self.spent = 0
        fleet[name] = self

        async def recount():
            return {worker: one.spent for worker, one in fleet.items()}

        self.budget.settle_dead_workers = partial(
            settle_dead_workers, me, self.budget, self.heartbeats, recount
        )

    async def spend(self, pages):
        try:
            for _ in range(pages):
                await self.budget.reserve(1)
                self.budget.pay(1, 1)
                self.spent += 1
        except BudgetReached:
            return


def test_a_settlement_counts_until_the_worker_takes_another_grant_on_top():
    told = entries(("grant", "a", 10), ("settle", "a", 4), ("grant", "b", 7), ("grant", "a", 3))
    assert by_worker(told) == {"a": 7, "b": 7}
    assert taken_pages(told[:3]) == 11
    assert set(holders(told)) == {"a", "b"}
    assert set(holders(told[:3])) == {"b"}


def test_a_worker_that_has_not_yet_beaten_is_not_taken_for_dead():
    async def story():
        store, fleet = DictStore(), {}
        joiner = Worker(store, "w1", fleet)
        other = Worker(store, "w2", fleet)
        await joiner.spend(10)
        began_s = clock()
        await other.spend(1000)
        waited_s = clock() - began_s
        await joiner.spend(1000)
        return joiner.spent + other.spent, waited_s

    spent, waited_s = run_virtual(story())
    assert spent == _CAP
    assert waited_s >= 60.0


@given(frozen_for_s=st.floats(0.0, 200.0))
def test_a_worker_that_was_frozen_and_settled_for_looks_before_it_spends_again(frozen_for_s):
    async def story():
        store, fleet = DictStore(), {}
        sleeper = Worker(store, "w1", fleet)
        other = Worker(store, "w2", fleet)
        await sleeper.heartbeats.beat(1, WorkerReport())
        await sleeper.spend(10)

        async def wakes():
            await sleep(frozen_for_s)
            await sleeper.heartbeats.beat(2, WorkerReport())
            await sleeper.spend(1000)

        await asyncio.gather(wakes(), other.spend(1000))
        return sleeper.spent + other.spent

    assert run_virtual(story()) <= _CAP


def test_what_was_reserved_before_a_freeze_is_not_covered_after_it():
    async def story():
        store, fleet = DictStore(), {}
        sleeper = Worker(store, "w1", fleet)
        await sleeper.budget.reserve(1)
        covered = [sleeper.budget.covers]
        await sleep(61)
        covered.append(sleeper.budget.covers)
        other = Worker(store, "w2", fleet)
        await other.spend(1000)
        asks_again = asyncio.ensure_future(sleeper.budget.reserve(1))
        await sleep(1)
        covered.append(sleeper.budget.covers)
        sleeper.budget.pay(1, 0)
        with pytest.raises(BudgetReached):
            await asks_again
        return covered, other.spent

    assert run_virtual(story()) == ([True, False, False], _CAP)
