from __future__ import annotations

from ocrlabel.pipeline.rate.breaker import Breaker, Go, Probe, Wait


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(10):
        breaker.on_failure(at, "429")
    return breaker


def test_single_failures_between_answers_open_nothing():
    breaker = Breaker()
    for second in range(300):
        breaker.on_failure(second, "500")
        if second % 9 == 8:
            breaker.on_success()
        assert breaker.gate(second) == Go()


def test_ten_failures_in_a_row_are_an_outage_and_so_is_a_long_silence():
    assert opened().is_open
    slow = Breaker()
    for second in (0, 20, 31):
        slow.on_failure(second, "timeout")
    assert slow.is_open


def test_one_probe_at_a_time_and_longer_waits_between_them():
    breaker, now, waits = opened(100.0), 100.0, []
    for _ in range(8):
        began = now
        while isinstance(gate := breaker.gate(now), Wait):
            assert gate.until > now
            now = gate.until
        assert gate == Probe()
        assert isinstance(breaker.gate(now), Wait)
        waits.append(now - began)
        breaker.on_failure(now, "connection")
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_probe_waits_as_long_as_the_service_asked_for():
    breaker = opened()
    assert breaker.gate(101.0) == Probe()
    breaker.on_failure(101.0, "429", retry_after_s=20)
    assert isinstance(breaker.gate(120.9), Wait)
    assert breaker.gate(121.0) == Probe()


def test_a_success_closes_it():
    breaker = opened(100.0)
    breaker.on_success()
    assert breaker.gate(140.0) == Go()


def test_a_probe_whose_worker_died_is_replaced():
    breaker = opened()
    assert breaker.gate(101.0) == Probe()
    assert isinstance(breaker.gate(101.0 + 329), Wait)
    assert breaker.gate(101.0 + 330) == Probe()


def test_it_says_what_was_seen_and_what_to_do_where_the_run_gives_up():
    breaker = opened(100.0)
    breaker.on_failure(150.0, "503", message="HTTP 503 from https://ocr.test/v1: it failed")
    breaker.on_failure(151.0, "not sent")
    said = breaker.sentence(901.0, "2 requests under way")
    seen = "10 x 429, 1 x 503, 1 x not sent, 2 requests under way"
    assert f"answered no request for 15 minutes ({seen})" in said
    assert "the last: HTTP 503 from https://ocr.test/v1: it failed" in said
    assert "run the same command again" in said


def test_a_service_that_asked_to_wait_is_said_to_be_silent_for_just_that():
    breaker = Breaker()
    breaker.pause(100.0, until=3700.0)
    assert breaker.failing == (100.0, 0, "it asked to wait longer than that")
    said = "the service has answered no request for 25 s\n  the last: it asked to wait longer"
    assert breaker.sentence(25.0, "").startswith(said)


def test_an_outage_began_when_the_first_request_was_sent_that_came_to_nothing():
    breaker = Breaker()
    breaker.on_failure(420.0, "no answer", sent_at=10.0)
    breaker.on_failure(421.0, "no answer", sent_at=20.0)
    assert breaker.failing[:2] == (10.0, 2)


def test_a_laptop_that_slept_after_a_failure_asks_again():
    breaker = Breaker()
    for second in (0, 0.1, 0.2):
        breaker.on_failure(second, "connection")
    woken = 8 * 3600
    breaker.on_failure(woken, "connection")
    assert isinstance(breaker.gate(woken), Wait)
    assert breaker.gate(woken + 1) == Probe()
