"""How long a store is asked again before a run is told that it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one operation, in seconds; the defaults are far below a lease of 60 s.

    limit_s: all attempts and waits together. attempt_s: one attempt. Both grow with the bytes
    that an operation moves, at slowest_bytes_per_s, so that a large object on a slow line is not
    taken for a dead store.
    """

    limit_s: float = 10.0
    attempt_s: float = 4.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 2.0
    slowest_bytes_per_s: float = 256 * 1024

    def extra_s(self, size_bytes: int) -> float:
        """The time that size_bytes may take on the slowest line that is still served."""
        return size_bytes / self.slowest_bytes_per_s

    def waits_s(self) -> Iterator[float]:
        """The longest wait before each further attempt: doubling, without end."""
        wait_s = self.first_wait_s
        while True:
            yield wait_s
            wait_s = min(wait_s * 2, self.longest_wait_s)
