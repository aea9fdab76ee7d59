from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.pipeline.rate.fleet import ALONE, NOTHING, Heartbeat, Member, Share

DURATION_S = 6.0


@dataclass
class Runtime:
    """Workers with clocks of their own, one store, and everything that can go wrong between them.

    Checked after every step: the fractions of all workers whose share is valid sum to at most 1.
    """

    rng: random.Random
    now: float = 0.0
    store: dict[str, Heartbeat] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    steps: list[tuple[float, int, Iterator[float]]] = field(default_factory=list)
    count: Iterator[int] = field(default_factory=itertools.count)
    used: float = 0.0

    def start(self, steps: Iterator[float], after_s: float = 0.0) -> None:
        heapq.heappush(self.steps, (self.now + after_s, next(self.count), steps))

    def run(self, until: float, check: Callable[[float], None]) -> None:
        while self.steps and self.steps[0][0] <= until:
            at, _, steps = heapq.heappop(self.steps)
            self.used += self.fraction() * (at - self.now)
            self.now = at
            wait_s = next(steps, None)
            if wait_s is not None:
                self.start(steps, wait_s)
            check(self.fraction())

    def fraction(self) -> float:
        return sum(worker.fraction() for worker in self.workers)


@dataclass
class Worker:
    runtime: Runtime
    member: Member
    speed: float = 1.0
    offset_s: float = 0.0
    share: Share = NOTHING
    alive: bool = True
    number: int = 0

    def clock(self) -> float:
        return self.offset_s + self.speed * self.runtime.now

    def fraction(self) -> float:
        valid = self.alive and self.clock() < self.share.until
        return self.share.fraction if valid else 0.0

    def look(self) -> None:
        self.member = self.member.looking(list(self.runtime.store.values()), self.clock())
        self.share = self.member.share()

    def write(self, put_s: float, *, lost: bool = False) -> Iterator[float]:
        """The put takes effect somewhere in put_s, or not; the worker hears of it at the end."""
        rng, began_at = self.runtime.rng, self.clock()
        heartbeat = self.member.heartbeat({})
        self.number += 1
        assert heartbeat.number <= self.number
        heartbeat = Heartbeat(
            heartbeat.worker,
            self.number,
            heartbeat.duration_s,
            heartbeat.sends,
            heartbeat.since,
            heartbeat.sees,
        )
        lands_s = rng.uniform(0, put_s)
        yield lands_s
        if rng.random() < 0.5 or not lost:
            self.runtime.store[heartbeat.worker] = heartbeat
        yield put_s - lands_s
        if not lost:
            self.member = self.member.wrote(heartbeat, began_at, self.clock())

    def life(self, faults: float) -> Iterator[float]:
        rng = self.runtime.rng
        beat_at = -1e9
        while self.alive:
            if rng.random() < faults:
                yield rng.uniform(0, 3 * DURATION_S)  # stopped, and woken up again
            if rng.random() < faults:
                self.member = self.member.resting() if rng.random() < 0.5 else self.member.asking()
            self.look()
            if self.clock() - beat_at > DURATION_S / 3 or self.member.is_awaited():
                beat_at = self.clock()
                slow = rng.random() < faults
                yield from self.write(
                    rng.uniform(0.01, 2 * DURATION_S if slow else 0.1), lost=rng.random() < faults
                )
                if rng.random() < 0.8:
                    self.look()
            yield rng.uniform(0.1, 1.0)
            if rng.random() < faults / 4:
                self.alive = False


def fleet(seed: int, workers: int, faults: float, *, spread_s: float = 60.0) -> Runtime:
    rng = random.Random(seed)
    runtime = Runtime(rng)
    for number in range(workers):
        worker = Worker(
            runtime,
            Member(f"w{number}", DURATION_S),
            speed=rng.uniform(0.95, 1.05),
            offset_s=rng.uniform(-1e4, 1e4),
        )
        runtime.workers.append(worker)
        runtime.start(worker.life(faults), rng.uniform(0, spread_s))
    return runtime


def never_more_than_all(fraction: float) -> None:
    assert fraction <= 1 + 1e-9


