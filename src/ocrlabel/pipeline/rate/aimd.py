"""The rate that a key bears, found by asking: up slowly, down at once (AIMD).

`rps` is what we believe the limit to be, `rate_rps` what we send at now: they differ only for a
few seconds after a fall. Pure values; the pool feeds them with its sends and their answers.

How a limit is found. The first 429 shows only that the rate was too high (a token bucket lets a
rate pass that is too high until it is empty). From then on the bucket is known to be empty, so
what gets through up to the next 429 *is* the limit, and that is what `rps` becomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, auto

FALL = 0.75  # of the rate, at the first 429 of a burst
FIRST_GUESS = 0.9  # of the rate at the first 429, which says little about the limit
NEAR = 0.98  # of the rate at a later 429: at most this much stays
RECOVERY_PER_S = 0.2  # of rps: a fall is made up for in 1.25 s
FALL_COSTS_S = (1 - FALL) ** 2 / RECOVERY_PER_S / 2  # of sending at full rate
RISE_PER_S = 0.027  # while no 429 was ever seen: 3/s becomes 10/s in 45 s
RISE_TO_GUESS_PER_S = 0.02  # up to near where the first 429 came
RISE_TO_LIMIT_PER_S = 0.002  # up to near where a later one came
RISE_ABOVE_LIMIT_PER_S = 0.001  # beyond it
HOLD_S = 60.0  # for so long nothing beyond it is tried
HOLD_DOCUMENTED_S = 600.0  # nor beyond a documented rate that a 429 confirmed
SPORADIC = 200, 20.0  # sends and seconds without a 429: the next one is mostly jitter
SPORADIC_NEAR = 0.99
SPORADIC_IN_FLEET = 25  # sends of one worker: clocks a little apart cost a 429 now and then
FEW = 30  # sends of one of many workers: fewer measure nothing
STEP_EVERY_S, STEP_S = 60.0, 6.0  # a fleet's rise: every minute, what one worker does in 6 s
QUIET = 50, 20.0  # sends and seconds without a 429: a documented rate is worth another try
MANY = 60  # sends: enough to begin a new measurement
LOWEST_RPS = 0.02


class Rise(Enum):
    """How the rate may rise: others of a fleet have to learn of it before it serves them."""

    STEADY = auto()
    BY_STEPS = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What is worth remembering of a key's limit, in the run and between workers.

    rps: the believed limit of the key, all workers together. limit_rps: the rate at which 429
    last came, None while it never did. falls, and rises: how often each happened; they tell the
    newer of two ceilings, as clocks of different machines cannot. setting: how often `--rps` was
    changed for the live fleet before; what was found under an earlier one says nothing any more.
    """

    rps: float
    limit_rps: float | None = None
    falls: int = 0
    rises: int = 0
    setting: int = 0

    def newer_than(self, other: Ceiling) -> bool:
        """Of two changes made at once, the lower rate counts."""
        mine = (self.setting, self.falls, self.rises)
        its = (other.setting, other.falls, other.rises)
        return (*mine, -self.rps) > (*its, -other.rps)


