"""How far apart two texts are: edit distance, CER and 1-NED.

CER is the number of edits over the number of the truth's characters, so it weighs long words
more and can pass 1. 1-NED is the mean over pairs of 1 - edits / the longer text's length, so
every word weighs the same. Both are of matched pairs only: what was missed shows in recall.
"""

from __future__ import annotations

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, slots=True)
class Comparison:
    """One matched pair, after normalisation."""

    edits: int
    truth_characters: int
    likeness: float

    @property
    def same(self) -> bool:
        """The texts are equal."""
        return self.edits == 0


def compare(truth: str, read: str) -> Comparison:
    """Compare two texts that were normalised alike; likeness is 1 - normalised edit distance."""
    if truth == read:
        return Comparison(0, len(truth), 1.0)
    edits = Levenshtein.distance(truth, read)
    return Comparison(edits, len(truth), 1 - edits / max(len(truth), len(read)))
