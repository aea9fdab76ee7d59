"""How long a run was worked on, whatever the pauses between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Tally
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.merge.run_record import run_record
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.workers.heartbeat import WorkerReport, WorkerSession, active_s, sessions_of
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore

SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=8)


def sessions(*spans):
    return [WorkerSession(f"w{n}", start, end) for n, (start, end) in enumerate(spans)]


def test_pauses_do_not_count_and_workers_side_by_side_count_once():
    assert active_s(sessions((0, 10), (5, 12), (100, 103), (101, 102))) == 15
    assert active_s(sessions((0, 10), (100, 110)), 8, 105) == 7
    assert active_s([]) == 0


@given(SPANS, st.integers(0, 60), st.integers(0, 30))
def test_active_seconds_are_those_in_which_somebody_was_there(spans, since, length):
    whole = [(start, start + long) for start, long in spans]
    seconds = {second for start, end in whole for second in range(start, end)}
    wanted = seconds & set(range(since, since + length))
    assert active_s(sessions(*whole), since, since + length) == len(wanted)


def test_a_heartbeat_of_an_earlier_version_tells_of_no_session():
    assert sessions_of([("w", WorkerReport(labelled=3))]) == []


def test_time_and_rate_of_a_record_leave_the_pause_out():
    plan = Plan("id", "train", "images/", "f", 41, "upstage", created_at_s=1000.0)
    record = run_record(
        replace(run_of(runtime(DictStore(), "w1")), plan=plan),
        Tally(41, 41),
        Account({"answered": 41}, first_sent_s=1000.0, last_sent_s=5010.0),
        sessions((1000, 1010), (5000, 5010)),
        ended_at_s=5010.0,
        complete=True,
    )
    assert record.active_s == 20
    assert record.requests_per_s == pytest.approx(2.0)
