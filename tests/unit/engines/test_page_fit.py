from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engines.rapidocr import has_room_for_letters, padded_size

SIDES = st.integers(1, 40_000)


@given(SIDES, SIDES)
def test_a_page_only_grows_and_only_on_its_short_side(width, height):
    wide, high = padded_size(width, height)
    assert wide >= width
    assert high >= height
    assert (wide, high) == (max(wide, width), height) or (wide, high) == (width, max(high, height))


@given(SIDES, SIDES)
def test_no_page_is_left_too_thin(width, height):
    wide, high = padded_size(width, height)
    assert wide <= 100 * high
    assert high <= 8 * wide


@pytest.mark.parametrize("size", [(1, 1), (463, 1013), (300, 2400), (4961, 7016), (2000, 20)])
def test_pages_and_receipts_stay_as_they_are(size):
    assert padded_size(*size) == size


def test_a_hairline_has_no_room_for_letters_and_a_long_line_of_text_has():
    assert not has_room_for_letters(20_000, 2)
    assert not has_room_for_letters(3, 1_000)
    assert has_room_for_letters(4_000, 40)
    assert has_room_for_letters(1, 1)
