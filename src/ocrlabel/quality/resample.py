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

    Where all or none are right the resamples all say the same and know no doubt: then Wilson's
    interval with one trial a document (and no more trials than words), which is wide rather than
    wrong. None without anything to count.
    """
    if not of[0]:
        return None
    if right[0] in {0, of[0]}:
        trials = min(documents, int(of[0]))
        return wilson(trials if right[0] else 0, trials)
    drawn = of[1:] > 0
    low, high = np.quantile(right[1:][drawn] / of[1:][drawn], [0.025, 0.975])
    return Interval(float(low), float(high))


def wilson(right: int, of: int, z: float = 1.959964) -> Interval:
    """Wilson's score interval of a share."""
    if not of:
        return Interval(0.0, 1.0)
    share = right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def _number(document: str, salt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}:{document}".encode()).digest()[:8], "big")
