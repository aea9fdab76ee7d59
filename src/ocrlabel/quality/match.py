"""Which read word is which word of the truth: one to one, by the overlap of their polygons.

The ICDAR 2015 protocol: a pair counts when its IoU is above 0.5; a read word of which more than
half lies in one do-not-care region is left out before that, so it is neither right nor wrong.
Pairs are taken best first (the ICDAR script takes them in the order of the file, which differs
only where two read words both overlap one truth word by more than half of the union).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ocrlabel.labels import Polygon
from ocrlabel.quality.geometry import Bools, Pairs, Shapes, ious, overlaps, shapes

IOU = 0.5
INSIDE = 0.5
"""The share of a read word's area in one do-not-care region above which it is left out."""


@dataclass(frozen=True, slots=True)
class Match:
    """pairs: (truth index, read index, IoU). cared_truth, cared_read: indices that count."""

    pairs: tuple[tuple[int, int, float], ...]
    cared_truth: tuple[int, ...]
    cared_read: tuple[int, ...]


def match(
    truth: Sequence[Polygon], ignored: Sequence[bool], read: Sequence[Polygon], *, iou: float = IOU
) -> Match:
    """Match one page.

    ignored says which of the truth's polygons are do-not-care; one without area is taken as such,
    since nothing can match it.
    """
    truths, reads = shapes(truth), shapes(read)
    counts_truth = ~np.array(ignored, dtype=np.bool_) & (truths.areas > 0)
    regions = shapes([polygon for polygon, skip in zip(truth, ignored, strict=True) if skip])
    counts_read = ~inside(reads, regions)
    found = ious(truths, reads)
    both = counts_truth[found.rows] & counts_read[found.columns]
    pairs = best_first(Pairs(found.rows[both], found.columns[both], found.values[both]), above=iou)
    cared_truth = np.flatnonzero(counts_truth).tolist()
    cared_read = np.flatnonzero(counts_read).tolist()
    return Match(tuple(sorted(pairs)), tuple(cared_truth), tuple(cared_read))


def inside(reads: Shapes, regions: Shapes) -> Bools:
    """Which read words lie for more than half in one region."""
    covered = np.zeros(len(reads))
    shared = overlaps(reads, regions)
    np.maximum.at(covered, shared.rows, shared.values)
    return np.asarray((covered > INSIDE * reads.areas) & (reads.areas > 0))


def best_first(table: Pairs, *, above: float) -> list[tuple[int, int, float]]:
    """One-to-one pairs (row, column, value) above a value: largest first, ties by position."""
    high = table.values > above
    rows, columns, values = table.rows[high], table.columns[high], table.values[high]
    order = np.lexsort((columns, rows, -values))
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs: list[tuple[int, int, float]] = []
    for at in order.tolist():
        row, column = int(rows[at]), int(columns[at])
        if row in used_rows or column in used_columns:
            continue
        used_rows.add(row)
        used_columns.add(column)
        pairs.append((row, column, float(values[at])))
    return pairs
