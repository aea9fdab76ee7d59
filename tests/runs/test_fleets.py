"""Many workers on one dataset, in virtual time: one store, one rate, workers that come and die."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from ocrlabel.engine import Lane
from ocrlabel.options import Options
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import BillingEngine, failures, go, labels, made, timeless
from tests.support.stores import DictStore

OPTIONS = Options(batch_size=50, lease_s=6.0)


@pytest.mark.parametrize("workers", [2, 8])
def test_a_fleet_labels_every_row_once_and_all_workers_end_with_the_same_result(workers):
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 20.0),))

    async def story():
        results = await asyncio.gather(
            *(
                go(
                    store,
                    made(160, same={159: 0, 80: 1}),
                    engine,
                    OPTIONS,
                    worker=f"w{n}",
                    host=f"h{n}",
                )
                for n in range(1, workers + 1)
            )
        )
        return results, await labels(store)

    results, rows = run_virtual(story())
    assert len(rows) == 160
    assert set(engine.asked.values()) == {1}
    assert len(engine.asked) == 158
    assert {result.record.complete for result in results} == {True}


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_a_fleet_together_stays_within_the_rate_and_uses_it(workers):
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 10.0),))
    sent: list[float] = []
    engine.trouble = lambda image, attempt: sent.append(clock())

    async def story():
        await asyncio.gather(
            *(
                go(
                    store,
                    made(400),
                    engine,
                    Options(batch_size=100, rps=10.0),
                    worker=f"w{n}",
                    host=f"h{n}",
                )
                for n in range(1, workers + 1)
            )
        )

    run_virtual(story())
    sent.sort()
    assert len(sent) == 400
    in_any_second = max(sum(start <= at < start + 1.0 for at in sent) for start in sent)
    assert in_any_second <= 12
    assert (len(sent) - 1) / (sent[-1] - sent[0]) >= 0.9 * 10.0


@pytest.mark.parametrize("seed", range(4))
def test_workers_that_die_anywhere_leave_a_table_as_if_nobody_had(seed):
    dataset = made(120, same={7: 3, 110: 3}, absent=[55])
    whole = DictStore()

    async def uncut():
        await go(whole, dataset, BillingEngine(), OPTIONS)
        return timeless(await labels(whole)), await failures(whole)

    expected = run_virtual(uncut())
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 20.0),))

    async def dying(worker: int, cut: int) -> None:
        await sleep(worker * 0.7)
        with contextlib.suppress(PowerCut):
            await go(
                DiesAfter(store, cut, "after"),
                dataset,
                engine,
                OPTIONS,
                worker=f"w{worker}",
                host=f"h{worker}",
            )

    async def story():
        await asyncio.gather(
            dying(1, 15 + 7 * seed), dying(2, 30 + 3 * seed), dying(3, 9 + 11 * seed)
        )
        await go(store, dataset, engine, OPTIONS, worker="w9", host="h9")
        return timeless(await labels(store)), await failures(store)

    assert run_virtual(story()) == expected
