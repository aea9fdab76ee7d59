"""The promise on rates, at ten times the speed, against services that limit in different ways."""

from __future__ import annotations

import random

import pytest

from ocrlabel.engine import Lane
from ocrlabel.pipeline.rate.breaker import Breaker
from ocrlabel.pipeline.rate.limiter import RatePool
from tests.support.clock import clock, run_virtual, sleep
from tests.support.crowd import Crowd, key_service
from tests.support.service import LIMITERS, Figures, Service, figures, read_all


def run_of(
    limiter: str, allowed: dict[str, float], start_rps: float | None = None, images=300, after_s=0.0
):
    async def story() -> Figures:
        service = Service(
            {name: LIMITERS[limiter](rate) for name, rate in allowed.items()}, random.Random(7)
        )
        lanes = [Lane(name, start_rps or rate) for name, rate in allowed.items()]
        pool = RatePool(lanes=lanes, clock=clock, sleep=sleep)
        began = clock()
        await read_all(pool, service, images)
        return figures(service.arrivals, began + after_s)

    return run_virtual(story())


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
def test_a_key_is_used_to_97_percent_and_at_most_1_percent_are_429(limiter):
    run = run_of(limiter, {"key": 3.0})
    assert run.read_per_s >= 0.97 * 3
    assert run.refused_share <= 0.01


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
def test_an_unknown_limit_is_found_within_a_minute(limiter):
    run = run_of(limiter, {"key": 10.0}, start_rps=3.0, images=1800, after_s=60)
    assert run.read_per_s >= 0.97 * 10
    assert run.refused_share <= 0.01


def test_two_keys_are_used_to_their_sum():
    run = run_of("fixed", {"a": 3.0, "b": 1.0})
    assert run.read_per_s >= 0.97 * 4
    assert run.refused_share <= 0.01


def test_an_outage_is_waited_out_with_a_few_probes():
    async def story() -> tuple[int, int]:
        down_at, lost = clock() + 30, []

        def down(now: float) -> bool:
            if down_at <= now < down_at + 60:
                lost.append(now)
            return down_at <= now < down_at + 60

        service = Service({"key": LIMITERS["bucket"](3.0)}, random.Random(1), down=down)
        pool = RatePool(lanes=[Lane("key", 3.0)], clock=clock, sleep=sleep)
        read = await read_all(pool, service, 300, breaker=Breaker())
        return read, len(lost)

    read, lost = run_virtual(story())
    assert read == 300
    assert 10 < lost < 25


def crowd_of(limiter: str, workers: int, seconds: float, *, deaths: bool = False) -> list:
    async def story() -> list:
        rng = random.Random(3)
        crowd = Crowd(key_service(limiter, 3.0, rng), rng, 3.0, 3.0)
        for number in range(workers):
            crowd.join(f"w{number}")
        end, born = clock() + seconds, workers
        while clock() < end:
            await sleep(12)
            if deaths:
                if len(crowd.running) > 2:
                    await crowd.die(rng.choice(sorted(crowd.running)))
                else:
                    crowd.join(f"w{born}")
                    born += 1
        await crowd.stop()
        return crowd.service.arrivals

    return run_virtual(story())


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
@pytest.mark.parametrize("workers", [2, 8])
def test_a_steady_fleet_uses_95_percent_and_at_most_2_percent_are_429(limiter, workers):
    arrivals = crowd_of(limiter, workers, 200)
    run = figures(arrivals, arrivals[0][0] + 30)
    assert run.read_per_s >= 0.95 * 3
    assert run.refused_share <= 0.02


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
def test_a_fleet_stays_within_its_rate_while_workers_join_and_die(limiter):
    arrivals = crowd_of(limiter, 4, 240, deaths=True)
    times = [at for at, _, _ in arrivals]
    for first, begin in enumerate(times):
        for last in range(first + 1, min(first + 60, len(times))):
            assert last - first <= 3.0 * (times[last] - begin) + 3
    assert figures(arrivals).refused_share <= 0.02
