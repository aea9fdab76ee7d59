"""What may be done about a lease, checked for every state, time and owner."""

from __future__ import annotations

import pytest

from ocrlabel.pipeline.leases.leases import (
    Closed,
    Free,
    HeldUntil,
    Lease,
    LeaseState,
    Seen,
    standing,
)
from ocrlabel.pipeline.runtime import Owner

DURATION_S, MARGIN_S, SINCE_S = 60.0, 15.0, 1000.0
ENDS_S = SINCE_S + DURATION_S + MARGIN_S


def stands(state: LeaseState, now_s: float, *, owner_dead: bool = False):
    seen = Seen(7, state, Owner("w1"), DURATION_S, SINCE_S)
    return standing(seen, now_s=now_s, margin_s=MARGIN_S, owner_dead=owner_dead)


def test_what_nobody_ever_claimed_is_free_from_its_first_number():
    for owner_dead in (True, False):
        found = standing(None, now_s=0.0, margin_s=MARGIN_S, owner_dead=owner_dead)
        assert found == Free(1, taken_over=False)


@pytest.mark.parametrize("now_s", [SINCE_S, ENDS_S, ENDS_S + 1e9])
@pytest.mark.parametrize("owner_dead", [True, False])
def test_what_is_closed_stays_closed_for_ever_whoever_has_died(now_s, owner_dead):
    assert stands(LeaseState.CLOSED, now_s, owner_dead=owner_dead) == Closed()


@pytest.mark.parametrize("owner_dead", [True, False])
def test_what_was_given_back_is_free_at_once(owner_dead):
    found = stands(LeaseState.RELEASED, SINCE_S, owner_dead=owner_dead)
    assert found == Free(8, taken_over=True)


def test_what_is_held_is_free_only_after_its_duration_and_the_margin():
    assert stands(LeaseState.HELD, SINCE_S) == HeldUntil(ENDS_S)
    assert stands(LeaseState.HELD, ENDS_S - 0.001) == HeldUntil(ENDS_S)
    assert stands(LeaseState.HELD, ENDS_S) == Free(8, taken_over=True)


def test_what_a_process_of_this_host_held_that_runs_no_more_is_free_at_once():
    assert stands(LeaseState.HELD, SINCE_S, owner_dead=True) == Free(8, taken_over=True)


def test_a_lease_may_be_acted_on_until_its_time_and_not_after_it_was_lost():
    lease = Lease("0000-00", 1, valid_until_s=10.0)
    assert lease.valid(9.999)
    assert not lease.valid(10.0)
    lease.lost = True
    assert not lease.valid(0.0)
