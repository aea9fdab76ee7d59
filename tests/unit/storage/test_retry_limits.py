from __future__ import annotations

from itertools import islice

from ocrlabel.storage.base import RetryLimits


def test_waits_double_up_to_the_longest() -> None:
    retry_limits = RetryLimits(first_wait_s=0.5, longest_wait_s=2)

    assert [*islice(retry_limits.waits_s(), 5)] == [0.5, 1, 2, 2, 2]


def test_the_default_ends_well_within_a_lease_of_a_minute() -> None:
    retry_limits = RetryLimits()

    assert retry_limits.limit_s + retry_limits.attempt_s < 60 / 3


def test_a_large_object_gets_the_time_that_a_slow_line_needs() -> None:
    assert RetryLimits(slowest_bytes_per_s=1000).extra_s(60_000) == 60
