"""Precision against the share of words kept, for any score from 0 to 1, with intervals.

Words go into 10,001 steps of the score, so memory does not grow with their number, and a cut is a
number with four digits: words with a score of at least the cut are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrlabel.quality.resample import RESAMPLES, Interval, interval, weights

STEPS = 10_000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Keep what scores at least `cut`: this share of the words stays, this share of it is right."""

    cut: float
    kept_share: float
    kept: int
    precision: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Words with a score in [low, high): how many, what they claim and what they are."""

    low: float
    high: float
    words: int
    mean_score: float
    precision: float
    interval: Interval | None


class Curve:
    """Counts of kept and right words at each step of the score, in each resample."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept = np.zeros((STEPS + 1, RESAMPLES + 1), dtype=np.int32)
        self._right = np.zeros((STEPS + 1, RESAMPLES + 1), dtype=np.int32)
        self._last: str | None = None
        self.documents = 0
        """How many documents are in it, told by their change: pages of one stand together."""

    @property
    def words(self) -> int:
        """How many words are in it."""
        return int(self._kept[:, 0].sum())

    def add(self, document: str, scores: Sequence[float], right: Sequence[bool]) -> None:
        """Add words of one document; a document may come in parts."""
        if not scores:
            return
        self.documents += document != self._last
        self._last = document
        drawn = weights(document, self._seed)
        at, count = np.unique(steps(scores), return_counts=True)
        self._kept[at] += count[:, None].astype(np.int32) * drawn.astype(np.int32)
        good = np.asarray(right, dtype=np.bool_)
        if good.any():
            at, count = np.unique(steps(scores)[good], return_counts=True)
            self._right[at] += count[:, None].astype(np.int32) * drawn.astype(np.int32)

    def plus(self, other: Curve) -> Curve:
        """Both together; their documents are taken to be different ones."""
        both = Curve(self._seed)
        both._kept = self._kept + other._kept
        both._right = self._right + other._right
        both.documents = self.documents + other.documents
        return both

    def at(self, cut: float) -> CurvePoint:
        """Keep what scores at least `cut`."""
        first = int(steps([cut])[0])
        kept = self._kept[first:].sum(axis=0, dtype=np.int64)
        right = self._right[first:].sum(axis=0, dtype=np.int64)
        return CurvePoint(
            cut=first / STEPS,
            kept_share=float(kept[0]) / self.words if self.words else 0.0,
            kept=int(kept[0]),
            precision=float(right[0] / kept[0]) if kept[0] else 1.0,
            interval=interval(right, kept, self.documents),
        )

    def points(self, shares: Sequence[float]) -> list[CurvePoint]:
        """The highest cut that keeps at least each share; cuts that serve two are there once."""
        if not self.words:
            return []
        kept = np.cumsum(self._kept[::-1, 0])[::-1]
        cuts = [np.flatnonzero(kept >= share * self.words)[-1] for share in shares]
        return [self.at(int(cut) / STEPS) for cut in sorted(set(cuts), reverse=True)]

    def lowest_cut(self, precision: float, *, at_least: int) -> float | None:
        """The cut that keeps most of those that reach the precision; None where none does.

        Cuts that keep fewer than `at_least` words are not asked: by luck one of them is right.
        """
        kept = np.cumsum(self._kept[::-1, 0])[::-1]
        right = np.cumsum(self._right[::-1, 0])[::-1]
        reached = np.flatnonzero((kept >= at_least) & (right >= precision * kept))
        return float(reached[0]) / STEPS if len(reached) else None

    def bins(self, edges: Sequence[float]) -> list[Bin]:
        """The reliability curve: words by score; the last bin holds its upper edge too."""
        limits = [*steps(edges[:-1]).tolist(), STEPS + 1]
        found = []
        for low, high, first, last in zip(edges, edges[1:], limits, limits[1:], strict=False):
            kept = self._kept[first:last].sum(axis=0, dtype=np.int64)
            right = self._right[first:last].sum(axis=0, dtype=np.int64)
            if kept[0]:
                claimed = np.arange(first, last) @ self._kept[first:last, 0] / STEPS
                found.append(
                    Bin(
                        low,
                        high,
                        int(kept[0]),
                        float(claimed / kept[0]),
                        float(right[0] / kept[0]),
                        interval(right, kept, self.documents),
                    )
                )
        return found

    def areas(self) -> npt.NDArray[np.float64]:
        """Mean precision over all shares kept: as it is, then in each resample.

        1 when every right word scores higher than every wrong one and none is wrong; two scores
        of the same words are compared resample by resample. NaN where nothing was drawn.
        """
        kept = np.cumsum(self._kept[::-1], axis=0, dtype=np.int64)
        right = np.cumsum(self._right[::-1], axis=0, dtype=np.int64)
        precision = np.divide(right, kept, out=np.zeros(kept.shape), where=kept > 0)
        total = kept[-1].astype(np.float64)
        summed = (precision * self._kept[::-1]).sum(axis=0)
        areas = np.full(total.shape, np.nan)
        np.divide(summed, total, out=areas, where=total > 0)
        return areas


def steps(scores: Sequence[float]) -> npt.NDArray[np.int64]:
    """The step of each score. The small number undoes the rounding of, say, 0.973 * 10,000."""
    values = np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)
    return np.floor(values * STEPS + 1e-7).astype(np.int64)
