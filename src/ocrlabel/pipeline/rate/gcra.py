"""GCRA, the generic cell rate algorithm: a token bucket kept in a single number.

The number is `full_at`: when the bucket is full again if nothing more is taken. Pure values; the
clock is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass


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
