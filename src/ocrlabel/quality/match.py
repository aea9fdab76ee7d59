"""Which read word is which word of the truth: one to one, by the overlap of their polygons.

**Matching** (`match`) is the ICDAR 2015 protocol: a pair counts when its IoU is above 0.5; a read
word of which more than half lies in one do-not-care region is left out before that, so it is
neither right nor wrong. Pairs are taken best first (the ICDAR script takes them in the order of the
file, which differs only where two read words both overlap one truth word by more than half of the
union).

**Areas and overlaps** (`shapes`, `overlaps`) are computed a page at a time. Pairs whose bounding
boxes are apart cost a comparison of numbers; upright rectangles, most of what engines give, cost a
few more; only the rest goes to shapely. A polygon that crosses itself has the area that an even-odd
fill would paint; one without area (a line, a point, not a number) overlaps nothing.

**Lines** (`lines`): a truth that has only lines is matched with read words joined into lines, by
geometry alone, never by looking at the truth. Two words are neighbours on a line when
- they run the same way, within 15 degrees (the way a word runs is its top edge, left to right),
- their heights differ by no more than a factor of 2,
- the middle of one is off the other's axis by no more than half of the smaller height, and
- the gap between them along the axis is at most `GAP` heights (and they overlap by no more
  than one height).
A line is what such neighbours connect. Its words are in the order of the axis, its text has one
space between words, its polygon is the smallest rectangle along the axis around them, and its
confidence is that of its most doubtful word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from ocrlabel.labels import Point, Polygon, Word

IOU = 0.5
INSIDE = 0.5
"""The share of a read word's area in one do-not-care region above which it is left out."""
GAP = 1.0
"""The widest space inside a line, in heights of the smaller word."""
_TURN = np.cos(np.radians(15))
_ALL_PAIRS = 1_000_000
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Indices: TypeAlias = npt.NDArray[np.intp]
Geometries: TypeAlias = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Match:
    """pairs: (truth index, read index, IoU). cared_truth, cared_read: indices that count."""

    pairs: tuple[tuple[int, int, float], ...]
    cared_truth: tuple[int, ...]
    cared_read: tuple[int, ...]


