from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engines.page_fit import padded_size

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
