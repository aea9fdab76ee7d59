"""A cap in dollars is a number of pages, rounded down; grants of it get smaller near its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.pipeline.budget.budget import cap_pages, grant_size


@pytest.mark.parametrize(
    ("max_cost_usd", "price_usd", "pages"),
    [
        (0.005, 0.0015, 3),
        (0.0044, 0.0015, 2),
        (0.0045, 0.0015, 3),
        (0.3, 0.1, 3),
        (0.0014, 0.0015, 0),
        (0.0, 0.0015, 0),
        (15.0, 0.0015, 10_000),
    ],
)
def test_a_cap_buys_whole_pages_and_never_one_more_than_it_pays_for(max_cost_usd, price_usd, pages):
    assert cap_pages(max_cost_usd, price_usd) == pages


@given(cap_micro_usd=st.integers(0, 10**10), price_micro_usd=st.integers(100, 10**6))
def test_the_pages_that_a_cap_buys_are_those_of_exact_arithmetic(cap_micro_usd, price_micro_usd):
    bought = cap_pages(cap_micro_usd / 1e6, price_micro_usd / 1e6)
    assert bought == cap_micro_usd // price_micro_usd


def test_a_cap_beyond_all_money_is_still_a_number_of_pages():
    assert cap_pages(1e300, 0.0015) == cap_pages(float("inf"), 0.0015) == 2**62


@pytest.mark.parametrize(
    ("wanted", "available", "workers", "granted"),
    [
        (1, 1000, 1, 64),
        (1, 100, 1, 50),
        (1, 100, 4, 12),
        (1, 100, 0, 50),
        (70, 100, 4, 70),
        (100, 1000, 1, 100),
        (1, 1, 8, 1),
        (2, 2, 1, 2),
        (2, 1, 1, 0),
        (1, 0, 1, 0),
    ],
)
def test_a_grant_is_enough_for_a_while_fair_near_the_cap_and_never_above_it(
    wanted, available, workers, granted
):
    assert grant_size(wanted=wanted, available=available, workers=workers) == granted
