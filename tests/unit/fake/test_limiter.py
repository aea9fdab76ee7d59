from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.fake.limiter import Bucket, FixedWindow, SlidingWindow, limiter


def passed(limit, times, cost=1.0):
    """Which of these times pass."""
    through = []
    for now_s in times:
        if limit.wait_s(now_s, cost) == 0:
            limit.take(now_s, cost)
            through.append(now_s)
    return through


def test_a_bucket_lets_its_burst_through_and_then_one_per_refill():
    assert passed(Bucket(2, 3), [0, 0, 0, 0, 0.4, 0.5, 0.6, 1.0]) == [0, 0, 0, 0.5, 1.0]


def test_a_bucket_never_holds_more_than_its_burst():
    assert passed(Bucket(2, 3), [100.0] * 5) == [100.0] * 3


def test_a_fixed_window_counts_anew_at_every_full_second():
    assert passed(FixedWindow(2, 1), [0.9, 0.9, 0.9, 1.0, 1.0, 1.5, 2.0]) == [
        0.9,
        0.9,
        1.0,
        1.0,
        2.0,
    ]


def test_a_sliding_window_counts_the_last_second():
    assert passed(SlidingWindow(2, 1), [0.9, 0.95, 1.0, 1.85, 1.9, 1.9, 1.95]) == [
        0.9,
        0.95,
        1.9,
        1.95,
    ]


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_a_rate_below_one_per_second_still_lets_something_through(kind):
    assert passed(limiter(kind, 0.5, 1.0, None), range(8)) == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_what_costs_more_than_a_period_allows_passes_alone_and_is_not_locked_out(kind):
    limit = limiter(kind, 30, 60.0, None)
    assert limit.wait_s(0, 100) == 0
    limit.take(0, 100)
    assert limit.wait_s(1, 1) > 0


def test_an_oversized_document_is_owed_by_the_bucket():
    limit = limiter("bucket", 30, 60.0, None)
    limit.take(0, 100)
    assert limit.wait_s(0, 1) == pytest.approx(71 / 0.5)


@given(
    st.sampled_from(["bucket", "fixed", "sliding"]),
    st.integers(1, 5),
    st.lists(st.integers(0, 400), min_size=1, max_size=60),
)
def test_the_wait_that_is_told_is_exactly_long_enough(kind, amount, hundredths):
    limit = limiter(kind, amount, 1.0, None)
    for now_s in sorted(t / 100 for t in hundredths):
        wait_s = limit.wait_s(now_s)
        if wait_s == 0:
            limit.take(now_s)
        else:
            assert limit.wait_s(now_s + wait_s * 0.99) > 0
            assert limit.wait_s(now_s + wait_s + 1e-6) == 0
            return


@given(st.integers(1, 5), st.lists(st.integers(0, 400), max_size=80))
def test_no_second_of_a_sliding_window_ever_holds_more_than_the_amount(amount, hundredths):
    through = passed(limiter("sliding", amount, 1.0, None), sorted(t / 100 for t in hundredths))
    assert all(sum(t <= other < t + 1 for other in through) <= amount for t in through)
