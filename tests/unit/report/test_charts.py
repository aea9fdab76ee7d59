from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.report.charts import moments, nice, whole_numbers


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_every_number_is_counted_once_in_few_bins(values):
    bins = whole_numbers(values)
    assert sum(bins.counts) == len(values)
    assert len(bins.counts) <= 60


def test_few_numbers_far_out_do_not_press_the_others_into_one_bin():
    bins = whole_numbers([*range(100), *range(100), 1_000_000])
    assert sum(count > 0 for count in bins.counts) > 10
    assert bins.width < 100


def test_no_numbers_make_no_bins():
    assert whole_numbers([]).counts == ()
    assert moments([], []).counts == ()


@given(st.lists(st.floats(1e9, 2e9), min_size=1, max_size=100))
def test_amounts_over_time_add_up_whether_a_second_apart_or_years(times):
    bins = moments(times, [2.0] * len(times))
    assert sum(bins.counts) == pytest.approx(2.0 * len(times))
    assert len(bins.counts) <= 60


def test_steps_of_time_are_those_of_a_clock():
    assert moments([0.0, 3600.0], [1, 1]).width == 300


@pytest.mark.parametrize(("least", "found"), [(0.7, 1), (1, 1), (1.1, 2), (2.2, 2.5), (70, 100)])
def test_nice_numbers(least, found):
    assert nice(least) == found
