"""Areas of polygons and of their overlaps, a page at a time.

Pairs whose bounding boxes are apart cost a comparison of numbers; upright rectangles, most of
what engines give, cost a few more; only the rest goes to shapely. A polygon that crosses itself
has the area that an even-odd fill would paint; one without area (a line, a point, not a number)
overlaps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from ocrlabel.labels import Polygon

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Indices: TypeAlias = npt.NDArray[np.intp]
Geometries: TypeAlias = npt.NDArray[np.object_]

_ALL_PAIRS = 1_000_000


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


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of polygons that touch, and a number for each: the sparse form of a table."""

    rows: Indices
    columns: Indices
    values: Floats


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
        cut = shapely.intersection(solids(these, rows[odd]), solids(those, columns[odd]))
        shared[odd] = shapely.area(cut)
    return Pairs(rows, columns, shared)


def ious(these: Shapes, those: Shapes) -> Pairs:
    """Intersection over union, 0..1, of each pair that overlaps."""
    shared = overlaps(these, those)
    union = these.areas[shared.rows] + those.areas[shared.columns] - shared.values
    return Pairs(shared.rows, shared.columns, shared.values / union)


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
