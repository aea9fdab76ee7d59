"""What this worker knows of an unfinished batch, and what follows from it; no store in here."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ocrlabel.pipeline.leases.standing import Closed, Free, HeldUntil, Standing

LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class KnownBatch:
    """Which of its slices are ours, closed or released, and how the others stood when last seen."""

    number: int
    ours: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    released: set[int] = field(default_factory=set)
    looked_at_s: float | None = None
    standings: dict[int, Standing] = field(default_factory=dict)

    def is_fresh(self, now_s: float) -> bool:
        """Whether it was looked at a moment ago."""
        return self.looked_at_s is not None and now_s - self.looked_at_s < LOOK_AGAIN_S

    def see(self, standings: Mapping[int, Standing], now_s: float) -> None:
        """Take in how its slices stand."""
        self.looked_at_s = now_s
        self.standings = dict(standings)
        self.closed |= {
            number for number, stands in standings.items() if isinstance(stands, Closed)
        }

    def free(self, number: int) -> Free | None:
        """How a slice may be claimed; None when it may not, as far as is known."""
        if number in self.ours | self.closed | self.released:
            return None
        stands = self.standings.get(number, Free(number=1, taken_over=False))
        return stands if isinstance(stands, Free) else None

    def taken_by_another(self, number: int, now_s: float) -> None:
        """Somebody was faster."""
        self.standings[number] = HeldUntil(now_s + LOOK_AGAIN_S)

    def given_back(self, number: int, *, complete: bool, given: bool) -> None:
        """A slice of ours is closed or released, if the store took it (`given`)."""
        self.ours.discard(number)
        if given:
            (self.closed if complete else self.released).add(number)
        # others may have closed theirs since: the last one to close must see all closed
        self.looked_at_s = None

    def lost(self, number: int) -> None:
        """A slice of ours is somebody else's."""
        self.ours.discard(number)
        self.looked_at_s = None

    def is_closed(self, required: AbstractSet[int]) -> bool:
        """Whether every slice is closed that has to be, whoever closed it."""
        return self.closed >= required

    def is_over_for_us(self, selected: AbstractSet[int]) -> bool:
        """Whether nothing that was asked for is left in it."""
        return self.closed | self.released >= selected
