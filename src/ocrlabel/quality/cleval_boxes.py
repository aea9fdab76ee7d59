"""CLEval's boxes: where a word's characters are thought to be, and which box holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import dist

import numpy as np
import shapely

from ocrlabel.labels import Point, Polygon
from ocrlabel.quality.geometry import Bools, Floats, Shapes, near, overlaps, shapes, solids

_VERTICAL = 0.5
"""Below this width over height a word is taken to run from top to bottom."""

_MOST = 10
"""The most characters that a box without a text can stand for."""

_NO_POINTS: Bools = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class CharBox:
    """A box with one point for each character. claimed: characters it stands for unmatched."""

    text: str
    polygon: Polygon
    ignore: bool
    claimed: int
    points: Floats


@dataclass(frozen=True, slots=True)
class Held:
    """What the read boxes hold of the truth.

    precision: (truth, read) to the share of the read box that lies on the truth's.
    inside: (truth, read) to which of the truth's points are in the read box, where any are.
    """

    precision: dict[tuple[int, int], np.float32]
    inside: dict[tuple[int, int], Bools] = field(default_factory=dict)

    def points(self, truth: int, read: int) -> Bools:
        """Which points of this truth are in this read box."""
        return self.inside.get((truth, read), _NO_POINTS)

    def count(self, truth: int, read: int) -> int:
        """How many."""
        return int(self.points(truth, read).sum())


def char_box(text: str, polygon: Polygon, *, ignore: bool) -> CharBox:
    """Place the characters evenly along the middle of the box."""
    quad = _quad(polygon)
    aspect = _aspect(quad)
    longer = max(aspect, 1 / aspect)
    count = min(round(0.5 + longer), _MOST) if ignore else len(text)
    return CharBox(
        text="#" * count if ignore else text,
        # whole pixels, cut towards 0: as the authors' code takes areas
        polygon=tuple((float(int(x)), float(int(y))) for x, y in quad),
        ignore=ignore,
        claimed=min(round(0.5 + 1 / (1e-5 + aspect)), _MOST),
        points=_points(quad, count, vertical=aspect < _VERTICAL),
    )


def held(truths: Sequence[CharBox], reads: Sequence[CharBox]) -> Held:
    """Areas and points of every pair that touches."""
    of_truth, of_read = shapes([b.polygon for b in truths]), shapes([b.polygon for b in reads])
    shared = overlaps(of_truth, of_read)
    precision = {
        (i, j): np.float32(area / of_read.areas[j])
        for i, j, area in zip(
            shared.rows.tolist(), shared.columns.tolist(), shared.values.tolist(), strict=True
        )
    }
    _without_words(precision, truths, of_truth, of_read)
    return Held(precision, _inside(truths, reads))


def _without_words(
    precision: dict[tuple[int, int], np.float32],
    truths: Sequence[CharBox],
    of_truth: Shapes,
    of_read: Shapes,
) -> None:
    """A do-not-care region ends where a word of the truth begins."""
    words = np.array([i for i, box in enumerate(truths) if not box.ignore], dtype=np.intp)
    words = words[of_truth.areas[words] > 0]
    for region in sorted({i for i, _ in precision if truths[i].ignore}):
        at, _ = near(of_truth.bounds[words], of_truth.bounds[region : region + 1])
        if not len(at):
            continue
        whole = solids(of_truth, np.array([region]))[0]
        rest = shapely.difference(whole, shapely.union_all(solids(of_truth, words[at])))
        reads = np.array([j for i, j in precision if i == region], dtype=np.intp)
        areas = shapely.area(shapely.intersection(rest, solids(of_read, reads)))
        for j, area in zip(reads.tolist(), areas, strict=True):
            precision[region, j] = np.float32(area / of_read.areas[j])


def _inside(truths: Sequence[CharBox], reads: Sequence[CharBox]) -> dict[tuple[int, int], Bools]:
    owner = np.repeat(np.arange(len(truths)), [len(box.points) for box in truths])
    if not len(owner) or not reads:
        return {}
    points = np.concatenate([box.points for box in truths])
    quads = np.array([box.polygon for box in reads])
    bounds = np.hstack((quads.min(axis=1), quads.max(axis=1)))
    point_at, read_at = near(np.hstack((points, points)), bounds)
    hit = _contains(quads[read_at], points[point_at])
    first = np.searchsorted(owner, np.arange(len(truths)))
    found: dict[tuple[int, int], Bools] = {}
    for point, j in zip(point_at[hit].tolist(), read_at[hit].tolist(), strict=True):
        i = int(owner[point])
        if (i, j) not in found:
            found[i, j] = np.zeros(len(truths[i].points), dtype=np.bool_)
        found[i, j][point - first[i]] = True
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


def _aspect(quad: tuple[Point, Point, Point, Point]) -> float:
    """Mean width over mean height."""
    top_left, top_right, bottom_right, bottom_left = quad
    width = (dist(top_left, top_right) + dist(bottom_right, bottom_left)) / 2
    height = (dist(top_right, bottom_right) + dist(bottom_left, top_left)) / 2
    return (width + 1e-5) / (height + 1e-5)


def _points(quad: tuple[Point, Point, Point, Point], count: int, *, vertical: bool) -> Floats:
    if not count:
        return np.zeros((0, 2))
    first, second, third, fourth = quad[-1:] + quad[:-1] if vertical else quad
    start = (np.array(first) + np.array(fourth)) / 2
    end = (np.array(second) + np.array(third)) / 2
    points: Floats = start + (np.arange(count)[:, None] + 0.5) * (end - start) / count
    return points
