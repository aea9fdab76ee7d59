"""The confidence that reaches a wanted precision: chosen on one half, measured on the other.

A cut that is measured where it was chosen looks better than it is. Halves are of documents, by
seed, so pages of one document and copies of one image are never on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrlabel.quality.curve import Curve, CurvePoint
from ocrlabel.quality.resample import in_first_half

WANTED_PRECISION = 0.95

AT_LEAST = 50
"""The fewest words that a cut has to keep where it is chosen."""


@dataclass(frozen=True, slots=True)
class Cut:
    """chosen: on the first half; None where no cut reaches the wanted precision there.

    measured: the same cut on the other half, with its interval.
    """

    wanted: float
    chosen: CurvePoint | None
    measured: CurvePoint | None
    documents_chosen_on: int
    documents_measured_on: int


class Halves:
    """Scores in two halves, by document."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first = Curve(seed)
        self._second = Curve(seed)

    @property
    def whole(self) -> Curve:
        """Both halves as one."""
        return self._first.plus(self._second)

    def add(self, document: str, scores: Sequence[float], right: Sequence[bool]) -> None:
        """Add words of one document."""
        half = self._first if in_first_half(document, self._seed) else self._second
        half.add(document, scores, right)

    def cut(self, wanted: float = WANTED_PRECISION) -> Cut:
        """Choose on the first half, measure on the second."""
        at = self._first.lowest_cut(wanted, at_least=AT_LEAST)
        measurable = at is not None and self._second.words > 0
        return Cut(
            wanted=wanted,
            chosen=None if at is None else self._first.at(at),
            measured=self._second.at(at) if at is not None and measurable else None,
            documents_chosen_on=self._first.documents,
            documents_measured_on=self._second.documents,
        )
