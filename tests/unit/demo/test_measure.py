from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.demo.measure import Found, iou, measure
from ocrlabel.labels import Polygon, Word

SIDE = st.integers(0, 60)


def box(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def word(text: str, x: float) -> Word:
    return Word(text, box(x, 0, x + 10, 10), None)


def rotated(polygon: Polygon, degrees: float) -> Polygon:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return tuple((x * c - y * s, x * s + y * c) for x, y in polygon)


@given(*[SIDE] * 8, st.integers(0, 359))
def test_overlap_of_boxes_is_what_arithmetic_says_however_the_page_is_turned(
    a, b, c, d, e, f, g, h, turn
):
    first, second = (a, b, a + c + 1, b + d + 1), (e, f, e + g + 1, f + h + 1)
    across = max(0, min(first[2], second[2]) - max(first[0], second[0]))
    down = max(0, min(first[3], second[3]) - max(first[1], second[1]))
    both = (c + 1) * (d + 1) + (g + 1) * (h + 1)
    expected = across * down / (both - across * down)
    assert iou(rotated(box(*first), turn), rotated(box(*second), turn)) == pytest.approx(
        expected, abs=1e-6
    )


def test_boxes_that_touch_or_have_no_area_share_nothing():
    assert iou(box(0, 0, 1, 1), box(1, 0, 2, 1)) == 0
    assert iou(box(0, 0, 0, 5), box(0, 0, 5, 5)) == 0
    assert iou(box(0, 0, 1, 1), box(5, 5, 6, 6)) == 0


def test_a_word_is_right_in_its_place_with_its_text_whatever_the_case():
    written = [word("Total", 0), word("12.50", 20), word("cash", 40)]
    read = [word("TOTAL", 1), word("12.80", 20), word("cash", 300)]
    assert measure(written, read) == Found(written=3, read=3, right=1)


def test_one_read_word_counts_for_one_written_word_only():
    assert measure([word("a", 0), word("a", 1)], [word("a", 0)]) == Found(2, 1, 1)


def test_shares_of_nothing_are_nothing():
    assert measure([], []).recall is None
    assert measure([], []).precision is None
    total = sum([Found(4, 2, 1), Found(0, 2, 1)], Found())
    assert (total.recall, total.precision) == (0.5, 0.5)