@given(
    seed=st.integers(0, 2**32), workers=st.integers(1, 8), faults=st.sampled_from([0, 0.03, 0.2])
)
@settings(max_examples=150)
def test_shares_never_sum_to_more_than_the_whole(seed, workers, faults):
    fleet(seed, workers, faults).run(200.0, never_more_than_all)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_fleet_that_nobody_joins_or_leaves_uses_the_whole_rate(workers):
    runtime = fleet(1, workers, 0.0, spread_s=1.0)
    runtime.run(30.0, never_more_than_all)
    runtime.used, began = 0.0, runtime.now
    runtime.run(230.0, never_more_than_all)
    assert runtime.used / (runtime.now - began) == pytest.approx(1.0)
    assert sorted(worker.share.rank for worker in runtime.workers) == list(range(workers))


def test_the_share_of_a_dead_worker_goes_to_the_others():
    runtime = fleet(2, 4, 0.0, spread_s=1.0)
    runtime.run(30.0, never_more_than_all)
    runtime.workers[0].alive = False
    runtime.run(30.0 + 1.25 * DURATION_S + 3.0, never_more_than_all)
    assert runtime.fraction() == pytest.approx(1.0)


def lone(member: Member, at: float) -> Member:
    return member.wrote(member.heartbeat({}), at, at)


def test_a_joiner_sends_nothing_before_it_was_named():
    old = lone(Member("old", DURATION_S), 0.0).looking([], 0.1)
    assert old.share().fraction == 1
    heartbeat = old.heartbeat({})
    old = old.wrote(heartbeat, 1.0, 1.0)
    new = lone(Member("new", DURATION_S), 50.0).looking([heartbeat], 50.1)
    assert new.share() == NOTHING

    old = old.looking([Heartbeat("new", 1, DURATION_S)], 1.5)
    assert old.is_awaited()
    assert old.share().fraction == 0.5
    named = old.heartbeat({})
    assert new.looking([named], 51.0).share().fraction == 0.5
    assert not old.wrote(named, 2.0, 2.0).is_awaited()


def test_a_joiner_that_did_not_look_since_its_first_heartbeat_sends_nothing():
    assert lone(Member("new", DURATION_S).looking([], 0.0), 0.0).share() == NOTHING


def test_a_worker_that_slept_through_its_lease_joins_again():
    peer = Heartbeat("peer", 5, DURATION_S, sees={"me": 1})
    me = lone(Member("me", DURATION_S), 0.0).looking([peer], 0.0)
    assert me.share() == Share(rank=0, members=2, fraction=0.5, until=DURATION_S)
    me = lone(me, DURATION_S + 1).looking([peer], DURATION_S + 1)
    assert me.share() == NOTHING
    again = Heartbeat("peer", 6, DURATION_S, sees={"me": 2})
    assert me.looking([again], DURATION_S + 2).share().fraction == 0.5


def test_a_worker_that_rests_gives_its_share_back_at_once():
    me = lone(Member("me", DURATION_S), 0.0)
    me = me.looking([Heartbeat("peer", 1, DURATION_S, sees={"me": 1})], 0.0)
    assert me.share().fraction == 0.5
    me = me.looking([Heartbeat("peer", 2, DURATION_S, sends=False)], 0.1)
    assert me.share().fraction == 1
    assert me.resting().share() == NOTHING
    assert me.resting().asking().share() == NOTHING


def test_a_newcomer_does_not_stop_those_who_send():
    me = lone(Member("me", DURATION_S), 0.0).looking([], 0.0)
    assert me.looking([Heartbeat("new", 1, DURATION_S)], 0.1).share().fraction == 0.5


@given(
    rank=st.integers(0, 7),
    at=st.floats(1.7e9, 1.8e9),
    interval_s=st.floats(0.01, 1.0),
)
def test_turns_of_a_worker_are_its_own(rank, at, interval_s):
    turn = Share(rank=rank, members=8, fraction=1 / 8).turn_at(at, interval_s)
    assert -1e-5 <= turn - at <= 8 * interval_s + 1e-5
    ticks = turn / interval_s
    assert round(ticks) % 8 == rank
    assert ALONE.turn_at(at, interval_s) == at


def test_a_heartbeat_that_was_written_too_slowly_makes_a_newcomer_of_its_worker():
    me = lone(Member("me", DURATION_S), 0.0).looking([], 0.0)
    slow = me.heartbeat({})
    # begun in time, but the others may have counted us out before they could read it
    me = me.wrote(slow, DURATION_S - 1, DURATION_S + 2)
    peer = Heartbeat("peer", 9, DURATION_S, sees={"me": 1})
    assert me.looking([peer], DURATION_S + 2).share() == NOTHING
