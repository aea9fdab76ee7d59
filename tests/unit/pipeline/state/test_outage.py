"""How long an outage lasted: only trying counts."""

from __future__ import annotations

from ocrlabel.pipeline.state.run_store import Outage


def test_only_the_first_failure_after_a_success_begins_an_outage():
    outage = Outage()
    assert [outage.failed(at_s) for at_s in (0.0, 2.0, 4.0)] == [True, False, False]
    assert outage.tried_for_s == 4.0
    outage.over()
    assert outage.failed(6.0)
    assert outage.tried_for_s == 0.0


def test_hours_in_which_nothing_was_tried_do_not_count():
    outage = Outage()
    outage.failed(0.0)
    outage.failed(8 * 3600.0)
    assert outage.tried_for_s <= 60.0
