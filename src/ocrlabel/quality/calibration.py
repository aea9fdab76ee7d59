"""What a score is worth: the precision of the words that score at least a threshold.

A score is any number from 0 to 1, such as a confidence. Words go into 10,001 steps of it, so memory
does not grow with their number, and a threshold is a number with four digits.

`Halves` chooses the threshold that reaches a wanted precision on one half of the documents and
measures it on the other: measured where it was chosen, it looks better than it is. Halves are by
document and seed, so pages of one document and copies of one image are never on both sides.

Words of one document are right or wrong together, so intervals go by document too. The bootstrap is
the Poisson one: in each resample a document counts Poisson(1) times, which is known for one
document without the others, so it works on a stream (Chamandy et al., "Estimating Uncertainty for
Massive Data Streams", 2012). Everything follows from the seed and the document's name: the order
of the pages changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEPS = 10_000
WANTED_PRECISION = 0.95
AT_LEAST = 50
"""The fewest words that a threshold has to keep where it is chosen."""
RESAMPLES = 200
DEFAULT_SEED = 0
FEW_DOCUMENTS = 5
"""With fewer the bootstrap draws the same two or three again and again: too sure of itself."""
_NO_WIDTH = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Keep what scores at least `threshold`: how much that is, and which share of it is right."""

    threshold: float
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


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold for a score, chosen for a wanted precision.

    chosen: on the first half; None where no threshold reaches the wanted precision there.
    measured: the same threshold on the other half, with its interval.
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

    def threshold(self, wanted: float = WANTED_PRECISION) -> Threshold:
        """Choose the lowest one on the first half, measure it on the second."""
        at = self._first.lowest_threshold(wanted, at_least=AT_LEAST)
        return Threshold(
            wanted=wanted,
            chosen=None if at is None else self._first.at(at),
            measured=self._second.at(at) if at is not None and self._second.words else None,
            documents_chosen_on=self._first.documents,
            documents_measured_on=self._second.documents,
        )


class Curve:
    """Counts of kept and right words at each step of the score, in each resample."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept = np.zeros((STEPS + 1, RESAMPLES + 1), dtype=np.int32)
        self._right = np.zeros((STEPS + 1, RESAMPLES + 1), dtype=np.int32)
        self._last: str | None = None
        self.documents = 0
        """How many documents are in it, counted by their change: pages of one stand together."""

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
        drawn = weights(document, self._seed).astype(np.int32)
        reached = steps(scores)
        good = reached[np.asarray(right, dtype=np.bool_)]
        for counts, which in ((self._kept, reached), (self._right, good)):
            at, count = np.unique(which, return_counts=True)
            counts[at] += count[:, None].astype(np.int32) * drawn

    def plus(self, other: Curve) -> Curve:
        """Both together; their documents are taken to be different ones."""
        both = Curve(self._seed)
        both._kept = self._kept + other._kept
        both._right = self._right + other._right
        both.documents = self.documents + other.documents
        return both

    def at(self, threshold: float) -> CurvePoint:
        """Keep what scores at least `threshold`."""
        first = int(steps([threshold])[0])
        kept = self._kept[first:].sum(axis=0, dtype=np.int64)
        right = self._right[first:].sum(axis=0, dtype=np.int64)
        return CurvePoint(
            threshold=first / STEPS,
            kept_share=float(kept[0]) / self.words if self.words else 0.0,
            kept=int(kept[0]),
            precision=float(right[0] / kept[0]) if kept[0] else 1.0,
            interval=interval(right, kept, self.documents),
        )

    def points(self, shares: Sequence[float]) -> list[CurvePoint]:
        """The highest threshold for each share; one that serves two shares is there once."""
        if not self.words:
            return []
        kept = np.cumsum(self._kept[::-1, 0])[::-1]
        first = [np.flatnonzero(kept >= share * self.words)[-1] for share in shares]
        return [self.at(int(step) / STEPS) for step in sorted(set(first), reverse=True)]

    def lowest_threshold(self, precision: float, *, at_least: int) -> float | None:
        """The threshold that keeps most of those that reach the precision; None where none does.

        Cuts that keep fewer than `at_least` words are not asked: by luck one of them is right.
        """
        kept, right = (np.cumsum(one[::-1, 0])[::-1] for one in (self._kept, self._right))
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
                mean, precision = float(claimed / kept[0]), float(right[0] / kept[0])
                spread = interval(right, kept, self.documents)
                found.append(Bin(low, high, int(kept[0]), mean, precision, spread))
        return found

    def areas(self) -> npt.NDArray[np.float64]:
        """Mean precision over all shares kept: as it is, then in each resample.

        1 when every right word scores higher than every wrong one and none is wrong; two scores
        of the same words are compared resample by resample. NaN where nothing was drawn.
        """
        both = (self._kept, self._right)
        kept, right = (np.cumsum(one[::-1], axis=0, dtype=np.int64) for one in both)
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


def weights(document: str, seed: int) -> npt.NDArray[np.int64]:
    """How often the document counts: once as it is, then in each of `RESAMPLES` resamples."""
    drawn = np.random.default_rng(number_of(document, f"{seed}:resample")).poisson(1.0, RESAMPLES)
    return np.concatenate((np.ones(1, dtype=np.int64), drawn))


def in_first_half(document: str, seed: int) -> bool:
    """Which of two halves a document is in."""
    return number_of(document, f"{seed}:half") % 2 == 0


def number_of(document: str, salt: str) -> int:
    """A number that follows from both, for chances that the order of pages does not change."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{document}".encode()).digest()[:8], "big")


