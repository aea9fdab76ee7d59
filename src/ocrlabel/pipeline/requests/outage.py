"""How long something has failed without a success in between."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_GAP_S = 60.0
"""Between two tries of an outage. A longer silence is no trying: nothing to do, or a sleep."""


@dataclass(slots=True)
class Outage:
    """Failures in a row, and for how long they have been tried again (s, on the caller's clock)."""

    tried_for_s: float = 0.0
    _failed_at_s: float | None = None

    def failed(self, now_s: float) -> bool:
        """It failed; True when this is the first failure after a success."""
        first = self._failed_at_s is None
        if self._failed_at_s is not None:
            self.tried_for_s += min(now_s - self._failed_at_s, _LONGEST_GAP_S)
        self._failed_at_s = now_s
        return first

    def over(self) -> None:
        """It worked."""
        self.tried_for_s, self._failed_at_s = 0.0, None
