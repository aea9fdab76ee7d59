"""One rate for a run: several keys (lanes), two budgets each, first come first served.

The decisions are in gcra, aimd and fleet; this is the shell around them that waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ocrlabel.engines.base import Lane
from ocrlabel.pipeline.rate.aimd import Ceiling
from ocrlabel.pipeline.rate.fleet import ALONE, Share
from ocrlabel.pipeline.rate.lane import LaneRate
from ocrlabel.pipeline.rate.latency import Latency

LONGEST_NAP_S = 0.5
"""How late a waiting worker sees that the rate rose, a pause ended, or its share grew."""
NEAR_S = 5.0
"""How long before its turn a request is made ready: longer than a put takes on a bad day."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to send one request now, with this lane's key. sent_at is on the pool's clock."""

    lane: str
    sent_at: float


class NoLanes(Exception):
    """Every lane was retired; reasons by lane are for people."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{lane}: {reason}" for lane, reason in reasons.items()))
        self.reasons = dict(reasons)


@dataclass(slots=True, kw_only=True)
class RatePool:
    """Hands out slots at the rate that the keys bear.

    rps: None asks for the limit (`--rps auto`); a number is never exceeded by all lanes (and all
    workers of the fleet) together, and is split between lanes as their own rates are.
    concurrency: the most requests in flight. wall: Unix s, only so that workers of a fleet take
    turns; None where there is one worker.
    """

    lanes: Sequence[Lane]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    rps: float | None = None
    concurrency: int | None = None
    wall: Callable[[], float] | None = None

    _rates: dict[str, LaneRate] = field(init=False)
    _retired: dict[str, str] = field(init=False, default_factory=dict)
    _latency: Latency = field(init=False, default_factory=Latency)
    _share: Share = field(init=False, default=ALONE)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        caps = lane_caps(self.lanes, self.rps)
        self._rates = {lane.name: LaneRate.of(lane, cap_rps=caps[lane.name]) for lane in self.lanes}

    async def acquire(
        self, pages: int | None = None, ready: Callable[[float], Awaitable[None]] | None = None
    ) -> Slot:
        """Wait for the turn, then for the lane that can send soonest. Raises NoLanes.

        Whoever asked first sends first. A cancelled wait takes nothing. pages: what the document
        will be billed for; None counts as one. ready: called while the turn is near, with when it
        comes as far as is known; what it raises ends the wait, and the turn is the next one's.
        """
        cost = max(1, pages or 1)
        async with self._turn:  # asyncio's lock is fair: a waiting worker keeps its place
            while True:
                now = self.clock()
                at, name = self._soonest(now, cost)
                if ready is not None and at - now <= NEAR_S:
                    await ready(max(at, now))
                    now = self.clock()
                    at, name = self._soonest(now, cost)
                if at <= now:
                    return self._take(name, now, cost)
                await self.sleep(min(at - now, LONGEST_NAP_S))

    def succeeded(self, slot: Slot, latency_s: float) -> None:
        """The request was answered."""
        self._latency = self._latency.with_answer(latency_s)
        self._rates[slot.lane].answered(slot.sent_at)

    def failed(self, slot: Slot) -> None:
        """The request failed after it was let through: no 429."""
        self._rates[slot.lane].answered(slot.sent_at)

    def throttled(self, slot: Slot, retry_after_s: float | None = None) -> None:
        """The request was answered 429."""
        self._rates[slot.lane].throttled(self.clock(), slot.sent_at, retry_after_s)

    def retire(self, lane: str, reason: str) -> tuple[str, ...]:
        """Never send with this key again; the names of the lanes that remain."""
        self._retired.setdefault(lane, reason)
        return self.remaining()

    def remaining(self) -> tuple[str, ...]:
        """The lanes that may still be sent with."""
        return tuple(name for name in self._rates if name not in self._retired)

    def retired(self) -> Mapping[str, str]:
        """Why, by lane."""
        return dict(self._retired)

    def rate_now(self) -> float:
        """Requests/s that this worker may send at now, all lanes; inf without a limit."""
        return sum(self._rates[name].rate_rps * self._share.fraction for name in self.remaining())

    @property
    def is_limited(self) -> bool:
        """Whether there is a rate to share: engines on one's own cores have none."""
        limits = (self.rps, *(one.requests_per_s or one.pages_per_minute for one in self.lanes))
        return any(limits)

    def ceilings(self) -> Mapping[str, Ceiling]:
        """What was found out so far, for the run's memory and the heartbeat; lanes with a limit."""
        found = {name: rate.ceiling for name, rate in self._rates.items()}
        return {name: ceiling for name, ceiling in found.items() if ceiling is not None}

    def adopt(self, ceilings: Mapping[str, Ceiling]) -> None:
        """Use what others found out later than we did."""
        now = self.clock()
        for name, ceiling in ceilings.items():
            if name in self._rates:
                self._rates[name].remember(ceiling, now)

    def set_rps(self, rps: float | None, *, setting: int = 0) -> None:
        """Change `--rps` of a run that is under way. setting: its number in the fleet's log."""
        self.rps = rps
        for name, cap in lane_caps(self.lanes, rps).items():
            self._rates[name].set_cap(cap, self.clock(), setting)

    def set_share(self, share: Share) -> None:
        """Our part of the fleet's rate from now on; fraction 0 sends nothing."""
        self._share = share
        for rate in self._rates.values():
            rate.set_share(share, self.clock())

    def in_flight_wanted(self) -> int:
        """How many requests at once the rate needs: rate x latency, with headroom.

        At least one a lane; at most `concurrency`, which is also the answer where nothing limits
        the rate (1 where that is not given either).
        """
        at_least = max(1, len(self.remaining()))
        rate = self.rate_now()
        if math.isinf(rate):
            return max(1, self.concurrency or 1)
        wanted = max(at_least, math.ceil(rate * self._latency.high_s) + at_least)
        return wanted if self.concurrency is None else max(1, min(wanted, self.concurrency))

    def _soonest(self, now: float, pages: int) -> tuple[float, str]:
        names = self.remaining()
        if not names:
            raise NoLanes(self._retired)
        wall_offset_s = 0.0 if self.wall is None else self.wall() - now
        # among equals the lane that has rested longest, so that unlimited lanes take turns
        at, _, name = min(
            (self._rates[name].next_at(now, pages, wall_offset_s), self._rates[name].last_at, name)
            for name in names
        )
        return at, name

    def _take(self, name: str, now: float, pages: int) -> Slot:
        self._rates[name].take(now, pages)
        return Slot(lane=name, sent_at=now)


def lane_caps(lanes: Sequence[Lane], rps: float | None) -> dict[str, float]:
    """`--rps N` split as the lanes' own rates are; a lane without one counts as an average one."""
    if rps is None:
        return {lane.name: math.inf for lane in lanes}
    known = [lane.requests_per_s for lane in lanes if lane.requests_per_s]
    average = sum(known) / len(known) if known else 1.0
    weights = {lane.name: lane.requests_per_s or average for lane in lanes}
    total = sum(weights.values())
    return {name: rps * weight / total for name, weight in weights.items()}
