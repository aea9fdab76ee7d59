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

FALL = 0.75  # of the rate, at the first 429 of a burst
FIRST_GUESS = 0.9  # of the rate at the first 429, which says little about the limit
NEAR = 0.98  # of the rate at a later 429: at most this much stays
RECOVERY_PER_S = 0.10  # of rps: a fall is made up for in 2.5 s
RISE_PER_S = 0.027  # while no 429 was ever seen: 3/s becomes 10/s in 45 s
RISE_BELOW_LIMIT_PER_S = 0.004  # up to where 429 came
RISE_ABOVE_LIMIT_PER_S = 0.001  # beyond it
HOLD_S = 60.0  # once measured, a limit is not tried again before
FEW = 12  # sends: fewer between two 429s measure nothing
MANY = 60  # sends: enough to begin a new measurement
LOWEST_RPS = 0.02


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What is worth remembering of a key's limit, in the run and between workers.

    rps: the believed limit of the key, all workers together. limit_rps: the rate at which 429 last
    came, None while it never did. version: grows with every change, so of two the higher is newer.
    """

    rps: float
    limit_rps: float | None = None
    version: int = 0

    def newer_than(self, other: Ceiling) -> bool:
        """Of two changes made at once, the lower rate counts."""
        return (self.version, -self.rps) > (other.version, -other.rps)


@dataclass(frozen=True, slots=True)
class Aimd:
    """The search for one key's limit. cap_rps is `--rps N`; inf for `auto`."""

    rps: float
    rate_rps: float
    cap_rps: float = math.inf
    limit_rps: float | None = None
    version: int = 0
    fell_at: float = -math.inf
    answered_since_fall: bool = True
    hold_until: float = -math.inf
    grown_at: float = -math.inf
    empty_at: float | None = None
    """When the service's bucket was last known to be empty: the start of a measurement."""
    sent_since_empty: int = 0

    @classmethod
    def starting(cls, rps: float, cap_rps: float = math.inf) -> Aimd:
        """At the documented rate, or at the cap where that is lower."""
        return cls(rps=min(rps, cap_rps), rate_rps=min(rps, cap_rps), cap_rps=cap_rps)

    @property
    def ceiling(self) -> Ceiling:
        """To be remembered."""
        return Ceiling(self.rps, self.limit_rps, self.version)

    def remembering(self, ceiling: Ceiling) -> Aimd:
        """With what another worker, or this run before it was cut, found out, if that is newer."""
        if not ceiling.newer_than(self.ceiling):
            return self
        rps = min(ceiling.rps, self.cap_rps)
        # a fall of our own that we have not made up for yet goes on
        rate = min(rps, self.rate_rps) if self.rate_rps < self.rps else rps
        return replace(
            self, rps=rps, rate_rps=rate, limit_rps=ceiling.limit_rps, version=ceiling.version
        )

    def sent(self, now: float, *, limited: bool, rising: float = 1.0) -> Aimd:
        """A request went out. limited: it had to wait for this rate. rising: scales the rise."""
        elapsed_s = min(max(now - self.grown_at, 0.0), 1.0)  # a rest is no evidence of anything
        after = replace(self, grown_at=now, sent_since_empty=self.sent_since_empty + 1)
        if self.rate_rps < self.rps:
            recovered = self.rate_rps + RECOVERY_PER_S * self.rps * elapsed_s
            return replace(after, rate_rps=min(self.rps, recovered))
        if not limited or now < self.hold_until or self.rps >= self.cap_rps or rising <= 0:
            return after
        rps = min(self.cap_rps, self.rps * (1 + self._rise_per_s() * rising * elapsed_s))
        return replace(after, rps=rps, rate_rps=rps, version=self.version + 1)

    def _rise_per_s(self) -> float:
        if self.limit_rps is None:
            return RISE_PER_S
        if self.rps < NEAR * self.limit_rps:
            return RISE_BELOW_LIMIT_PER_S
        return RISE_ABOVE_LIMIT_PER_S

    def answered(self, sent_at: float) -> Aimd:
        """A request was let through (whatever came of it afterwards)."""
        if self.answered_since_fall or sent_at < self.fell_at:
            return self
        return replace(self, answered_since_fall=True)

    def throttled(self, now: float, sent_at: float, *, share: float = 1.0) -> Aimd:
        """A 429. share: our part of all that is sent with this key."""
        refused = replace(self, sent_since_empty=max(0, self.sent_since_empty - 1))
        if sent_at < self.fell_at:
            return refused  # sent before we fell: the same burst
        fallen = replace(
            refused, rate_rps=max(LOWEST_RPS, FALL * self.rate_rps), fell_at=now, grown_at=now
        )
        if not self.answered_since_fall:
            return fallen  # nothing gets through at all: that says nothing about the limit
        rps, hold_s = _lowered(refused, now, share)
        fallen = replace(
            fallen,
            rps=max(LOWEST_RPS, rps),
            rate_rps=min(fallen.rate_rps, rps),
            limit_rps=self.rps,
            version=self.version + 1,
            answered_since_fall=False,
            hold_until=now + hold_s,
        )
        if self.empty_at is None or refused.sent_since_empty >= MANY:
            return replace(fallen, empty_at=now, sent_since_empty=0)
        return fallen


def _lowered(search: Aimd, now: float, share: float) -> tuple[float, float]:
    """The limit that a 429 now points to, and for how long not to go beyond it (s)."""
    if search.empty_at is None or search.sent_since_empty < FEW:
        return FIRST_GUESS * search.rps, 2.0
    measured = search.sent_since_empty / (now - search.empty_at) / share
    return min(max(measured, FALL * search.rps), NEAR * search.rps), HOLD_S
