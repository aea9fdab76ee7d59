from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.pipeline.rate.aimd import Aimd, Ceiling, Rise


def busy(search: Aimd, begin: float, end: float, *, answers: bool = True, **how) -> Aimd:
    now = begin
    while now < end:
        search = search.sent(now, limited=True, **how)
        if answers:
            search = search.answered(now)
        now += 1 / search.rate_rps
    return search


def test_without_a_429_three_a_second_become_ten_within_a_minute():
    assert busy(Aimd.starting(3.0), 0, 50).rps > 10


def test_a_rate_that_limits_nobody_does_not_rise():
    search = Aimd.starting(3.0)
    for second in range(100):
        search = search.sent(float(second), limited=False)
    assert search.rps == 3.0


def test_the_first_429_of_a_burst_lowers_the_rate_and_the_others_do_not():
    search = busy(Aimd.starting(8.0, 8.0), 0, 10)
    fallen = search.throttled(10.0, 9.95)
    assert fallen.rate_rps == 6.0
    again = fallen.throttled(10.01, 9.97).throttled(10.02, 9.99)
    assert (again.rate_rps, again.rps, again.falls) == (6.0, fallen.rps, 1)


def test_a_documented_rate_is_believed_when_a_429_comes_a_little_above_it():
    search = busy(Aimd.starting(3.0), 0, 5)
    assert 3.1 < search.rps < 4
    assert search.throttled(5.0, 4.9).rps == 3.0


def test_between_two_429s_the_limit_is_measured():
    search = busy(Aimd.starting(20.0, 20.0), 0, 5).throttled(5.0, 4.99)
    for number in range(80):  # 10 a second get through
        search = search.sent(5 + number / 10, limited=True).answered(5 + number / 10)
    assert search.throttled(13.0, 12.99).rps == pytest.approx(15, abs=0.5)  # never below 3/4
    again = search.throttled(13.0, 12.99)
    for number in range(80):
        again = again.sent(13 + number / 10, limited=True).answered(13 + number / 10)
    assert again.throttled(21.0, 20.99).rps == pytest.approx(11, abs=0.5)


def test_while_nothing_gets_through_the_belief_stays_and_the_rate_falls_on():
    search = busy(Aimd.starting(8.0, 8.0), 0, 10).throttled(10.0, 9.95)
    for second in range(11, 60):
        search = search.sent(second, limited=True).throttled(second + 0.1, second)
    assert search.falls == 1
    assert search.rps == pytest.approx(8 * 0.98)
    assert search.rate_rps < 0.6 * search.rps


def test_a_limit_is_remembered_and_not_tried_again_for_a_minute():
    search = busy(Aimd.starting(3.0), 0, 40).throttled(40.0, 39.9)
    limit = search.limit_rps
    assert limit is not None
    search = busy(search, 40.5, 99)
    assert limit * 0.97 < search.rps < limit
    assert busy(search, 100, 200).rps > limit


@given(
    rps=st.floats(0.1, 50),
    moments=st.lists(st.tuples(st.floats(0.001, 30), st.booleans()), max_size=60),
)
def test_a_cap_is_never_exceeded(rps, moments):
    search, now = Aimd.starting(3.0, rps), 0.0
    for wait_s, is_429 in moments:
        now += wait_s
        search = search.sent(now, limited=True).answered(now)
        if is_429:
            search = search.throttled(now + 0.1, now)
        search = search.remembering(Ceiling(100.0, falls=search.falls, rises=10**6), now)
        assert 0 < search.rate_rps <= search.rps <= rps


def test_of_two_ceilings_the_one_with_more_falls_is_newer():
    assert Ceiling(2.0, falls=2).newer_than(Ceiling(3.0, falls=1, rises=50))
    assert Ceiling(3.0, falls=1, rises=2).newer_than(Ceiling(2.9, falls=1, rises=1))
    assert Ceiling(2.0, falls=1).newer_than(Ceiling(3.0, falls=1))
    assert not Ceiling(3.0).newer_than(Ceiling(3.0))


def test_a_remembered_ceiling_is_where_the_next_search_begins():
    ceiling = busy(Aimd.starting(3.0), 0, 40).throttled(40.0, 39.9).ceiling
    search = Aimd.starting(3.0).remembering(ceiling, 0.0)
    assert search.ceiling == ceiling
    assert search.rate_rps == ceiling.rps > 3


def test_in_a_fleet_one_worker_rises_by_steps_and_the_others_follow():
    assert busy(Aimd.starting(3.0), 0, 300, rise=Rise.NEVER).rps == 3.0
    leader = busy(Aimd.starting(3.0), 0, 300, rise=Rise.BY_STEPS)
    assert leader.rises == 5
    assert Aimd.starting(3.0).remembering(leader.ceiling, 0.0).rps == leader.rps


def test_in_a_fleet_a_429_now_and_then_moves_nothing():
    search = busy(Aimd.starting(3.0, 3.0), 0, 15, rise=Rise.NEVER)
    assert search.throttled(15.0, 14.9, share=0.25).rps == 3.0
    assert math.isclose(search.throttled(15.0, 14.9, share=1.0).rps, 2.94)
