"""Rows of claimed slices that nobody is reading: those that are next, and those for later."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from ocrlabel.pipeline.leases.lease import Lease
from ocrlabel.pipeline.outcomes import Row


@dataclass(slots=True)
class Part:
    """A slice that this worker holds. `complete`: closing it means that every row is settled."""

    batch: int
    number: int
    lease: Lease
    open_rows: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A row to read, and the slice that it comes from."""

    row: Row
    part: Part


@dataclass(slots=True)
class Drawn:
    """First come, first served; a row that has to wait comes first once it is due."""

    _next: deque[Work] = field(default_factory=deque)
    _later: list[tuple[float, int, Work]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    @property
    def has_next(self) -> bool:
        """Whether a row is there that does not have to wait."""
        return bool(self._next)

    def take(self, now_s: float) -> Work | None:
        """The next row; None when there is none, or none is due."""
        if self._later and self._later[0][0] <= now_s:
            return heapq.heappop(self._later)[2]
        return self._next.popleft() if self._next else None

    def due_s(self) -> float | None:
        """When the first of the rows that wait is due."""
        return self._later[0][0] if self._later else None

    def add(self, works: Iterable[Work]) -> None:
        """Rows of a slice that was just claimed."""
        self._next.extend(works)

    def put_back(self, work: Work, at_s: float) -> None:
        """A row that has to be looked at again at this time."""
        heapq.heappush(self._later, (at_s, next(self._order), work))

    def drop(self, part: Part) -> None:
        """Forget the rows of a slice that is somebody else's by now."""
        self._next = deque(work for work in self._next if work.part is not part)
        self._later = [later for later in self._later if later[2].part is not part]
        heapq.heapify(self._later)
