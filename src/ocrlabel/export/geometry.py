"""Polygons as the formats need them: their area, their box, and the four corners they fill best."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ocrlabel.labels import Point, Polygon


def is_region(polygon: Polygon) -> bool:
    """Whether the polygon covers anything: three finite points or more that are not on one line."""
    # one point that is not finite makes the sum so
    return 0 < area(polygon) < math.inf


def area(polygon: Polygon) -> float:
    """Area in px²."""
    # a crossed polygon's halves may cancel out
    return abs(signed_area(polygon) or signed_area(_hull(polygon)))


def signed_area(polygon: Sequence[Point]) -> float:
    """Area in px², positive where the points go clockwise on the screen (y points down)."""
    if len(polygon) == 4:  # nearly all: half the cross product of the diagonals
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = polygon
        return ((x2 - x0) * (y3 - y1) - (x3 - x1) * (y2 - y0)) / 2
    ends = zip(polygon, (*polygon[1:], *polygon[:1]), strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in ends) / 2


def scale(size_px: tuple[float, float], to_px: tuple[float, float]) -> tuple[float, float] | None:
    """How the pixels of one picture of a page become those of another: factors for x and y.

    1 where a size is unknown (0); None where the shapes differ by more than 2 % and 2 px, which
    means that one of the two was turned or cut.
    """
    (width, height), (to_width, to_height) = size_px, to_px
    if not (width and height and to_width and to_height) or size_px == to_px:
        return 1.0, 1.0
    x, y = to_width / width, to_height / height
    if abs(x - y) > 0.02 * max(x, y) and abs(height * x - to_height) > 2:
        return None
    return x, y


def box(polygon: Polygon) -> tuple[float, float, float, float]:
    """Left, top, width and height in px of the upright box around the polygon."""
    # a plain loop: this runs for every word of an export, and min and max take four times as long
    left, top = right, bottom = polygon[0]
    for x, y in polygon:
        if x < left:
            left = x
        elif x > right:
            right = x
        if y < top:
            top = y
        elif y > bottom:
            bottom = y
    return left, top, right - left, bottom - top


def upright(left: float, top: float, width: float, height: float) -> Polygon:
    """Return the corners of an upright box in px, from its top left clockwise."""
    right, bottom = left + width, top + height
    return (left, top), (right, top), (right, bottom), (left, bottom)


def turned(polygon: Polygon, degrees: float, about: Point) -> Polygon:
    """Return the polygon turned about a point, clockwise on the screen."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    left, top = about
    return tuple(
        (left + (x - left) * cos - (y - top) * sin, top + (x - left) * sin + (y - top) * cos)
        for x, y in polygon
    )


def sides(corners: Polygon) -> tuple[float, float]:
    """Width along the text and height across it, in px: the longer of each two opposite sides."""
    a, b, c, d = corners
    return max(math.dist(a, b), math.dist(d, c)), max(math.dist(b, c), math.dist(a, d))


def cut(polygon: Polygon, width: float, height: float) -> Polygon:
    """What of the polygon is on the page, from the point next to its first (Sutherland-Hodgman).

    The polygon itself where all of it is; () where nothing is.
    """
    found: Sequence[Point] = polygon
    for axis, edge, inwards in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        inside = [(point[axis] - edge) * inwards >= 0 for point in found]
        if all(inside):
            continue
        kept: list[Point] = []
        for at, (a, b) in enumerate(zip(found, (*found[1:], *found[:1]), strict=True)):
            if inside[at]:
                kept.append(a)
            if inside[at] != inside[(at + 1) % len(found)]:
                kept.append(_crossing(a, b, axis, edge))
        # a corner on the edge is where a side crosses it, too
        found = [point for at, point in enumerate(kept) if point != kept[at - 1]]
    if found is polygon or not found:
        return tuple(found)
    start = min(range(len(found)), key=lambda i: math.dist(found[i], polygon[0]))
    return (*found[start:], *found[:start])


def _crossing(a: Point, b: Point, axis: int, edge: float) -> Point:
    share = (edge - a[axis]) / (b[axis] - a[axis])
    other = round(a[1 - axis] + share * (b[1 - axis] - a[1 - axis]), 6)  # no digits of chance
    return (edge, other) if axis == 0 else (other, edge)


def is_convex(corners: Polygon) -> bool:
    """Whether every corner turns the same way, none of them straight on."""
    n = len(corners)
    turns = [_turn(corners[i - 2], corners[i - 1], corners[i]) for i in range(n)]
    return all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)


def quad(polygon: Polygon) -> Polygon:
    """Four corners in px: the polygon itself if it has four, else its smallest rotated rectangle.

    The rectangle goes the way the polygon goes and starts at the corner next to the polygon's
    first point, so a text that stands on its side stays on its side. Needs an area (`is_region`).
    """
    return polygon if len(polygon) == 4 else rectangle(polygon)


def rectangle(polygon: Polygon) -> Polygon:
    """Return the smallest rotated rectangle around the polygon, beginning where it begins."""
    hull = _hull(polygon)
    # one side of the smallest lies on a side of the hull
    found = (
        _rectangle_along(a, b, hull) for a, b in zip(hull, (*hull[1:], *hull[:1]), strict=True)
    )
    corners = min(found, key=lambda each: math.dist(*each[:2]) * math.dist(*each[1:3]))
    if signed_area(polygon) < 0:
        corners = corners[::-1]
    start = min(range(4), key=lambda i: math.dist(corners[i], polygon[0]))
    return tuple(corners[start:] + corners[:start])


def _hull(points: Sequence[Point]) -> list[Point]:
    """Return the convex hull, clockwise on the screen (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    return _chain(ordered)[:-1] + _chain(ordered[::-1])[:-1]


def _chain(ordered: Sequence[Point]) -> list[Point]:
    chain: list[Point] = []
    for point in ordered:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _rectangle_along(a: Point, b: Point, hull: Sequence[Point]) -> list[Point]:
    length = math.dist(a, b)
    ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    along = [x * ux + y * uy for x, y in hull]
    across = [y * ux - x * uy for x, y in hull]
    left, right, top, bottom = min(along), max(along), min(across), max(across)
    turned = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [(s * ux - t * uy, s * uy + t * ux) for s, t in turned]
