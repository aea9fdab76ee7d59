"""CLEval's boxes: where a word's characters are thought to be, and which box holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely

from ocrlabel.labels import Point, Polygon
from ocrlabel.quality.geometry import (
    Bools,
    Floats,
    Indices,
    Shapes,
    near,
    overlaps,
    quad_shapes,
    solids,
)

_VERTICAL = 0.5
"""Below this width over height a word is taken to run from top to bottom."""

_MOST = 10
"""The most characters that a box without a text can stand for."""


@dataclass(frozen=True, slots=True)
class CharBoxes:
    """Boxes of one page, with a point for each character.

    quads: (n, 4, 2), in whole pixels. claimed: characters that a box stands for unmatched.
    points: (characters, 2), those of box i from first[i] up to first[i + 1].
    """

    texts: tuple[str, ...]
    ignored: tuple[bool, ...]
    quads: Floats
    claimed: tuple[int, ...]
    points: Floats
    first: Indices

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Held:
    """What the read boxes hold of the truth.

    precision: (truth, read) to the share of the read box that lies on the truth's, rounded to
    single precision, as the authors' code keeps it.
    inside: (truth, read) to which of the truth's points are in the read box, ascending, where
    any are.
    """

    precision: dict[tuple[int, int], float]
    inside: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def points(self, truth: int, read: int) -> list[int]:
        """Which points of this truth are in this read box."""
        return self.inside.get((truth, read), [])


def char_boxes(words: Sequence[tuple[str, Polygon, bool]]) -> CharBoxes:
    """Place each word's (text, polygon, do-not-care) characters evenly along its middle."""
    quads = np.array([_quad(polygon) for _, polygon, _ in words], dtype=np.float64)
    quads = quads.reshape(-1, 4, 2)
    ignored = tuple(ignore for _, _, ignore in words)
    aspects = _aspects(quads)
    counts = [
        min(round(0.5 + max(aspect, 1 / aspect)), _MOST) if ignore else len(text)
        for (text, _, ignore), aspect in zip(words, aspects.tolist(), strict=True)
    ]
    return CharBoxes(
        texts=tuple("" if ignore else text for text, _, ignore in words),
        ignored=ignored,
        # cut towards 0, as the authors' code does before it takes areas
        quads=np.trunc(quads),
        claimed=tuple(min(round(0.5 + 1 / (1e-5 + aspect)), _MOST) for aspect in aspects.tolist()),
        points=_points(quads, np.array(counts, dtype=np.intp), vertical=aspects < _VERTICAL),
        first=np.concatenate(([0], np.cumsum(counts, dtype=np.intp))),
    )


def held(truths: CharBoxes, reads: CharBoxes) -> Held:
    """Areas and points of every pair that touches."""
    of_truth, of_read = quad_shapes(truths.quads), quad_shapes(reads.quads)
    shared = overlaps(of_truth, of_read)
    parts = (shared.values / of_read.areas[shared.columns]).astype(np.float32)
    places = zip(shared.rows.tolist(), shared.columns.tolist(), strict=True)
    precision = dict(zip(places, parts.tolist(), strict=True))
    _without_words(precision, truths, of_truth, of_read)
    return Held(precision, _inside(truths, reads))


def _without_words(
    precision: dict[tuple[int, int], float],
    truths: CharBoxes,
    of_truth: Shapes,
    of_read: Shapes,
) -> None:
    """A do-not-care region ends where a word of the truth begins."""
    words = np.flatnonzero(~np.array(truths.ignored, dtype=np.bool_) & (of_truth.areas > 0))
    for region in sorted({i for i, _ in precision if truths.ignored[i]}):
        at, _ = near(of_truth.bounds[words], of_truth.bounds[region : region + 1])
        if not len(at):
            continue
        whole = solids(of_truth, np.array([region]))[0]
        rest = shapely.difference(whole, shapely.union_all(solids(of_truth, words[at])))
        reads = np.array([j for i, j in precision if i == region], dtype=np.intp)
        areas = shapely.area(shapely.intersection(rest, solids(of_read, reads)))
        for j, area in zip(reads.tolist(), areas, strict=True):
            precision[region, j] = float(np.float32(area / of_read.areas[j]))


def _inside(truths: CharBoxes, reads: CharBoxes) -> dict[tuple[int, int], list[int]]:
    if not len(truths.points) or not len(reads):
        return {}
    owner = np.repeat(np.arange(len(truths)), np.diff(truths.first))
    bounds = np.hstack((reads.quads.min(axis=1), reads.quads.max(axis=1)))
    point_at, read_at = near(np.hstack((truths.points, truths.points)), bounds)
    hit = _contains(reads.quads[read_at], truths.points[point_at])
    point_at, read_at = point_at[hit], read_at[hit]
    word_at = owner[point_at]
    place = point_at - truths.first[word_at]
    found: dict[tuple[int, int], list[int]] = {}
    for i, j, at in zip(word_at.tolist(), read_at.tolist(), place.tolist(), strict=True):
        found.setdefault((i, j), []).append(at)
    return found


def _contains(quads: Floats, points: Floats) -> Bools:
    """Whether each point is in its quad: edges crossed by a ray to the right, an odd number.

    A point on a left or top edge is inside, on a right or bottom edge it is not, as in the
    polygon library of the authors' code.
    """
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = quads[:, :, 0], quads[:, :, 1]
    x1, y1 = np.roll(x0, 1, axis=1), np.roll(y0, 1, axis=1)
    crosses = (y0 > y) != (y1 > y)
    rise = np.where(crosses, y1 - y0, 1.0)
    return np.asarray(np.sum(crosses & (x < (x1 - x0) * (y - y0) / rise + x0), axis=1) % 2 == 1)


def _quad(polygon: Polygon) -> tuple[Point, Point, Point, Point]:
    # 2n points run along the top and back along the bottom: the corners are the ends of both
    half = len(polygon) // 2
    top_left, top_right = polygon[0], polygon[half - 1]
    return top_left, top_right, polygon[half], polygon[-1]


def _aspects(quads: Floats) -> Floats:
    """Mean width over mean height of each."""
    sides = np.linalg.norm(np.roll(quads, -1, axis=1) - quads, axis=2)
    width, height = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
    aspects: Floats = (width + 1e-5) / (height + 1e-5)
    return aspects


def _points(quads: Floats, counts: Indices, *, vertical: Bools) -> Floats:
    turned = np.where(vertical[:, None, None], np.roll(quads, 1, axis=1), quads)
    start, end = (turned[:, 0] + turned[:, 3]) / 2, (turned[:, 1] + turned[:, 2]) / 2
    step = (end - start) / np.maximum(counts, 1)[:, None]
    owner = np.repeat(np.arange(len(quads)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    points: Floats = start[owner] + (place[:, None] + 0.5) * step[owner]
    return points
