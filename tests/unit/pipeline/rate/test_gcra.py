from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.pipeline.rate.limiter import Gcra

costs = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=60)


@given(interval_s=st.floats(0.01, 2), burst=st.floats(1, 20), asks=costs)
def test_no_window_holds_more_than_the_rate_and_the_burst(interval_s, burst, asks):
    budget, full_at, now, taken = Gcra(interval_s, burst), 0.0, 0.0, []
    for rest_s, cost in asks:
        now = budget.next_at(full_at, now + rest_s, cost)
        full_at = budget.taken(full_at, now, cost)
        taken.append((now, cost))
    for first, (begin, _) in enumerate(taken):
        units = 0
        for end, cost in taken[first:]:
            # what exceeds the burst is owed: it counts against what comes after, not before
            within = units + min(cost, burst)
            assert within <= (end - begin) / interval_s + burst + 1e-6
            units += cost


def test_a_cost_larger_than_the_burst_waits_for_a_full_bucket_and_is_then_owed():
    budget = Gcra(interval_s=0.2, burst=5)
    full_at = budget.taken(0.0, 10.0, 5)
    assert full_at == 11.0
    assert budget.next_at(full_at, 10.0, 100) == 11.0
    full_at = budget.taken(full_at, 11.0, 100)
    assert budget.next_at(full_at, 11.0, 5) == 31.0


def test_what_is_owed_stays_owed_when_the_rate_changes():
    fast, slow = Gcra(1.0), Gcra(4.0)
    assert slow.rescaled(12.0, 10.0, fast) == 18.0
    assert slow.rescaled(9.0, 10.0, fast) == 9.0
