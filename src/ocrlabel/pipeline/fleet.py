"""One rate for many workers, without a server: each works out its own share.

Pure functions of heartbeats. Nobody's clock is trusted but one's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Our part of the fleet's rate: rank (from 0) among `members` workers that send.

    fraction of every budget; 0: send nothing now. Turns: of every `members` ticks of the fleet's
    rate, counted on the wall clock, ours is number `rank`. Clocks that disagree cost smoothness,
    never the total rate, which the fractions keep.
    """

    rank: int = 0
    members: int = 1
    fraction: float = 1.0

    def turn_at(self, at: float, interval_s: float) -> float:
        """Our first turn not before `at`, on a clock that all workers read (Unix s)."""
        if self.members == 1:
            return at
        period_s = self.members * interval_s
        phase_s = self.rank * interval_s
        # a turn that rounding puts a microsecond before `at` is this one
        return math.ceil((at - phase_s - 1e-6) / period_s) * period_s + phase_s


ALONE = Share()
NOTHING = Share(fraction=0.0)