def match(truth: Sequence[Polygon], ignored: Sequence[bool], read: Sequence[Polygon]) -> Match:
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
    pairs = best_first(Pairs(found.rows[both], found.columns[both], found.values[both]), above=IOU)
    cared = (tuple(np.flatnonzero(counts).tolist()) for counts in (counts_truth, counts_read))
    return Match(tuple(sorted(pairs)), *cared)


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


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of polygons that touch, and a number for each: the sparse form of a table."""

    rows: Indices
    columns: Indices
    values: Floats


def ious(these: Shapes, those: Shapes) -> Pairs:
    """Intersection over union, 0..1, of each pair that overlaps."""
    shared = overlaps(these, those)
    union = these.areas[shared.rows] + those.areas[shared.columns] - shared.values
    return Pairs(shared.rows, shared.columns, shared.values / union)


def overlaps(these: Shapes, those: Shapes) -> Pairs:
    """The area that each of these shares with each of those, where they share any."""
    rows, columns = near(these.bounds, those.bounds)
    left, right = these.bounds[rows], those.bounds[columns]
    width = np.minimum(left[:, 2], right[:, 2]) - np.maximum(left[:, 0], right[:, 0])
    height = np.minimum(left[:, 3], right[:, 3]) - np.maximum(left[:, 1], right[:, 1])
    solid = (these.areas[rows] > 0) & (those.areas[columns] > 0) & (width > 0) & (height > 0)
    rows, columns, shared = rows[solid], columns[solid], (width * height)[solid]
    odd = np.flatnonzero(~(these.upright[rows] & those.upright[columns]))
    if len(odd):
        shared_shapes = shapely.intersection(solids(these, rows[odd]), solids(those, columns[odd]))
        shared[odd] = shapely.area(shared_shapes)
    return Pairs(rows, columns, shared)


def near(these: Floats, those: Floats) -> tuple[Indices, Indices]:
    """Pairs of bounding boxes that touch.

    All against all is quickest for a page; a tree keeps a page of 10,000 words within bounds.
    """
    if len(these) * len(those) > _ALL_PAIRS:
        tree = shapely.STRtree(_boxes(those))
        rows, columns = tree.query(_boxes(these))
        return rows, columns
    left, right = these[:, None, :], those[None, :, :]
    rows, columns = np.nonzero(
        (left[..., 0] <= right[..., 2])
        & (right[..., 0] <= left[..., 2])
        & (left[..., 1] <= right[..., 3])
        & (right[..., 1] <= left[..., 3])
    )
    return rows, columns


@dataclass(frozen=True, slots=True)
class Shapes:
    """Polygons of one page, ready to be compared. bounds: (n, 4) as x0, y0, x1, y1."""

    bounds: Floats
    areas: Floats
    upright: Bools
    geometries: Geometries

    def __len__(self) -> int:
        return len(self.areas)


def shapes(polygons: Sequence[Polygon]) -> Shapes:
    """Prepare polygons; order is kept."""
    made = _empty(len(polygons))
    at = np.array([i for i, polygon in enumerate(polygons) if len(polygon) == 4], dtype=np.intp)
    if len(at):
        _place(np.array([polygons[i] for i in at], dtype=np.float64), at, made)
    if len(at) < len(polygons):
        for i, polygon in enumerate(polygons):
            if len(polygon) != 4:
                made.geometries[i] = _outline(polygon)
    _measure(made)
    return made


def quad_shapes(quads: Floats) -> Shapes:
    """The same of polygons of four points that are an array already: (n, 4, 2)."""
    made = _empty(len(quads))
    _place(quads, np.arange(len(quads)), made)
    _measure(made)
    return made


def _empty(count: int) -> Shapes:
    return Shapes(
        bounds=np.zeros((count, 4)),
        areas=np.zeros(count),
        upright=np.zeros(count, dtype=np.bool_),
        geometries=np.full(count, None, dtype=np.object_),
    )


def _place(points: Floats, at: Indices, made: Shapes) -> None:
    """Set quads at their places: upright rectangles by their numbers, others as outlines."""
    finite = np.isfinite(points).all(axis=(1, 2))
    x, y = points[:, :, 0], points[:, :, 1]
    # a rectangle along the axes: each side keeps x or y, and opposite corners differ in both
    flat = (y[:, 0] == y[:, 1]) & (x[:, 1] == x[:, 2]) & (y[:, 2] == y[:, 3]) & (x[:, 3] == x[:, 0])
    tall = (x[:, 0] == x[:, 1]) & (y[:, 1] == y[:, 2]) & (x[:, 2] == x[:, 3]) & (y[:, 3] == y[:, 0])
    upright = finite & (flat | tall)
    box = np.concatenate((points.min(axis=1), points.max(axis=1)), axis=1)[upright]
    made.bounds[at[upright]] = box
    made.areas[at[upright]] = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    made.upright[at[upright]] = True
    slanted = finite & ~upright
    if slanted.any():
        made.geometries[at[slanted]] = shapely.polygons(points[slanted])


def _outline(polygon: Polygon) -> shapely.Geometry | None:
    if len(polygon) < 3 or not np.isfinite(np.asarray(polygon, dtype=np.float64)).all():
        return None
    return shapely.Polygon(polygon)


def _measure(made: Shapes) -> None:
    """Sizes of all that is no upright rectangle; what has no area is taken out."""
    at = np.array([i for i, one in enumerate(made.geometries) if one is not None], dtype=np.intp)
    if not len(at):
        return
    broken = at[~shapely.is_valid(made.geometries[at])]
    if len(broken):
        made.geometries[broken] = shapely.make_valid(made.geometries[broken])
    made.areas[at] = shapely.area(made.geometries[at])
    made.geometries[at[made.areas[at] == 0]] = None
    solid = at[made.areas[at] > 0]
    made.bounds[solid] = shapely.bounds(made.geometries[solid])


def solids(of: Shapes, at: Indices) -> Geometries:
    """Shapely geometries at these places, where there is area; boxes are made when first wanted."""
    missing = np.array([i for i in np.unique(at) if of.geometries[i] is None], dtype=np.intp)
    if len(missing):
        of.geometries[missing] = _boxes(of.bounds[missing])
    return of.geometries[at]


def _boxes(bounds: Floats) -> Geometries:
    return np.asarray(shapely.box(*bounds.T), dtype=np.object_)


def lines(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words of one page joined into lines, from top to bottom of the page."""
    quads = [word for word in words if len(word.polygon) >= 4]
    if not quads:
        return tuple(words)
    points = np.array([corners(word.polygon) for word in quads], dtype=np.float64)
    axis, height = _axes(points)
    groups = _groups(_neighbours(points, axis, height))
    joined = [_join([quads[i] for i in at], points[at], axis[at]) for at in groups]
    rest = [word for word in words if len(word.polygon) < 4]
    return tuple(sorted((*joined, *rest), key=_reading_order))


