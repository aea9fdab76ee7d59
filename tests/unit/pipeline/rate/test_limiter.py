"""When one key may send next, and how those who wait share the keys of a run."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engine import Lane
from ocrlabel.pipeline.rate.aimd import Aimd, Ceiling
from ocrlabel.pipeline.rate.fleet import ALONE, NOTHING, Share
from ocrlabel.pipeline.rate.limiter import (
    LATE,
    LATE_FOR_TURN,
    MARGIN,
    NEAR_S,
    PATIENCE_S,
    STORM_LONGEST_S,
    Gcra,
    LaneRate,
    LatencyEstimate,
    NoLanes,
    Paused,
    RatePool,
    Slot,
    lane_caps,
)
from tests.support.clock import clock, run_virtual, sleep

costs = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=60)


@given(interval_s=st.floats(0.01, 2), burst=st.floats(1, 20), asks=costs)
def test_no_window_holds_more_than_the_rate_and_the_burst(interval_s, burst, asks):
    budget, full_at, now, taken = Gcra(interval_s, burst), 0.0, 0.0, []
    for rest_s, cost in asks:
        now = budget.next_at(full_at, now + rest_s, cost)
        full_at = budget.taken(full_at, now, cost)
        taken.append((now, cost))
    for first, (begin, _) in enumerate(taken):
        units = 0
        for end, cost in taken[first:]:
            # what exceeds the burst is owed: it counts against what comes after, not before
            within = units + min(cost, burst)
            assert within <= (end - begin) / interval_s + burst + 1e-6
            units += cost


def test_a_cost_larger_than_the_burst_waits_for_a_full_bucket_and_is_then_owed():
    budget = Gcra(interval_s=0.2, burst=5)
    full_at = budget.taken(0.0, 10.0, 5)
    assert full_at == 11.0
    assert budget.next_at(full_at, 10.0, 100) == 11.0
    assert budget.next_at(full_at, 10.0) == pytest.approx(11.0 - 4 * 0.2)
    full_at = budget.taken(full_at, 11.0, 100)
    assert budget.next_at(full_at, 11.0, 5) == 31.0


def test_what_is_owed_stays_owed_when_the_rate_changes():
    fast, slow = Gcra(1.0), Gcra(4.0)
    assert slow.rescaled(12.0, 10.0, fast) == 18.0
    assert slow.rescaled(9.0, 10.0, fast) == 9.0
    assert slow.rescaled(12.0, 10.0, Gcra(0.0)) == 12.0, "to no rate nothing was owed in units"


def test_a_latency_is_guessed_then_taken_from_the_first_answer_and_then_from_the_last_twenty():
    found = LatencyEstimate()
    assert found.high_s == 4.0
    found = found.with_answer(3.0)
    assert found == LatencyEstimate(3.0, 1.5**2)
    assert found.high_s == 6.0
    found = found.with_answer(6.0)
    assert found.mean_s == pytest.approx(3.3)
    assert found.variance == pytest.approx(0.9 * (1.5**2 + 0.1 * 3.0**2))
    assert found.high_s == pytest.approx(3.3 + 2 * found.variance**0.5)


@pytest.mark.parametrize(
    ("rates", "rps", "caps"),
    [
        ((3.0, 1.0), None, (math.inf, math.inf)),
        ((3.0, 1.0), 8.0, (6.0, 2.0)),
        ((5.0, None, 1.0), 18.0, (10.0, 6.0, 2.0)),
        ((None, None), 6.0, (3.0, 3.0)),
    ],
)
def test_a_fixed_rate_is_split_and_a_key_without_a_rate_of_its_own_counts_as_an_average_one(
    rates, rps, caps
):
    lanes = [Lane(str(number), rate) for number, rate in enumerate(rates)]
    assert tuple(lane_caps(lanes, rps).values()) == caps


INTERVAL_S = 1 / (MARGIN * 4.0)
NOW = 1000.0


def lane(cap_rps: float = 4.0, **limits) -> LaneRate:
    return LaneRate.of(Lane("key", 4.0, **limits), cap_rps=cap_rps)


def sent(rate: LaneRate, now: float, pages: int = 1) -> float:
    """Send, and say when the next one may go."""
    rate.take(now, pages)
    return rate.next_at(now, 1)


def test_a_lane_begins_at_its_documented_rate_or_at_the_one_that_was_named():
    found = LaneRate.of(Lane("key", 3.0, 300.0, pages_follow=True), cap_rps=math.inf)
    assert found.aimd == Aimd.starting(3.0)
    assert (found.documented_rps, found.pages_per_s, found.pages_follow) == (3.0, 5.0, True)
    assert found.rate_rps == MARGIN * 3.0
    assert LaneRate.of(Lane("key", 3.0), cap_rps=7.0).aimd == Aimd.starting(7.0, 7.0)
    assert LaneRate.of(Lane("key"), cap_rps=7.0).aimd == Aimd.starting(7.0, 7.0)


def test_a_lane_without_any_limit_waits_only_for_its_pause():
    free = LaneRate.of(Lane("key"), cap_rps=math.inf)
    assert (free.aimd, free.rate_rps, free.ceiling) == (None, math.inf, None)
    free.share = NOTHING
    assert sent(free, NOW, 100) == NOW
    free.throttled(NOW, NOW, 5.0)
    free.answered(NOW)
    free.remember(Ceiling(1.0), NOW)
    assert free.next_at(NOW, 100) == NOW + 5.0
    assert free.next_at(NOW + 6.0, 100) == NOW + 6.0


def test_a_worker_without_a_share_never_sends_and_one_with_a_share_only_until_it_ends():
    rate = lane()
    rate.set_share(NOTHING, NOW)
    assert rate.next_at(NOW, 1) == math.inf
    rate.set_share(Share(until=NOW + 60.0), NOW)
    assert rate.next_at(NOW + 59.9, 1) == NOW + 59.9
    assert rate.next_at(NOW + 60.0, 1) == math.inf


def test_requests_are_an_interval_apart_and_none_is_saved_up():
    rate = lane()
    assert rate.next_at(NOW, 1) == NOW
    assert sent(rate, NOW) == pytest.approx(NOW + INTERVAL_S)
    assert sent(rate, NOW + 100.0) == pytest.approx(NOW + 100.0 + INTERVAL_S)


@pytest.mark.parametrize(("late_s", "keeps_step"), [(0.01, True), (0.03, False), (0.2, False)])
def test_a_timer_that_fires_a_little_late_costs_no_rate(late_s, keeps_step):
    rate = lane()
    due_s = sent(rate, NOW)
    begun_s = due_s if keeps_step else due_s + late_s
    assert sent(rate, due_s + late_s) == pytest.approx(begun_s + INTERVAL_S)


def test_at_a_high_rate_a_timer_may_be_late_by_half_an_interval_and_not_more():
    fast = LaneRate.of(Lane("key", 100.0), cap_rps=100.0)
    interval_s = 1 / (MARGIN * 100.0)
    due_s = sent(fast, NOW)
    assert sent(fast, due_s + 0.004) == pytest.approx(due_s + interval_s)
    due_s = fast.next_at(NOW, 1)
    assert sent(fast, due_s + 0.006) == pytest.approx(due_s + 0.006 + interval_s)


def test_whoever_is_exactly_as_late_as_is_allowed_is_in_time():
    capped, free = lane(), lane(math.inf)
    capped.requests_full_at = free.requests_full_at = 0.0
    capped.take(LATE * INTERVAL_S, 1)
    assert capped.requests_full_at == INTERVAL_S
    free.take(LATE_FOR_TURN * INTERVAL_S, 1)
    assert free.aimd.rises == 1


def test_only_a_request_that_waited_for_the_rate_shows_that_a_higher_one_is_worth_a_try():
    for late_s, rises in ((0.0, 1), (0.05, 1), (0.07, 0), (5.0, 0)):
        rate = lane(math.inf)
        due_s = sent(rate, NOW)
        before = rate.aimd.rises
        rate.take(due_s + late_s, 1)
        assert rate.aimd.rises - before == rises, late_s
        assert rate.last_at == due_s + late_s


def test_pages_are_taken_from_a_budget_of_their_own_with_a_burst_of_a_second():
    rate = lane(pages_per_minute=600.0)
    per_s = MARGIN * 10.0
    assert sent(rate, NOW, 5) == pytest.approx(NOW + INTERVAL_S)
    rate.take(NOW + 1.0, 30)
    full_s = NOW + 1.0 + 30 / per_s
    assert rate.next_at(NOW + 1.0, 1) == pytest.approx(full_s - (per_s - 1) / per_s)
    assert rate.next_at(NOW + 1.0, 100) == pytest.approx(full_s)


def test_pages_follow_the_rate_that_a_key_turns_out_to_bear_where_they_are_said_to():
    for follows, factor in ((True, 2.0), (False, 1.0)):
        rate = LaneRate.of(Lane("key", 4.0, 600.0, pages_follow=follows), cap_rps=8.0)
        rate.take(NOW, 100)
        assert rate.next_at(NOW, 10**6) == pytest.approx(NOW + 100 / (MARGIN * 10.0 * factor))
    for documented_rps, cap_rps in ((4.0, 2.0), (None, 8.0)):
        rate = LaneRate.of(Lane("key", documented_rps, 600.0, pages_follow=True), cap_rps=cap_rps)
        rate.take(NOW, 100)
        assert rate.next_at(NOW, 10**6) == pytest.approx(NOW + 100 / (MARGIN * 10.0))


def test_a_budget_of_pages_alone_holds_where_requests_have_no_limit():
    rate = LaneRate.of(Lane("key", None, 600.0, pages_follow=True), cap_rps=math.inf)
    assert sent(rate, NOW, 1) == NOW
    rate.take(NOW, 100)
    assert rate.next_at(NOW, 10**6) == pytest.approx(NOW + 101 / (MARGIN * 10.0))
    rate.set_share(Share(members=2, fraction=0.5), NOW)
    assert rate.next_at(NOW, 10**6) == pytest.approx(NOW + 101 / (MARGIN * 5.0))
    rate.set_share(NOTHING, NOW)
    assert rate.next_at(NOW, 1) == math.inf


def test_a_small_share_of_pages_still_lets_one_page_through_at_once():
    rate = LaneRate.of(Lane("key", None, 6.0), cap_rps=math.inf)
    rate.take(NOW, 1)
    assert rate.next_at(NOW, 1) == pytest.approx(NOW + 10.0 / MARGIN)


def test_what_is_owed_stays_owed_when_the_share_or_the_rate_changes():
    rate = lane(pages_per_minute=600.0)
    rate.take(NOW, 100)
    requests_s, pages_s = rate.requests_full_at - NOW, rate.pages_full_at - NOW
    rate.set_share(Share(fraction=0.5), NOW)
    assert rate.requests_full_at == pytest.approx(NOW + 2 * requests_s)
    assert rate.pages_full_at == pytest.approx(NOW + 2 * pages_s)
    rate.set_cap(8.0, NOW, setting=3)
    assert rate.requests_full_at == pytest.approx(NOW + requests_s)
    assert rate.pages_full_at == pytest.approx(NOW + 2 * pages_s)
    assert rate.aimd == Aimd(8.0, 8.0, 8.0, setting=3, documented_rps=8.0)
    assert rate.ceiling == Ceiling(8.0, setting=3)
    rate.set_cap(math.inf, NOW, setting=4)
    assert rate.aimd == Aimd(4.0, 4.0, setting=4, documented_rps=4.0)


def test_what_is_owed_stays_owed_while_a_worker_has_no_share():
    rate = lane(pages_per_minute=600.0)
    rate.take(NOW, 100)
    owed = rate.requests_full_at, rate.pages_full_at
    for share, now in ((NOTHING, NOW), (NOTHING, NOW + 0.1), (ALONE, NOW + 0.2)):
        rate.set_share(share, now)
        rate.remember(Ceiling(4.0, falls=1), now)
    assert (rate.requests_full_at, rate.pages_full_at) == owed


def test_a_cap_may_be_set_and_lifted_where_nothing_was_documented():
    free = LaneRate.of(Lane("key"), cap_rps=math.inf)
    free.set_cap(4.0, NOW, setting=1)
    assert sent(free, NOW) == pytest.approx(NOW + INTERVAL_S)
    free.set_cap(math.inf, NOW, setting=2)
    assert free.aimd is None


def test_a_pause_is_never_shortened():
    rate = lane()
    rate.pause_until(NOW + 5.0)
    rate.pause_until(NOW + 1.0)
    assert rate.next_at(NOW, 1) == NOW + 5.0


def test_the_first_429_lowers_the_rate_at_once_and_makes_it_wait_as_long_as_was_asked():
    rate = lane(math.inf)
    rate.take(NOW, 1)
    rate.throttled(NOW + 1.0, NOW, 7.0)
    assert rate.next_at(NOW + 1.0, 1) == NOW + 8.0
    assert rate.rate_rps == pytest.approx(MARGIN * 3.0)
    assert rate.ceiling.falls == 1
    assert rate.aimd.empty_at == NOW + 8.0, "a pause is no time to measure in"


def test_where_nothing_gets_through_pauses_double_until_something_does():
    rate = lane()
    now, pauses = NOW, []
    for _ in range(10):
        rate.throttled(now, now, None)
        pauses.append(max(0.0, rate.paused_until - now))
        now += 100.0
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, *[STORM_LONGEST_S] * 3]
    rate.throttled(now, NOW - 1.0, None)
    assert rate.paused_until < now, "it was sent before the rate fell: the same burst"
    rate.answered(now)
    assert rate.storm_s == 0.5
    rate.throttled(now, now, None)
    assert rate.paused_until < now
    rate.throttled(now, now, None)
    assert rate.paused_until == now + 0.5


def test_a_429_of_one_of_many_workers_is_weighed_by_its_share():
    for share, near in ((ALONE, 0.98), (Share(members=4, fraction=0.25), 0.99), (NOTHING, 0.98)):
        rate = lane(math.inf)
        rate.set_share(share, NOW)
        rate.throttled(NOW, NOW, None)
        assert rate.aimd.rps == pytest.approx(near * 4.0)


def test_what_another_worker_found_out_is_taken_over_if_it_is_newer():
    rate = lane(math.inf)
    rate.take(NOW, 1)
    rate.remember(Ceiling(2.0, 2.5, falls=1), NOW)
    assert rate.rate_rps == MARGIN * 2.0
    assert rate.aimd.risen_at == NOW
    assert rate.next_at(NOW, 1) == pytest.approx(NOW + 2 * INTERVAL_S)
    rate.remember(Ceiling(9.0), NOW)
    assert rate.rate_rps == MARGIN * 2.0


@pytest.mark.parametrize("rank", range(4))
def test_in_a_fleet_each_worker_sends_at_its_own_turns_of_the_clock_that_all_share(rank):
    rate = lane()
    rate.set_share(Share(rank=rank, members=4, fraction=0.25), NOW)
    offset_s = 12345.0
    for now in (NOW, NOW + 10.3, NOW + 21.7):
        at = rate.next_at(now, 1, offset_s)
        turns = (at + offset_s) / INTERVAL_S - rank
        assert now <= at <= now + 4 * INTERVAL_S + 1e-6
        assert turns / 4 == pytest.approx(round(turns / 4), abs=1e-4) or at == now
        rate.take(at, 1)
        following = rate.next_at(at, 1, offset_s)
        assert following == pytest.approx(at + 4 * INTERVAL_S, abs=4 * INTERVAL_S * 0.5 + 1e-6)


def test_a_turn_that_a_timer_missed_by_a_quarter_of_an_interval_is_still_ours():
    rate = lane()
    rate.set_share(Share(rank=1, members=4, fraction=0.25), NOW)
    at = rate.next_at(NOW + 10 * INTERVAL_S, 1)
    assert at / INTERVAL_S % 4 == pytest.approx(1.0), "of every four turns the second"
    for late, still in ((0.2, True), (0.3, False)):
        now = at + late * INTERVAL_S
        expected = now if still else at + 4 * INTERVAL_S
        assert rate.next_at(now, 1) == pytest.approx(expected)


def test_a_turn_waits_for_the_pause_and_for_what_is_owed():
    rate = lane(pages_per_minute=600.0)
    rate.set_share(Share(rank=1, members=4, fraction=0.25), NOW)
    rate.pause_until(NOW + 50.0)
    assert NOW + 50.0 <= rate.next_at(NOW, 1) <= NOW + 50.0 + 4 * INTERVAL_S
    rate.take(NOW, 1000)
    owed_s = 1000 / (MARGIN * 2.5)
    assert NOW + owed_s - 1.0 <= rate.next_at(NOW, 1) <= NOW + owed_s + 4 * INTERVAL_S


def test_a_worker_of_a_fleet_may_send_half_a_turn_early_when_turns_move():
    rate = lane()
    rate.set_share(Share(rank=1, members=2, fraction=0.5), NOW)
    rate.take(NOW, 1)
    rate.take(NOW + 0.01, 1)
    assert rate.requests_full_at == pytest.approx(NOW + 2 * 2 * INTERVAL_S)
    assert rate.next_at(NOW, 1) == pytest.approx(NOW + 3 * INTERVAL_S), "the turn before that"


@pytest.mark.parametrize(("rank", "rises"), [(0, 1), (1, 0)])
def test_in_a_fleet_only_the_first_worker_looks_for_a_higher_rate(rank, rises):
    rate = lane(math.inf)
    rate.set_share(Share(rank=rank, members=2, fraction=0.5), NOW)
    rate.take(NOW, 1)
    rate.take(NOW + INTERVAL_S, 1)  # half a turn early: the first time that it may
    assert rate.aimd.rises == rises


@pytest.mark.parametrize(("members", "idle_turns", "rises"), [(2, 1, 9), (5, 1, 9), (2, 3, 0)])
def test_the_first_worker_of_a_fleet_raises_the_rate_while_it_uses_every_turn(
    members, idle_turns, rises
):
    rate = lane(math.inf)
    rate.set_share(Share(rank=0, members=members, fraction=1 / members), NOW)
    now = NOW
    while now < NOW + 600:
        now = rate.next_at(now, 1)
        rate.take(now, 1)
        now += (idle_turns - 1) * members / (MARGIN * rate.aimd.rps)
    assert abs(rate.aimd.rises - rises) <= 1


def pool(*lanes: Lane, rps: float | None = None, **options) -> RatePool:
    return RatePool(lanes=lanes, clock=clock, sleep=sleep, rps=rps, **options)


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
        rate.retire("b", "500: what came later says less")
        with pytest.raises(NoLanes, match="a: 401: wrong key; b: 403: no credit") as caught:
            await rate.acquire()
        assert caught.value.reasons == rate.retired()
        assert rate.retired() == {"a": "401: wrong key", "b": "403: no credit"}

    run_virtual(story())


@pytest.mark.parametrize(("asked_s", "is_long"), [(PATIENCE_S, False), (PATIENCE_S + 0.5, True)])
def test_a_wait_until_the_first_of_all_paused_keys_is_told_where_it_is_long(asked_s, is_long):
    async def story() -> float:
        rate = pool(Lane("a", 3.0), Lane("b", 3.0), rps=6.0)
        one, other = await rate.acquire(), await rate.acquire()
        now_s = clock()
        rate.throttled(one, 300.0)
        rate.throttled(other, asked_s)
        assert {one.lane, other.lane} == {"a", "b"}
        if not is_long:
            return (await rate.acquire()).sent_at - now_s
        with pytest.raises(Paused) as caught:
            await rate.acquire()
        assert clock() == now_s, "it is told at once"
        return caught.value.until - now_s

    assert run_virtual(story()) == pytest.approx(asked_s, abs=1.0)


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
        rate.set_rps(5.0)
        rate.set_share(Share(members=4, fraction=0.25))
        assert rate.rate_now() == pytest.approx(5.0 * 0.9875 / 4), "of four workers"
        rate.set_share(ALONE)
        assert rate.rate_now() == pytest.approx(5.0 * 0.9875)
        assert {ceiling.setting for ceiling in rate.ceilings().values()} == {0}
        return [(await rate.acquire()).lane for _ in range(400)]

    lanes = run_virtual(story())
    assert lanes.count("a") == pytest.approx(300, abs=3)


def test_there_is_a_rate_to_share_where_a_key_or_the_run_has_one():
    async def story() -> list[bool]:
        lanes = (Lane("free"), Lane("key", 3.0), Lane("pages", None, 60.0))
        found = [pool(Lane("free"), lane).is_limited for lane in lanes]
        rate = pool(Lane("free"))
        rate.set_rps(5.0)
        return [*found, rate.is_limited]

    assert run_virtual(story()) == [False, True, True, True]


def test_a_document_of_unknown_or_no_pages_counts_as_one_page():
    async def story() -> list[float]:
        rate = pool(Lane("key", None, 60.0))
        start = clock()
        costs = (None, 0, 1, 2, None, 1)
        return [(await rate.acquire(pages)).sent_at - start for pages in costs]

    assert run_virtual(story()) == pytest.approx([n / MARGIN for n in (0, 1, 2, 3, 5, 6)])


def test_a_request_is_made_ready_from_five_seconds_before_its_turn_on():
    async def story() -> tuple[list[tuple[float, float]], Slot]:
        rate = pool(Lane("key", 4.0, 600.0), rps=4.0)
        rate.throttled(await rate.acquire(), retry_after_s=10.0)
        told = []

        async def ready(at: float) -> None:
            told.append((clock(), at))

        return told, await rate.acquire(1, ready)

    told, slot = run_virtual(story(), start_s=0.0)
    assert told == [(10.0 - NEAR_S + 0.5 * nap, 10.0) for nap in range(11)]
    assert slot == Slot("key", 10.0)


@pytest.mark.parametrize("lost", ["a", "b"])
def test_what_changed_while_a_request_was_made_ready_counts_for_its_turn(lost):
    async def story() -> list[Slot]:
        rate = pool(Lane("a", 4.0, 60.0), Lane("b", 4.0, 60.0))

        async def ready(at: float) -> None:
            await sleep(2.0)
            rate.retire(lost, "401")

        return [await rate.acquire(3, ready) for _ in range(2)]

    kept = {"a": "b", "b": "a"}[lost]
    # the second is due at 5.04: it is made ready at 2.0, and again after a nap at 4.0
    assert run_virtual(story(), start_s=0.0) == [Slot(kept, 2.0), Slot(kept, 6.5)]


def test_a_request_that_was_let_through_ends_a_storm_whatever_came_of_it():
    async def story(ends) -> int:
        rate = pool(Lane("key", 4.0))
        rate.throttled(await rate.acquire())
        ends(rate, await rate.acquire())
        rate.throttled(await rate.acquire())
        return rate.ceilings()["key"].falls

    assert run_virtual(story(RatePool.failed)) == 2
    assert run_virtual(story(lambda rate, slot: rate.succeeded(slot, 1.0))) == 2
    assert run_virtual(story(lambda rate, slot: None)) == 1


@pytest.mark.parametrize("offset_s", [None, 12345.1])
@pytest.mark.parametrize(("rank", "members"), [(0, 2), (1, 2), (0, 4), (3, 4)])
def test_a_worker_takes_its_turns_on_the_wall_clock_or_on_its_own_where_it_has_none(
    rank, members, offset_s
):
    async def story() -> list[float]:
        wall = None if offset_s is None else lambda: clock() + offset_s
        rate = pool(Lane("key", 4.0), rps=4.0, wall=wall)
        rate.set_share(Share(rank=rank, members=members, fraction=1 / members))
        return [(await rate.acquire()).sent_at for _ in range(5)]

    for sent_at in run_virtual(story())[1:]:
        turn = (sent_at + (offset_s or 0.0)) / INTERVAL_S - rank
        assert turn / members == pytest.approx(round(turn / members), abs=1e-4)


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


@pytest.mark.parametrize(
    ("key", "concurrency", "wanted"),
    [
        (Lane("free"), None, 1),
        (Lane("free"), 1, 1),
        (Lane("free"), 7, 7),
        (Lane("key", 3.0), 1, 1),
        (Lane("key", 3.0), 5, 5),
        (Lane("key", 3.0), None, 13),
    ],
)
def test_in_flight_is_never_more_than_was_asked_for_nor_less_than_one(key, concurrency, wanted):
    async def story() -> int:
        return pool(key, concurrency=concurrency).in_flight_wanted()

    assert run_virtual(story()) == wanted


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


@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_ceiling_of_the_fleet_counts(turned):
    async def story():
        old, new = Ceiling(3.0, falls=1, rises=7), Ceiling(2.5, limit_rps=3.0, falls=2)
        said = [{"key": new}, {"key": old, "key2": old}]
        rate = pool(Lane("key", 5.0), Lane("key2", 5.0))
        for ceilings in reversed(said) if turned else said:
            rate.adopt(ceilings)
        assert rate.ceilings() == {"key": new, "key2": old}

    run_virtual(story())
