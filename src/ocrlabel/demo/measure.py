"""How much of a page was read right, with nothing but Python.

For real measurements there is `ocrlabel evaluate`, with its extra; this is its end-to-end figure
for pages of a few hundred words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrlabel.export.geometry import signed_area
from ocrlabel.labels import Point, Word

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


def iou(first: Sequence[Point], second: Sequence[Point]) -> float:
    """0 where they do not touch; corners clockwise (y points down)."""
    if not _boxes_meet(first, second):
        return 0.0
    shared = signed_area(_clipped(first, second))
    whole = signed_area(first) + signed_area(second) - shared
    return shared / whole if whole > 0 else 0.0


def _boxes_meet(first: Sequence[Point], second: Sequence[Point]) -> bool:
    return all(
        max(min(p[axis] for p in first), min(p[axis] for p in second))
        < min(max(p[axis] for p in first), max(p[axis] for p in second))
        for axis in (0, 1)
    )


def _clipped(subject: Sequence[Point], window: Sequence[Point]) -> list[Point]:
    """What of the subject lies in the window: cut by one of its edges after the other."""
    left = list(subject)
    for start, end in zip(window, (*window[1:], window[0]), strict=True):
        before, left = left, []
        for here, after in zip(before, (*before[1:], *before[:1]), strict=True):
            d0, d1 = _side(start, end, here), _side(start, end, after)
            if d0 >= 0:
                left.append(here)
            if (d0 > 0 > d1) or (d0 < 0 < d1):
                share = d0 / (d0 - d1)
                left.append(
                    (here[0] + share * (after[0] - here[0]), here[1] + share * (after[1] - here[1]))
                )
    return left


def _side(start: Point, end: Point, point: Point) -> float:
    """Above 0 on the inner side of an edge."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])
