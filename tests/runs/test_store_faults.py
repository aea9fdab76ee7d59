"""A store that fails or hangs at any one call, reads too: the same table, and nothing paid twice."""

from __future__ import annotations

import asyncio
import os

import pytest

from ocrlabel.errors import StoreUnavailable
from ocrlabel.options import Options
from tests.support.clock import run_virtual, sleep
from tests.support.faults import TroubleAt
from tests.support.runs import BillingEngine, failures, go, labels, made, timeless
from tests.support.stores import DictStore

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
STRIDE = 1 if FULL else 3
DATASET = made(12, same={7: 3, 11: 3}, absent=[5])
OPTIONS = Options(batch_size=5, lease_s=6.0)
DISTINCT = 9
MOST_TRIES = 3
"""A fault while a run begins or merges ends it with 75: "run the same command again"."""


@pytest.fixture(scope="module")
def expected():
    async def uncut():
        store = DictStore()
        await go(store, DATASET, BillingEngine(), OPTIONS)
        return timeless(await labels(store)), await failures(store)

    return run_virtual(uncut())


def troubled(store, n, kind):
    if kind == "late":
        return TroubleAt(store, n, delay_s=20.0, sleep=sleep)
    return TroubleAt(store, n, kind)


async def until_done(store, engine, worker: str) -> None:
    for again in range(MOST_TRIES):
        try:
            await go(store, DATASET, engine, OPTIONS, worker=f"{worker}{again}", host=worker)
        except StoreUnavailable:
            continue
        return
    raise AssertionError("one fault stopped it more than once")


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["before", "after", "late"])
def test_one_call_that_fails_or_hangs_changes_neither_the_table_nor_the_bill(expected, kind):
    n, calls = 1 - STRIDE, 1
    while n < calls:
        n += STRIDE

        async def story(n: int = n):
            store, engine = DictStore(), BillingEngine()
            faulty = troubled(store, n, kind)
            await until_done(faulty, engine, "w1")
            return faulty.calls, engine, timeless(await labels(store)), await failures(store)

        calls, engine, rows, failed = run_virtual(story())
        assert (rows, failed) == expected, f"call {n}"
        assert set(engine.billed.values()) == {1}, f"call {n}"
        assert len(engine.billed) == DISTINCT
    assert n > 80


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["before", "after", "late"])
def test_beside_a_worker_whose_store_fails_another_one_gives_the_same_table(expected, kind):
    for n in range(2, 140, 6 * STRIDE):

        async def story(n: int = n):
            store, engine = DictStore(), BillingEngine()
            await asyncio.gather(
                until_done(troubled(store, n, kind), engine, "w1"),
                until_done(store, engine, "w2"),
            )
            return engine, timeless(await labels(store)), await failures(store)

        engine, rows, failed = run_virtual(story())
        assert (rows, failed) == expected, f"call {n}"
        assert set(engine.billed.values()) == {1}, f"call {n}"