@dataclass(frozen=True, slots=True)
class Aimd:
    """The search for one key's limit. cap_rps is `--rps N`; inf for `auto`."""

    rps: float
    rate_rps: float
    cap_rps: float = math.inf
    limit_rps: float | None = None
    falls: int = 0
    rises: int = 0
    setting: int = 0
    documented_rps: float = 0.0
    fell_at: float = -math.inf
    storm_began_at: float = -math.inf
    """The first fall since something got through."""
    answered_since_storm: bool = True
    hold_until: float = -math.inf
    grown_at: float = -math.inf
    risen_at: float = -math.inf
    empty_at: float | None = None
    """When the service's bucket was last known to be empty: the start of a measurement."""
    measured: bool = False
    """rps comes from a measurement, not from a first guess."""
    sent_since_empty: int = 0
    sent_since_fall: int = 0

    @classmethod
    def starting(cls, rps: float, cap_rps: float = math.inf) -> Aimd:
        """At the documented rate, or at the cap where that is lower."""
        start = min(rps, cap_rps)
        return cls(rps=start, rate_rps=start, cap_rps=cap_rps, documented_rps=rps)

    @property
    def ceiling(self) -> Ceiling:
        """To be remembered."""
        return Ceiling(self.rps, self.limit_rps, self.falls, self.rises, self.setting)

    def remembering(self, ceiling: Ceiling, now: float) -> Aimd:
        """With what another worker, or this run before it was cut, found out, if that is newer."""
        if not ceiling.newer_than(self.ceiling):
            return self
        rps = min(ceiling.rps, self.cap_rps)
        # a fall of our own that we have not made up for yet goes on
        rate = min(rps, self.rate_rps) if self.rate_rps < self.rps else rps
        return replace(
            self,
            rps=rps,
            rate_rps=rate,
            limit_rps=ceiling.limit_rps,
            measured=ceiling.limit_rps is not None,
            falls=ceiling.falls,
            rises=ceiling.rises,
            setting=ceiling.setting,
            risen_at=now,
            hold_until=self._holding(rps, now) if ceiling.falls > self.falls else self.hold_until,
        )

    def _holding(self, rps: float, now: float) -> float:
        """Until when not to go beyond a limit that was found now."""
        return now + (HOLD_DOCUMENTED_S if rps == self.documented_rps else HOLD_S)

    def sent(self, now: float, *, limited: bool, rise: Rise = Rise.STEADY) -> Aimd:
        """A request went out. limited: it had to wait for this rate."""
        elapsed_s = min(max(now - self.grown_at, 0.0), 1.0)  # a rest is no evidence of anything
        after = replace(
            self,
            grown_at=now,
            sent_since_empty=self.sent_since_empty + 1,
            sent_since_fall=self.sent_since_fall + 1,
        )
        if self.rate_rps < self.rps:
            recovered = self.rate_rps + RECOVERY_PER_S * self.rps * elapsed_s
            return replace(after, rate_rps=min(self.rps, recovered))
        if not limited or rise is Rise.NEVER:
            return after
        if rise is Rise.BY_STEPS:
            if now < self.risen_at + STEP_EVERY_S:
                return after
            elapsed_s = STEP_S
        rps = min(self.cap_rps, self.rps * (1 + self._rise_per_s(now) * elapsed_s))
        if rps <= self.rps:
            return after
        return replace(after, rps=rps, rate_rps=rps, risen_at=now, rises=self.rises + 1)

    def _rise_per_s(self, now: float) -> float:
        if self.limit_rps is None:
            return RISE_PER_S
        if self.rps < NEAR * self.limit_rps:
            return RISE_TO_LIMIT_PER_S if self.measured else RISE_TO_GUESS_PER_S
        if FIRST_GUESS * self.documented_rps <= self.rps < self.documented_rps:
            # a little below what we were told: that 429 was jitter
            sends, seconds = QUIET
            quiet = self.sent_since_fall >= sends and now >= self.fell_at + seconds
            return RISE_TO_LIMIT_PER_S if quiet else 0.0
        return RISE_ABOVE_LIMIT_PER_S if now >= self.hold_until else 0.0

    def answered(self, sent_at: float) -> Aimd:
        """A request was let through (whatever came of it afterwards)."""
        if self.answered_since_storm or sent_at < self.storm_began_at:
            return self
        return replace(self, answered_since_storm=True)

    def throttled(
        self, now: float, sent_at: float, *, resumes_at: float = -math.inf, share: float = 1.0
    ) -> Aimd:
        """A 429. resumes_at: end of the pause that it asked for. share: our part of the rate."""
        refused = replace(self, sent_since_empty=max(0, self.sent_since_empty - 1))
        if sent_at < self.fell_at:
            return refused  # sent before we fell: the same burst
        fallen = replace(
            refused,
            rate_rps=max(LOWEST_RPS, FALL * self.rate_rps),
            fell_at=now,
            sent_since_fall=0,
            grown_at=now,
        )
        if not self.answered_since_storm:
            # nothing gets through at all: that says nothing about the limit
            return _pausing_until(fallen, now, resumes_at)
        rps = max(LOWEST_RPS, _guess(refused, now, share))
        confirmed = self.rps > rps == self.documented_rps
        fallen = replace(
            fallen,
            rps=rps,
            rate_rps=min(fallen.rate_rps, rps),
            limit_rps=rps if confirmed else self.rps,
            measured=self.empty_at is not None,
            falls=self.falls + 1,
            rises=0,
            risen_at=now,
            storm_began_at=now,
            answered_since_storm=False,
            hold_until=self._holding(rps, now),
        )
        return _pausing_until(fallen, now, resumes_at)


def _pausing_until(search: Aimd, now: float, resumes_at: float) -> Aimd:
    """Begin to measure if that is due, and do not count the pause as time to send in."""
    pause_s = max(0.0, resumes_at - now)
    if search.empty_at is None or search.sent_since_empty >= MANY:
        return replace(search, empty_at=now + pause_s, sent_since_empty=0)
    return replace(search, empty_at=search.empty_at + pause_s)


def _guess(search: Aimd, now: float, share: float) -> float:
    """The limit that a 429 now points to, in requests/s."""
    rps, documented = search.rps, search.documented_rps
    if share < 1 and rps <= documented and search.sent_since_fall >= SPORADIC_IN_FLEET:
        return rps
    if share < 1 and rps <= documented and search.sent_since_empty < FEW:
        return SPORADIC_NEAR * rps
    # in a fleet others find the same limit at the same time: each goes half as far
    near = NEAR if share == 1 else SPORADIC_NEAR
    if search.empty_at is None:
        if rps <= documented:
            return near * rps
        # the documented rate is the likeliest of all limits that are only a little lower
        return documented if documented >= FALL * rps else FIRST_GUESS * rps
    sends, seconds = SPORADIC
    if search.sent_since_fall >= sends and now - search.fell_at >= seconds:
        return SPORADIC_NEAR * rps
    # one more than were let in: a few sends measure badly, and the error is to be on this side,
    # because another 429 corrects it sooner than the slow rise does
    elapsed_s = max(now - search.empty_at - FALL_COSTS_S, 1e-3)
    measured = (search.sent_since_empty + 1) / elapsed_s / share
    return min(max(measured, FALL * rps), near * rps)