def interval(
    right: npt.NDArray[np.int64], of: npt.NDArray[np.int64], documents: int
) -> Interval | None:
    """The interval of a share, from its counts as they are (first) and in each resample.

    documents: in how many the counts can be. None without anything to count.
    """
    if not of[0]:
        return None
    drawn = of[1:] > 0
    trials = min(_documents_in(of, documents), int(of[0]))
    return of_share(right[0] / of[0], right[1:][drawn] / of[1:][drawn], trials)


def of_share(share: float, resampled: npt.NDArray[np.float64], documents: int) -> Interval:
    """The interval of a share (or of a mean of shares) over so many documents.

    Where the resamples all say the same, as when all or none are right, they know no doubt; and
    the few documents of a small sample are drawn again and again, as if there were no others. Then
    it reaches at least as far as Wilson's interval with one trial a document, which is wide rather
    than wrong.
    """
    spread = _middle(resampled)
    if not _says_little(spread, documents):
        return spread
    least = wilson(share * documents, documents)
    return Interval(min(spread.low, least.low), max(spread.high, least.high))


def of_difference(resampled: npt.NDArray[np.float64], documents: int) -> Interval | None:
    """The interval of a difference of two shares; None where the documents are too few to tell."""
    spread = _middle(resampled)
    return None if _says_little(spread, documents) else spread


def wilson(right: float, of: int) -> Interval:
    """Wilson's score interval of a share."""
    if not of:
        return Interval(0.0, 1.0)
    share, z = right / of, 1.959964  # the normal quantile of 97.5 %
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def _middle(resampled: npt.NDArray[np.float64]) -> Interval:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Interval(float(low), float(high))


def _says_little(spread: Interval, documents: int) -> bool:
    return documents < FEW_DOCUMENTS or spread.high - spread.low < _NO_WIDTH


def _documents_in(of: npt.NDArray[np.int64], documents: int) -> int:
    """How many of the documents have something to count, from the resamples without any.

    A resample leaves k documents out with probability exp(-k). Above five or so it never does, and
    the number does not matter much any more.
    """
    empty = float(np.mean(of[1:] == 0))
    return documents if not empty else min(documents, max(1, round(-math.log(empty))))