def corners(polygon: Polygon) -> tuple[Point, Point, Point, Point]:
    """The four corners of a polygon of 4 points or more.

    2n points run along the top and back along the bottom: the corners are the ends of both.
    """
    half = len(polygon) // 2
    return polygon[0], polygon[half - 1], polygon[half], polygon[-1]


def _axes(quads: Floats) -> tuple[Floats, Floats]:
    """The way each word runs, as a unit vector (n, 2), and its height (n,)."""
    along = (quads[:, 1] - quads[:, 0]) + (quads[:, 2] - quads[:, 3])
    length = np.linalg.norm(along, axis=1, keepdims=True)
    axis = np.divide(along, length, out=np.tile([1.0, 0.0], (len(along), 1)), where=length > 0)
    down = (quads[:, 3] - quads[:, 0]) + (quads[:, 2] - quads[:, 1])
    return axis, np.linalg.norm(down, axis=1) / 2


def _neighbours(quads: Floats, axis: Floats, height: Floats) -> list[tuple[int, int]]:
    reach = (GAP * height)[:, None]
    low, high = quads.min(axis=1), quads.max(axis=1)
    i, j = near(np.hstack((low - reach, high + reach)), np.hstack((low, high)))
    i, j = i[i != j], j[i != j]
    middle = quads.mean(axis=1)
    apart = middle[j] - middle[i]
    across = np.stack((-axis[:, 1], axis[:, 0]), axis=1)
    along = quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]
    half = np.einsum("nk,nk->n", along, axis) / 4
    gap = np.abs(np.einsum("nk,nk->n", apart, axis[i])) - half[i] - half[j]
    small = np.minimum(height[i], height[j])
    joined = (
        (np.einsum("nk,nk->n", axis[i], axis[j]) >= _TURN)
        & (np.maximum(height[i], height[j]) <= 2 * small)
        & (np.abs(np.einsum("nk,nk->n", apart, across[i])) <= small / 2)
        & (gap <= GAP * small)
        & (gap >= -small)
    )
    alone = [(at, at) for at in range(len(quads))]
    return [*alone, *zip(i[joined].tolist(), j[joined].tolist(), strict=True)]


def _groups(edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected words, each group in order of its indices."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in edges:
        parent[root(j)] = root(i)
    groups: dict[int, list[int]] = {}
    for i in sorted(parent):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _join(words: Sequence[Word], quads: Floats, axis: Floats) -> Word:
    if len(words) == 1:
        return words[0]
    way = axis.mean(axis=0)
    way = way / np.linalg.norm(way)
    frame = np.array([way, [-way[1], way[0]]])
    turned = quads @ frame.T
    order = np.argsort(turned[:, :, 0].mean(axis=1), kind="stable").tolist()
    (x0, y0), (x1, y1) = turned.min(axis=(0, 1)), turned.max(axis=(0, 1))
    polygon = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ frame
    known = [word.confidence for word in words if word.confidence is not None]
    return Word(
        text=" ".join(words[i].text for i in order),
        polygon=tuple((float(x), float(y)) for x, y in polygon),
        confidence=min(known) if len(known) == len(words) else None,
    )


def _reading_order(line: Word) -> tuple[float, float]:
    xs, ys = zip(*line.polygon, strict=True) if line.polygon else ((0.0,), (0.0,))
    return (sum(ys) / len(ys), sum(xs) / len(xs))
