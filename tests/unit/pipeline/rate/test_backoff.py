from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.pipeline.rate.breaker import wait_s


def most(low: float, high: float) -> float:
    return high


def least(low: float, high: float) -> float:
    return low


def test_waits_double_up_to_a_minute():
    assert [wait_s(n, None, most) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_reaches_down_to_nothing():
    assert wait_s(5, None, least) == 0


@given(attempt=st.integers(0, 10**6), retry_after_s=st.floats(0, 1e6))
def test_never_less_than_the_service_asked_for(attempt, retry_after_s):
    assert wait_s(attempt, retry_after_s, least) >= retry_after_s
    assert wait_s(attempt, retry_after_s, most) >= retry_after_s
