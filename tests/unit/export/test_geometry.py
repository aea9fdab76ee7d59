"""Polygons, their areas and the four corners they fill best."""

from __future__ import annotations

import math

import pytest
import shapely
from hypothesis import assume, given
from shapely import Polygon as Shape

from ocrlabel.export.geometry import (
    area,
    box,
    cut,
    is_convex,
    is_region,
    quad,
    rectangle,
    sides,
    signed_area,
)
from tests.support.labelled import many_cornered, rotated_quads

nearly = pytest.approx


@given(polygon=many_cornered())
def test_the_rectangle_is_shapelys_smallest_and_holds_the_polygon(polygon):
    found = Shape(rectangle(polygon))
    assert found.area == nearly(Shape(polygon).minimum_rotated_rectangle.area, rel=1e-6)
    assert found.buffer(1e-6).contains(Shape(polygon))


@given(polygon=many_cornered())
def test_the_rectangle_goes_the_polygons_way_from_the_polygons_start(polygon):
    for way in (polygon, polygon[::-1]):
        found = rectangle(way)
        assert signed_area(found) * signed_area(way) > 0
        assert math.dist(found[0], way[0]) == nearly(min(math.dist(c, way[0]) for c in found))


@given(polygon=rotated_quads())
def test_four_corners_stay_as_they_are(polygon):
    assert quad(polygon) is polygon
    assert is_region(polygon)
    assert is_convex(polygon)


@given(polygon=rotated_quads() | many_cornered())
def test_area_and_box_are_shapelys(polygon):
    shape = Shape(polygon)
    assume(shape.is_valid)
    assert abs(signed_area(polygon)) == nearly(shape.area)
    left, top, width, height = box(polygon)
    assert (left, top, left + width, top + height) == nearly(shape.bounds)


@pytest.mark.parametrize(
    "polygon",
    [(), ((1.0, 1.0),), ((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)),
     ((0.0, 0.0), (math.nan, 1.0), (2.0, 0.0)), ((0.0, 0.0), (math.inf, 1.0), (2.0, 0.0)),
     ((3.0, 3.0),) * 4],
)  # fmt: skip
def test_points_without_an_area_are_no_region(polygon):
    assert not is_region(polygon)


def test_a_crossed_polygon_is_a_region_but_not_convex():
    crossed = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0))
    assert signed_area(crossed) == 0
    assert is_region(crossed)
    assert not is_convex(crossed)


def test_sides_are_along_and_across_the_text():
    standing = ((30.0, 0.0), (30.0, 80.0), (10.0, 80.0), (10.0, 0.0))
    assert sides(standing) == (80, 20)


@given(polygon=rotated_quads() | many_cornered())
def test_a_polygon_is_cut_with_the_page_as_shapely_cuts_it(polygon):
    found = cut(polygon, 60, 40)
    wanted = Shape(polygon).intersection(shapely.box(0, 0, 60, 40))
    assert area(found) == nearly(wanted.area, abs=1e-3)
    assert all(0 <= x <= 60 and 0 <= y <= 40 for x, y in found)
    if wanted.area > 0:
        assert signed_area(found) * signed_area(polygon) > 0
        assert math.dist(found[0], polygon[0]) == min(math.dist(p, polygon[0]) for p in found)


@given(polygon=rotated_quads())
def test_a_polygon_that_is_all_on_the_page_is_not_touched(polygon):
    inside = tuple((x + 200, y + 200) for x, y in polygon)
    assert cut(inside, 600, 600) is inside
    assert cut(inside, 20, 20) == ()
