from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Polygon
from ocrlabel.quality import match
from ocrlabel.quality.match import ious, near, shapes
from tests.support.quality_pages import box, polygons, some


def iou(one: Polygon, other: Polygon) -> float:
    found = ious(shapes([one]), shapes([other]))
    return float(found.values[0]) if len(found.values) else 0.0


@some
@given(polygons, polygons)
def test_iou_is_the_same_both_ways_and_between_0_and_1(one, other):
    assert iou(one, other) == pytest.approx(iou(other, one))
    assert 0 <= iou(one, other) <= 1 + 1e-9


@some
@given(polygons)
def test_a_polygon_with_area_is_itself_and_one_without_is_nothing(polygon):
    area = shapes([polygon]).areas[0]
    assert iou(polygon, polygon) == pytest.approx(1.0 if area > 0 else 0.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (box(0, 0), box(0, 0), 1),
        (box(0, 0), box(5, 0), 50 / 150),
        (box(0, 0), box(10, 0), 0),  # they only touch
        (box(0, 0, 20, 20), box(5, 5), 100 / 400),  # one inside the other
        (box(0, 0), ((0, 0), (10, 0), (0, 10)), 0.5),  # half of it
        (((5, 0), (10, 5), (5, 10), (0, 5)), box(0, 0), 0.5),  # a square on its corner
        (((0, 0), (10, 10), (10, 0), (0, 10)), box(0, 0), 0.5),  # crosses itself: two triangles
        (((10, 10), (0, 10), (0, 0), (10, 0)), box(0, 0), 1),  # upside down
        (((0, 10), (0, 0), (10, 0), (10, 10)), box(0, 0), 1),  # begins bottom left
    ],
)
def test_iou_of_known_pairs(one, other, expected):
    assert iou(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    "polygon",
    [(), ((1, 1),), ((0, 0), (5, 5)), box(3, 3, 0, 5), box(3, 3, 5, 0), ((0, 0),) * 4,
     ((0, 0), (math.nan, 0), (5, 5), (0, 5)), ((0, 0), (math.inf, 0), (5, 5), (0, 5)),
     ((0, 0), (2, 2), (4, 4), (6, 6))],
)  # fmt: skip
def test_polygons_without_area_overlap_nothing(polygon):
    assert iou(polygon, box(0, 0, 100, 100)) == 0
    assert shapes([polygon]).areas[0] == 0


def test_many_boxes_are_paired_by_a_tree_as_they_are_one_by_one(monkeypatch):
    chance = np.random.default_rng(1)
    low = chance.uniform(0, 100, (40, 2))
    bounds = np.hstack((low, low + chance.uniform(0, 20, (40, 2))))
    all_pairs = set(zip(*(axis.tolist() for axis in near(bounds, bounds)), strict=True))
    monkeypatch.setattr(match, "_ALL_PAIRS", 0)
    by_tree = set(zip(*(axis.tolist() for axis in near(bounds, bounds)), strict=True))
    assert by_tree == all_pairs


@some
@given(st.lists(polygons, max_size=6), st.lists(polygons, max_size=6))
def test_a_page_of_polygons_gives_what_each_pair_gives(these, those):
    found = ious(shapes(these), shapes(those))
    table = {
        (i, j): value
        for i, j, value in zip(
            found.rows.tolist(), found.columns.tolist(), found.values.tolist(), strict=True
        )
    }
    for i, one in enumerate(these):
        for j, other in enumerate(those):
            assert table.get((i, j), 0.0) == pytest.approx(iou(one, other))
