from __future__ import annotations

import asyncio

import pytest

from ocrlabel.engines.base import Lane
from ocrlabel.pipeline.pool import NoLanes, RatePool
from tests.support.clock import clock, run_virtual, sleep


def pool(*lanes: Lane, rps: float | None = None, concurrency: int | None = None) -> RatePool:
    return RatePool(lanes=lanes, clock=clock, sleep=sleep, rps=rps, concurrency=concurrency)


def test_whoever_asked_first_sends_first():
    async def story() -> list[int]:
        rate = pool(Lane("key", 3.0))
        order: list[int] = []

        async def send(number: int) -> None:
            await rate.acquire()
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(send(number))
        return order

    assert run_virtual(story()) == list(range(20))


def test_a_cancelled_wait_takes_nothing_and_holds_nobody_up():
    async def story() -> tuple[float, list[float]]:
        rate = pool(Lane("key", 2.0), rps=2.0)
        start = clock()
        await rate.acquire()
        waiting = [asyncio.create_task(rate.acquire()) for _ in range(6)]
        await sleep(0.1)
        for cancelled in (waiting[0], waiting[2], waiting[3]):
            cancelled.cancel()
        slots = [await waiting[number] for number in (1, 4, 5)]
        return start, [slot.sent_at - start for slot in slots]

    _, sent = run_virtual(story())
    assert sent == pytest.approx([0.5 / 0.9875 * n for n in (1, 2, 3)])


def test_a_pool_without_keys_left_says_why():
    async def story() -> None:
        rate = pool(Lane("a", 3.0), Lane("b", 1.0))
        assert rate.retire("a", "401: wrong key") == ("b",)
        assert (await rate.acquire()).lane == "b"
        assert rate.retire("b", "403: no credit") == ()
        with pytest.raises(NoLanes, match="a: 401: wrong key; b: 403: no credit"):
            await rate.acquire()

    run_virtual(story())


def test_local_engines_cost_nothing():
    async def story() -> float:
        rate = pool(Lane("local"), concurrency=2)
        start = clock()
        for _ in range(1000):
            await rate.acquire(50)
        assert rate.in_flight_wanted() == 2
        assert rate.ceilings() == {}
        return clock() - start

    assert run_virtual(story()) == 0
