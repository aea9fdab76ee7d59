"""Chance tied to documents: which half a document is in, and how often each resample drew it.

Words of one document are right or wrong together, so intervals and halves go by document. The
bootstrap is the Poisson one: in each resample a document counts Poisson(1) times, which can be
told for one document without knowing the others, so it works on a stream (Chamandy et al.,
"Estimating Uncertainty for Massive Data Streams", 2012). Everything follows from the seed and the
document's name: the order of the pages changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def weights(document: str, seed: int) -> npt.NDArray[np.int64]:
    """How often the document counts: once as it is, then in each of `RESAMPLES` resamples."""
    drawn = np.random.default_rng(_number(document, f"{seed}:resample")).poisson(1.0, RESAMPLES)
    return np.concatenate((np.ones(1, dtype=np.int64), drawn))


def in_first_half(document: str, seed: int) -> bool:
    """Which of two halves a document is in."""
    return _number(document, f"{seed}:half") % 2 == 0


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


def wilson(right: float, of: int, z: float = 1.959964) -> Interval:
    """Wilson's score interval of a share."""
    if not of:
        return Interval(0.0, 1.0)
    share = right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def _middle(resampled: npt.NDArray[np.float64]) -> Interval:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Interval(float(low), float(high))


def _says_little(spread: Interval, documents: int) -> bool:
    return documents < FEW_DOCUMENTS or spread.high - spread.low < _NO_WIDTH


def _documents_in(of: npt.NDArray[np.int64], documents: int) -> int:
    """How many of the documents have something to count, told by the resamples without any.

    A resample leaves k documents out with probability exp(-k). Above five or so it never does, and
    the number does not matter much any more.
    """
    empty = float(np.mean(of[1:] == 0))
    return documents if not empty else min(documents, max(1, round(-math.log(empty))))


def _number(document: str, salt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}:{document}".encode()).digest()[:8], "big")
