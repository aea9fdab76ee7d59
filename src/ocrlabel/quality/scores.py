"""What every figure is made of: counts that add up over pages, and the two shares they give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts that add up over pages, field by field."""

    def __add__(self, other: Self) -> Self:
        # `fields` would look them up anew for each page
        names: Iterable[str] = self.__slots__
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class Score:
    """Two shares, 0..1, and what they come to together."""

    recall: float
    precision: float

    @property
    def hmean(self) -> float:
        """The harmonic mean, 0 where both are 0."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0

    @classmethod
    def of(cls, right: int, truth: int, read: int) -> Score:
        """From counts. Where there is nothing in the truth and nothing was read, all is right.

        Precision is 1 where nothing was read, recall is 1 where nothing was there to read.
        """
        return cls(recall=right / truth if truth else 1.0, precision=right / read if read else 1.0)
