from __future__ import annotations

from ocrlabel.pipeline.runtime import Stop


def test_the_first_reason_to_drain_is_told_and_a_second_one_only_shortens_the_grace():
    stop = Stop(lambda: 100.0)
    stop.drain("the deadline is near", grace_s=20.0)
    stop.drain("SIGTERM", grace_s=25.0)
    stop.drain("SIGTERM again", grace_s=5.0)
    assert (stop.reason, stop.grace_ends_s) == ("the deadline is near", 105.0)


def test_who_stops_it_at_once_is_told_whatever_was_said_before():
    stop = Stop(lambda: 100.0)
    stop.drain("Ctrl-C", grace_s=300.0)
    stop.now("at once by Ctrl-C")
    assert (stop.reason, stop.grace_ends_s) == ("at once by Ctrl-C", 100.0)
