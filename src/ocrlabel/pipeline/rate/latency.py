"""How long answers take, as a running mean and deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass

BEFORE_ANY_ANSWER_S = 4.0  # generous: too few in flight would hide the true latency
WEIGHT = 0.1  # of the newest answer: the last twenty or so count


@dataclass(frozen=True, slots=True)
class Latency:
    """Exponentially weighted mean and variance (West 1979); None before the first answer."""

    mean_s: float | None = None
    variance: float = 0.0

    def with_answer(self, latency_s: float) -> Latency:
        """After one more answer."""
        if self.mean_s is None:
            # until more is known: as unlike each other as half the first
            return Latency(latency_s, (latency_s / 2) ** 2)
        difference = latency_s - self.mean_s
        return Latency(
            self.mean_s + WEIGHT * difference,
            (1 - WEIGHT) * (self.variance + WEIGHT * difference**2),
        )

    @property
    def high_s(self) -> float:
        """Two deviations above the mean: few answers take longer."""
        if self.mean_s is None:
            return BEFORE_ANY_ANSWER_S
        return self.mean_s + 2 * math.sqrt(self.variance)
