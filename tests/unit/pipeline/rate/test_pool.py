from __future__ import annotations

import asyncio

import pytest

from ocrlabel.engines.base import Lane
from ocrlabel.pipeline.rate.aimd import Ceiling
from ocrlabel.pipeline.rate.fleet import NOTHING, Share
from ocrlabel.pipeline.rate.limiter import NoLanes, RatePool, Slot
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


def test_a_fixed_rate_is_kept_and_used():
    async def story() -> float:
        rate = pool(Lane("key", 3.0), rps=10.0)
        start = clock()
        for _ in range(1001):
            await rate.acquire()
        return 1000 / (clock() - start)

    assert 9.8 < run_virtual(story()) <= 10.0


def test_a_fixed_rate_is_split_as_the_keys_are():
    async def story() -> list[str]:
        rate = pool(Lane("a", 3.0), Lane("b", 1.0), rps=2.0)
        assert rate.rate_now() == pytest.approx(2.0 * 0.9875)
        rate.set_rps(4.0)
        assert rate.rate_now() == pytest.approx(4.0 * 0.9875)
        return [(await rate.acquire()).lane for _ in range(400)]

    lanes = run_virtual(story())
    assert lanes.count("a") == pytest.approx(300, abs=3)


def test_pages_have_a_budget_of_their_own():
    async def story() -> float:
        rate = pool(Lane("key", 3.0, pages_per_minute=300.0))
        start = clock()
        for _ in range(61):
            await rate.acquire(10)
        return 600 / (clock() - start) * 60

    assert 290 < run_virtual(story()) <= 300


def test_a_large_document_is_let_through_and_then_owed():
    async def story() -> list[float]:
        rate = pool(Lane("key", 3.0, pages_per_minute=300.0))
        start = clock()
        return [(await rate.acquire(pages)).sent_at - start for pages in (100, 1)]

    large, next_one = run_virtual(story())
    assert large == 0
    assert next_one == pytest.approx((100 - 5 * 0.9875 + 1) / 5 / 0.9875, abs=0.5)


def test_a_key_that_asked_for_time_is_left_alone_and_the_other_is_not():
    async def story() -> list[tuple[str, float]]:
        rate = pool(Lane("a", 2.0), Lane("b", 2.0), rps=4.0)
        slots = [await rate.acquire() for _ in range(2)]
        start = clock()
        rate.throttled(next(slot for slot in slots if slot.lane == "a"), retry_after_s=5.0)
        return [
            (slot.lane, slot.sent_at - start) for slot in [await rate.acquire() for _ in range(14)]
        ]

    for lane, after_s in run_virtual(story()):
        assert lane == "b" or after_s >= 5.0


def test_a_worker_without_a_share_waits_and_goes_on_when_it_has_one():
    async def story() -> tuple[float, int]:
        rate = pool(Lane("key", 4.0), rps=4.0)
        rate.set_share(NOTHING)
        start = clock()
        waiting = asyncio.create_task(rate.acquire())
        await sleep(30)
        assert not waiting.done()
        rate.set_share(Share(rank=1, members=4, fraction=0.25, until=start + 60))
        await waiting
        sent: list[Slot] = []

        async def send_on() -> None:
            while True:
                sent.append(await rate.acquire())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_on(), 100)
        return waiting.result().sent_at - start, len(sent)

    first_s, sent = run_virtual(story())
    assert 30 <= first_s <= 31.5
    # a quarter of 4/s, and only until the share ended at 60 s
    assert sent == pytest.approx(29, abs=2)


def test_in_flight_follows_rate_and_latency():
    async def story() -> list[int]:
        rate = pool(Lane("key", 3.0), rps=3.0, concurrency=20)
        wanted = [rate.in_flight_wanted()]
        slot = await rate.acquire()
        for latency_s in [2.0] * 60 + [30.0] * 20:
            rate.succeeded(slot, latency_s)
            wanted.append(rate.in_flight_wanted())
        return wanted

    wanted = run_virtual(story())
    assert wanted[0] == 13
    assert wanted[60] == 8  # 3/s x 2 s, headroom, and one for the lane
    assert wanted[-1] == 20


def test_a_rate_that_was_raised_for_the_fleet_is_not_lowered_by_what_others_still_say():
    async def story() -> None:
        raised, other = (pool(Lane("key", 40.0), rps=4.0) for _ in range(2))
        raised.set_rps(40.0, setting=1)
        raised.adopt(other.ceilings())
        assert raised.rate_now() == pytest.approx(40.0 * 0.9875)
        other.adopt(raised.ceilings())
        assert other.rate_now() == pytest.approx(4.0 * 0.9875), "its own cap, until it looks"
        other.set_rps(40.0, setting=1)
        other.adopt(raised.ceilings())
        assert other.rate_now() == pytest.approx(40.0 * 0.9875)

    run_virtual(story())


def test_a_ceiling_found_before_the_run_was_cut_is_used_again():
    async def story() -> None:
        ceiling = Ceiling(7.5, limit_rps=8.0, falls=3)
        rate = RatePool(lanes=[Lane("key", 3.0)], clock=clock, sleep=sleep)
        rate.adopt({"key": ceiling, "gone": ceiling})
        assert rate.ceilings() == {"key": ceiling}
        assert rate.rate_now() == pytest.approx(7.5 * 0.9875)

    run_virtual(story())
