"""Fleets against a limited service, in virtual time: the rate is used and kept, all paid once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import Throttled
from ocrlabel.options import Options
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import BillingEngine, go, labels, made
from tests.support.service import LIMITERS, Limiter
from tests.support.stores import DictStore

RATE = 10.0
OPTIONS = Options(batch_size=100, rps=RATE, lease_s=15.0)


@dataclass
class Limited(BillingEngine):
    """A service that counts requests when they arrive. arrivals: (when, whether it was let in)."""

    limiter: Limiter | None = None
    arrivals: list[tuple[float, bool]] = field(default_factory=list)

    async def recognise(self, document, lane):
        admitted = self.limiter is None or self.limiter.admits(clock())
        self.arrivals.append((clock(), admitted))
        if not admitted:
            await sleep(0.01)
            raise Throttled("too many requests", status=429)
        return await super().recognise(document, lane)


def fleet(store, engine, dataset, workers: int):
    return [
        go(store, dataset, engine, OPTIONS, worker=f"w{n}", host=f"h{n}")
        for n in range(1, workers + 1)
    ]


def used(engine: Limited, first_s: float, last_s: float) -> float:
    """The share of the allowed images/s that were read, without the first and last seconds."""
    since, to = engine.arrivals[0][0] + first_s, engine.arrivals[-1][0] - last_s
    return sum(since <= at < to and ok for at, ok in engine.arrivals) / (RATE * (to - since))


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_however_many_workers_share_a_rate_it_is_used_and_hardly_ever_refused(workers, limiter):
    engine = Limited(lanes=(Lane("key", RATE),), limiter=LIMITERS[limiter](RATE))
    store, dataset = DictStore(), made(800, same={799: 0, 400: 1, 90: 650})

    async def story():
        await asyncio.gather(*fleet(store, engine, dataset, workers))
        return await labels(store)

    assert len(run_virtual(story())) == 800
    assert set(engine.billed.values()) == {1}
    assert len(engine.billed) == 797
    refused = sum(not admitted for _, admitted in engine.arrivals)
    assert refused <= 0.02 * len(engine.arrivals)
    assert used(engine, 0.0, 0.0) >= 0.92
    # the first seconds pass with getting to know each other, in the last ones slices run out
    assert used(engine, 7.0, 20.0) >= 0.95


@pytest.mark.parametrize("seed", range(3))
def test_while_workers_join_and_die_the_rate_is_never_exceeded(seed):
    engine = Limited(lanes=(Lane("key", RATE),))
    store, dataset = DictStore(), made(900)

    async def dying(n: int) -> None:
        await sleep(n * (4.0 + seed))
        cut = DiesAfter(store, 40 + 25 * ((n + seed) % 5))
        with contextlib.suppress(PowerCut):
            await go(cut, dataset, engine, OPTIONS, worker=f"w{n}", host=f"h{n}")

    async def story():
        await asyncio.gather(*(dying(n) for n in range(1, 9)))
        await go(store, dataset, engine, OPTIONS, worker="w99", host="h99")
        return await labels(store)

    assert len(run_virtual(story())) == 900
    times = sorted(at for at, _ in engine.arrivals)
    for window_s in (1.0, 5.0, 30.0):
        most = max(sum(at <= one < at + window_s for one in times) for at in times[::7])
        assert most <= RATE * window_s + 2, f"in {window_s} s"
