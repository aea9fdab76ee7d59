"""One key's pace: requests/s as AIMD finds it, pages/min as documented, our turn in the fleet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrlabel.engines.base import Lane
from ocrlabel.pipeline.rate.aimd import Aimd, Ceiling, Rise
from ocrlabel.pipeline.rate.fleet import ALONE, Share
from ocrlabel.pipeline.rate.gcra import Gcra

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


@dataclass(slots=True)
class LaneRate:
    """When one key may send next. Mutable, but it never waits and reads no clock.

    aimd: None without a limit on requests. pages_per_s: inf without a limit on pages.
    pages_follow: pages_per_s goes with documented_rps; beyond it both rise together.
    """

    aimd: Aimd | None
    documented_rps: float | None = None
    pages_per_s: float = math.inf
    pages_follow: bool = False
    share: Share = ALONE
    requests_full_at: float = -math.inf
    pages_full_at: float = -math.inf
    paused_until: float = -math.inf
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
        due_at = self._requests_at(-math.inf)
        late_s = now - due_at
        limited = late_s <= max(LATE_FOR_TURN * budget.interval_s, LATE_S)
        punctual_s = max(LATE * budget.interval_s, min(LATE_S, budget.interval_s / 2))
        due = late_s <= punctual_s and self.share.members == 1
        self.requests_full_at = budget.taken(self.requests_full_at, due_at if due else now)
        self._search_goes_on(self.aimd.sent(now, limited=limited, rise=_rise(self.share)), now)

    def answered(self, sent_at: float) -> None:
        """A request got through."""
        self.storm_s = STORM_S
        if self.aimd is not None:
            self.aimd = self.aimd.answered(sent_at)

    def throttled(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """A request got a 429."""
        if retry_after_s is not None:
            self.pause_until(now + retry_after_s)
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
