"""A heartbeat tells what its worker did, how fast of late, and why it ends early."""

from __future__ import annotations

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.counters import Counters
from ocrlabel.pipeline.events import Asked
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.workers.heartbeat import REPORT


def asked(at_s, *, latency_s=1.0, result=AttemptResult.ANSWERED, billed=1):
    attempt = Attempt(1, "key", at_s, latency_s, result, billed_pages=billed)
    return Asked(attempt, rate_per_s=2.0)


def told_of(*events, stop=None):
    counters = Counters(lambda _: None, stop or Stop(lambda: 0.0), price_per_page_usd=0.0015)
    for event in events:
        counters(event)
    return REPORT.to_json(counters.report())


def test_requests_of_the_last_minute_are_told_apart_from_those_before():
    every_two_s = [asked(1000.0 + 2 * number) for number in range(100)]
    told = told_of(*every_two_s)
    assert told["requests"] == {"answered": 100}
    assert told["lately"] == {"requests": 31, "since_s": 1139.0}


def test_in_the_first_minute_it_is_told_since_when_requests_were_sent():
    for order in ((1000.0, 1004.0), (1004.0, 1000.0)):
        lately = told_of(*map(asked, order))["lately"]
        assert lately == {"requests": 2, "since_s": 1000.0}, "in whatever order they ended"
    assert "lately" not in told_of()


def test_pages_that_were_spent_are_told_with_their_price():
    lost = asked(1001.0, result=AttemptResult.UNKNOWN, billed=None)
    told = told_of(asked(1000.0), lost)
    assert (told["spent_pages"], told["price_per_page_usd"]) == (2, 0.0015)


def test_why_a_worker_ends_early_is_told_once_it_does():
    stop = Stop(lambda: 0.0)
    assert told_of(stop=stop)["stopped"] == ""
    stop.drain("stopped by SIGTERM; go on", grace_s=1.0)
    assert told_of(stop=stop)["stopped"] == "stopped by SIGTERM; go on"
