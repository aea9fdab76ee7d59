"""A fleet of any size is a screen of lines: those at work first, the rest by when they were heard."""

from __future__ import annotations

from ocrlabel.cli.status import interruption_lines, worker_lines
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.status import WorkerStatus
from ocrlabel.pipeline.workers.heartbeat import Presence, RecentRequests, WorkerReport


def worker(name, presence=Presence.WORKING, silent_s=1.0, **said):
    return WorkerStatus(name, presence, silent_s, WorkerReport(at_s=1000.0, **said))


def test_of_a_worker_at_work_it_tells_what_it_did_how_fast_and_for_how_much():
    said = {"labelled": 1200, "failed": 3, "spent_pages": 1210, "rate_per_s": 2.0}
    lately = RecentRequests(90, 940.0)
    (row,) = worker_lines([worker("a", **said, lately=lately)], 0.01)
    told = "working, 1,200 labelled, 3 failed, 1.50 of 2.00 requests/s, 12.10 USD"
    assert row == ("worker", f"a: {told}")


def test_an_engine_that_costs_nothing_has_no_sums():
    (row,) = worker_lines([worker("a", labelled=2)], 0.0)
    assert row == ("worker", "a: working, 2 labelled, 0 failed")


def test_a_clock_that_is_ahead_makes_no_negative_times():
    ahead = worker("a", Presence.LOST, -900.0)
    assert worker_lines([ahead], 0.0)[0][1].startswith("a: lost, no word now, ")
    assert interruption_lines([ahead], Account(), 0.0)[0][1].endswith("a 0 s ago")


def test_of_a_large_fleet_it_lists_the_first_and_counts_the_rest():
    fleet = [worker(f"dead{n}", Presence.LOST, 1e6 - n) for n in range(30)]
    rows = worker_lines([*fleet, worker("a")], 0.0)
    assert [row[1].partition(":")[0] for row in rows[:2]] == ["a", "dead29"]
    assert rows[-1] == ("worker", "and 11 more: --json lists all")
    assert len(rows) == 21
    (lost, cost) = interruption_lines(fleet, Account(), 0.0)
    assert lost[1].startswith("30 workers lost without a goodbye: dead29 11 days ago, ")
    assert lost[1].endswith("dead25 11 days ago and 25 more")
    assert cost == ("cost of it", "no request is known to be without an answer")


def test_an_old_heartbeat_without_the_newer_facts_is_shown_all_the_same():
    (row,) = worker_lines([worker("a", Presence.ENDED, 60.0)], 0.0)
    assert row == ("worker", "a: ended 60 s ago, 0 labelled, 0 failed")
