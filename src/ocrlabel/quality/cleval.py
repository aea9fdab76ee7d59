"""CLEval: detection and end-to-end quality counted in characters, kind to split and merged words.

Own implementation of Baek et al., "CLEval: Character-Level Evaluation for Text Detection and
Recognition Tasks" (CVPRW 2020); tests hold it against values of the authors' package (cleval
0.1.1). In short: each word of the truth carries one point for each of its characters. A read box
and a word belong together when enough of the box lies on the word (30 % of the box) and the box
holds a point of it: one to one, one to many (split) or many to one (merged). Recall is points
found over points there; precision is points found over points claimed; each split and each merge
costs one character. End to end, characters found are those of the longest common subsequence.

As the authors' code does, and so do we: coordinates are cut to whole pixels for areas; a box that
matches nothing claims `1/aspect` characters, at most 10, so a wide one claims one or two.
A polygon of more than 4 points is taken as its 4 corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from ocrlabel.labels import Polygon
from ocrlabel.quality.cleval_boxes import CharBoxes, Held, char_boxes, held
from ocrlabel.quality.cleval_match import Matched, belong
from ocrlabel.quality.cleval_text import found_characters
from ocrlabel.quality.scores import Score


@dataclass(frozen=True, slots=True)
class CharCounts:
    """Counts that add up over pages. `penalty` is what splits and merges cost."""

    truth: int = 0
    read: int = 0
    found: int = 0
    recall_penalty: int = 0
    precision_penalty: int = 0

    def __add__(self, other: CharCounts) -> CharCounts:
        return CharCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def score(self) -> Score:
        """Recall, precision and their harmonic mean; 0 where there is nothing to divide by."""
        recall = max(0, self.found - self.recall_penalty) / self.truth if self.truth else 0.0
        precision = max(0, self.found - self.precision_penalty) / self.read if self.read else 0.0
        return Score(recall=recall, precision=precision)


@dataclass(frozen=True, slots=True)
class Cleval:
    """CLEval of a page, or of many: detection and end to end."""

    detection: CharCounts = CharCounts()
    end_to_end: CharCounts = CharCounts()
    splits: int = 0
    merges: int = 0

    def __add__(self, other: Cleval) -> Cleval:
        return Cleval(
            self.detection + other.detection,
            self.end_to_end + other.end_to_end,
            self.splits + other.splits,
            self.merges + other.merges,
        )


def cleval(
    truth: Sequence[tuple[str, Polygon, bool]], read: Sequence[tuple[str, Polygon]]
) -> Cleval:
    """One page. truth: (text, polygon, do-not-care); read: (text, polygon). Texts as compared."""
    truths = char_boxes(truth)
    reads = char_boxes([(text, polygon, False) for text, polygon in read])
    on = held(truths, reads)
    matched = belong(truths, reads, on)
    recall_penalty = sum(len(reads_of) - 1 for reads_of in matched.reads_of.values())
    precision_penalty = sum(len(truths_of) - 1 for truths_of in matched.truths_of.values())
    detection = _detection(truths, reads, on, matched)
    claimed = sum(len(reads.texts[j]) for j in matched.valid_reads)
    return Cleval(
        CharCounts(*detection, recall_penalty, precision_penalty),
        CharCounts(
            detection[0],
            claimed,
            found_characters(truths, reads, on, matched),
            recall_penalty,
            precision_penalty,
        ),
        splits=sum(len(reads_of) > 1 for reads_of in matched.reads_of.values()),
        merges=sum(len(truths_of) > 1 for truths_of in matched.truths_of.values()),
    )


def _detection(
    truths: CharBoxes, reads: CharBoxes, on: Held, matched: Matched
) -> tuple[int, int, int]:
    """Characters in the truth, claimed by the boxes, and found."""
    there = sum(len(truths.texts[i]) for i in matched.valid_truths)
    claimed = sum(len(on.points(i, j)) for i, read in matched.reads_of.items() for j in read)
    claimed += sum(reads.claimed[j] for j in matched.valid_reads if j not in matched.truths_of)
    found = sum(
        len(set().union(*(on.points(i, j) for j in read))) for i, read in matched.reads_of.items()
    )
    return there, claimed, found
