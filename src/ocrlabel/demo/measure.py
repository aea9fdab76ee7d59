"""How much of a page was read right, with nothing but Python.

For real measurements there is `ocrlabel evaluate`, with its extra; this is its end-to-end figure
for pages of a few hundred words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrlabel.demo.overlap import iou
from ocrlabel.labels import Word

_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """Words written, words read, and those of them that were read right."""

    written: int = 0
    read: int = 0
    right: int = 0

    def __add__(self, other: Found) -> Found:
        return Found(self.written + other.written, self.read + other.read, self.right + other.right)

    @property
    def recall(self) -> float | None:
        """The share of the written words that was read right; None of no words."""
        return self.right / self.written if self.written else None

    @property
    def precision(self) -> float | None:
        """The share of the read words that is right; None of no words."""
        return self.right / self.read if self.read else None


def measure(written: Sequence[Word], read: Sequence[Word]) -> Found:
    """Right is a word in its place (IoU of at least 0.5, best pairs first) with its text.

    Upper and lower case count as the same.
    """
    pairs = sorted(
        (
            (overlap, truth, found)
            for truth, word in enumerate(written)
            for found, other in enumerate(read)
            if (overlap := iou(word.polygon, other.polygon)) >= _IOU
        ),
        reverse=True,
    )
    matched_truth: set[int] = set()
    matched_read: set[int] = set()
    right = 0
    for _, truth, found in pairs:
        if truth in matched_truth or found in matched_read:
            continue
        matched_truth.add(truth)
        matched_read.add(found)
        right += written[truth].text.casefold() == read[found].text.casefold()
    return Found(len(written), len(read), right)
