"""The rate: when the next request may be sent, and with which key.

`RatePool` hands out slots. Each key has a `LaneRate`: requests/s as AIMD finds it (`aimd`),
pages/min as documented, our part and our turn in the fleet (`fleet`), all kept by GCRA. How many
requests are in flight follows from rate x latency.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ocrlabel.engine import Lane
from ocrlabel.pipeline.rate.aimd import Aimd, Ceiling, Rise
from ocrlabel.pipeline.rate.fleet import ALONE, Share

MARGIN = 0.9875
"""Of the rate: the service counts arrivals, and the way there takes a varying time."""
LATE = 0.1
LATE_S = 0.010
"""Of an interval, or s if that is more: a timer so late is taken for punctual: it costs no rate."""
BURST_IN_FLEET = 1.5
"""Burst of a worker with a turn: when the turns move, its next is on average as far as before."""
PAGES_AT_ONCE_S = 1.0
"""Burst of the pages budget, in seconds of it."""
LATE_FOR_TURN = 0.25
"""Of an interval: later than that a worker missed its turn, or was not waiting for the rate."""
STORM_S = 0.5
"""First cool-down while nothing but 429 comes; doubles up to STORM_LONGEST_S."""
STORM_LONGEST_S = 30.0
LONGEST_NAP_S = 0.5
"""How late a waiting worker sees that the rate rose, a pause ended, or its share grew."""
NEAR_S = 5.0
"""How long before its turn a request is made ready: longer than a put takes on a bad day."""
PATIENCE_S = 30.0
"""A longer pause of every key is not waited for in the queue: it is an outage."""
BEFORE_ANY_ANSWER_S = 4.0  # generous: too few in flight would hide the true latency
WEIGHT = 0.1  # of the newest answer: the last twenty or so count


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


@dataclass(eq=False)
class Paused(Exception):
    """Every lane is paused until then (the pool's clock), which is long."""

    until: float


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
    _latency: LatencyEstimate = field(init=False)
    _share: Share = field(init=False, default=ALONE)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._latency = LatencyEstimate()
        caps = lane_caps(self.lanes, self.rps)
        self._rates = {lane.name: LaneRate.of(lane, cap_rps=caps[lane.name]) for lane in self.lanes}

    async def acquire(
        self, pages: int | None = None, ready: Callable[[float], Awaitable[None]] | None = None
    ) -> Slot:
        """Wait for the turn, then for the lane that can send soonest. Raises NoLanes and Paused.

        Whoever asked first sends first. A cancelled wait takes nothing. pages: what the document
        will be billed for; None counts as one. ready: called while the turn is near, with when it
        comes as far as is known; what it raises ends the wait, and the turn is the next one's.
        """
        cost = max(1, pages or 1)
        async with self._turn:  # asyncio's lock is fair: a waiting worker keeps its place
            while True:
                now = self.clock()
                at, name = self._soonest(now, cost)
                if (until := min(self.pauses().values())) > now + PATIENCE_S:
                    raise Paused(until)
                if ready is not None and at - now <= NEAR_S:
                    await ready(at)
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

    def pauses(self) -> Mapping[str, float]:
        """Until when each of them is paused; in the past where it is not."""
        return {name: self._rates[name].paused_until for name in self.remaining()}

    def asked_to_wait(self) -> Mapping[str, float]:
        """Of these pauses what the service asked for itself; in the past where it did not."""
        return {name: self._rates[name].asked_until for name in self.remaining()}

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


@dataclass(slots=True)
class LaneRate:
    """When one key may send next. Mutable, but it never waits and reads no clock.

    aimd: None without a limit on requests. pages_per_s: inf without a limit on pages.
    pages_follow: pages_per_s goes with documented_rps; beyond it both rise together. asked_until:
    what of paused_until the service asked for.
    """

    aimd: Aimd | None
    documented_rps: float | None = None
    pages_per_s: float = math.inf
    pages_follow: bool = False
    share: Share = ALONE
    requests_full_at: float = -math.inf
    pages_full_at: float = -math.inf
    paused_until: float = -math.inf
    asked_until: float = -math.inf
    last_at: float = -math.inf
    storm_s: float = STORM_S

    @classmethod
    def of(cls, lane: Lane, *, cap_rps: float) -> LaneRate:
        """cap_rps: `--rps N` for this lane; inf begins at its documented rate and looks further."""
        per_s = math.inf if lane.pages_per_minute is None else lane.pages_per_minute / 60
        search = _search(lane.requests_per_s, cap_rps)
        return cls(search, lane.requests_per_s, per_s, lane.pages_follow)

    @property
    def rate_rps(self) -> float:
        """Requests/s of all workers together, at now; inf without a limit."""
        return math.inf if self.aimd is None else MARGIN * self.aimd.rate_rps

    @property
    def ceiling(self) -> Ceiling | None:
        """What is worth remembering; None without a limit."""
        return None if self.aimd is None else self.aimd.ceiling

    def next_at(self, now: float, pages: int, wall_offset_s: float = 0.0) -> float:
        """When a request of so many pages may go, not before now; inf while we have no share.

        wall_offset_s: what to add to `now` to get a time that all workers of the fleet share.
        """
        if self.aimd is None and math.isinf(self.pages_per_s):
            return max(now, self.paused_until)
        if self.share.fraction <= 0 or now >= self.share.until:
            return math.inf
        at = max(self._requests_at(-math.inf), self._pages_at(pages), self.paused_until)
        if self.share.members == 1 or self.aimd is None:
            return max(now, at)
        # the grid is that of all workers: a fall of our own makes us wait, but not out of turn
        interval_s = 1 / (MARGIN * self.aimd.rps)
        # a timer that fires a little late has not missed its turn
        not_before = max(at, now - LATE_FOR_TURN * interval_s)
        turn_at = self.share.turn_at(not_before + wall_offset_s, interval_s) - wall_offset_s
        return max(now, turn_at)

    def take(self, now: float, pages: int) -> None:
        """A request of so many pages goes now."""
        self.last_at = now
        if not math.isinf(self.pages_per_s):
            self.pages_full_at = self._pages().taken(self.pages_full_at, now, pages)
        if self.aimd is None:
            return
        budget = self._requests()
        # a worker with turns is due when it has saved up for one, not as soon as it may be early
        late_s = now - self.requests_full_at
        limited = late_s <= max(LATE_FOR_TURN * budget.interval_s, LATE_S)
        punctual_s = max(LATE * budget.interval_s, min(LATE_S, budget.interval_s / 2))
        due = late_s <= punctual_s and self.share.members == 1
        begins_at = self.requests_full_at if due else now
        self.requests_full_at = budget.taken(self.requests_full_at, begins_at)
        self._search_goes_on(self.aimd.sent(now, limited=limited, rise=_rise(self.share)), now)

    def answered(self, sent_at: float) -> None:
        """A request got through."""
        self.storm_s = STORM_S
        if self.aimd is not None:
            self.aimd = self.aimd.answered(sent_at)

    def throttled(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """A request got a 429."""
        if retry_after_s is not None:
            self.asked_until = max(self.asked_until, now + retry_after_s)
            self.pause_until(self.asked_until)
        if self.aimd is None:
            return
        if sent_at >= self.aimd.fell_at and not self.aimd.answered_since_storm:
            # even the lower rate is refused: a window of a minute, or no service at all
            self.pause_until(now + self.storm_s)
            self.storm_s = min(2 * self.storm_s, STORM_LONGEST_S)
        fallen = self.aimd.throttled(
            now, sent_at, resumes_at=self.paused_until, share=self.share.fraction or 1.0
        )
        self._search_goes_on(fallen, now)

    def pause_until(self, at: float) -> None:
        """Send nothing before `at`."""
        self.paused_until = max(self.paused_until, at)

    def remember(self, ceiling: Ceiling, now: float) -> None:
        """What another worker, or this run earlier, found out."""
        if self.aimd is not None:
            self._search_goes_on(self.aimd.remembering(ceiling, now), now)

    def set_cap(self, cap_rps: float, now: float, setting: int) -> None:
        """`--rps` was changed, by the setting of this number: begin again from there."""
        begun = _search(self.documented_rps, cap_rps)
        self._search_goes_on(begun and replace(begun, setting=setting), now)

    def set_share(self, share: Share, now: float) -> None:
        """Our part of both budgets from now on."""
        before = self._requests(), self._pages()
        self.share = share
        if share.fraction > 0:  # until there is a share again, what is owed stays owed
            self._rescale(before, now)

    def _search_goes_on(self, aimd: Aimd | None, now: float) -> None:
        before = self._requests(), self._pages()
        self.aimd = aimd
        self._rescale(before, now)

    def _rescale(self, before: tuple[Gcra, Gcra], now: float) -> None:
        requests, pages = self._requests(), self._pages()
        self.requests_full_at = requests.rescaled(self.requests_full_at, now, before[0])
        self.pages_full_at = pages.rescaled(self.pages_full_at, now, before[1])

    def _requests(self) -> Gcra:
        burst = 1.0 if self.share.members == 1 else BURST_IN_FLEET
        return Gcra(_interval_s(self.rate_rps * self.share.fraction), burst)

    def _pages(self) -> Gcra:
        per_s = MARGIN * self.pages_per_s * self._tier() * self.share.fraction
        return Gcra(_interval_s(per_s), max(1.0, PAGES_AT_ONCE_S * per_s))

    def _tier(self) -> float:
        """How many times the documented requests/s the key has turned out to bear."""
        if not self.pages_follow or self.aimd is None or not self.documented_rps:
            return 1.0
        return max(1.0, self.aimd.rps / self.documented_rps)

    def _requests_at(self, now: float) -> float:
        return self._requests().next_at(self.requests_full_at, now)

    def _pages_at(self, pages: int) -> float:
        if math.isinf(self.pages_per_s):
            return -math.inf
        return self._pages().next_at(self.pages_full_at, -math.inf, pages)


def _search(documented_rps: float | None, cap_rps: float) -> Aimd | None:
    if not math.isinf(cap_rps):
        return Aimd.starting(cap_rps, cap_rps)
    return None if documented_rps is None else Aimd.starting(documented_rps)


def _rise(share: Share) -> Rise:
    """In a fleet one worker looks for a higher rate, and the others follow: one rate, one grid."""
    if share.members == 1:
        return Rise.STEADY
    return Rise.BY_STEPS if share.rank == 0 else Rise.NEVER


def _interval_s(per_s: float) -> float:
    """0 both for no limit and for no share: neither has a queue to keep."""
    return 1 / per_s if per_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Gcra:
    """One unit every interval_s; after a rest, `burst` units at once.

    In any stretch of t seconds no more than t / interval_s + burst units are taken, apart from
    what one cost larger than the burst adds: it is admitted when the bucket is full, then owed.
    """

    interval_s: float
    burst: float = 1.0

    def next_at(self, full_at: float, now: float, cost: float = 1.0) -> float:
        """When `cost` units may be taken, not before now."""
        spare = self.burst - min(cost, self.burst)
        return max(now, full_at - spare * self.interval_s)

    def taken(self, full_at: float, now: float, cost: float = 1.0) -> float:
        """`full_at` after taking `cost` units now."""
        return max(full_at, now) + cost * self.interval_s

    def rescaled(self, full_at: float, now: float, before: Gcra) -> float:
        """`full_at` for this rate, so that the units owed to `before` stay owed."""
        owed_s = full_at - now
        if owed_s <= 0 or before.interval_s <= 0:
            return full_at
        return now + owed_s * self.interval_s / before.interval_s


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Exponentially weighted mean and variance (West 1979); None before the first answer."""

    mean_s: float | None = None
    variance: float = 0.0

    def with_answer(self, latency_s: float) -> LatencyEstimate:
        """After one more answer."""
        if self.mean_s is None:
            # until more is known: as unlike each other as half the first
            return LatencyEstimate(latency_s, (latency_s / 2) ** 2)
        difference = latency_s - self.mean_s
        return LatencyEstimate(
            self.mean_s + WEIGHT * difference,
            (1 - WEIGHT) * (self.variance + WEIGHT * difference**2),
        )

    @property
    def high_s(self) -> float:
        """Two deviations above the mean: few answers take longer."""
        if self.mean_s is None:
            return BEFORE_ANY_ANSWER_S
        return self.mean_s + 2 * math.sqrt(self.variance)
