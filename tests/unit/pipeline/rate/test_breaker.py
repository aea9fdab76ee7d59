from __future__ import annotations

from ocrlabel.pipeline.rate.breaker import Breaker, GiveUp, Go, Probe, Wait


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
            breaker.on_success(second)
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


def test_a_success_closes_it_and_the_pause_is_known():
    breaker = opened(100.0)
    assert breaker.paused_s(130.0) == 30
    breaker.on_success(140.0)
    assert breaker.gate(140.0) == Go()
    assert breaker.paused_s(500.0) == 40


def test_a_probe_whose_worker_died_is_replaced():
    breaker = opened()
    assert breaker.gate(101.0) == Probe()
    assert isinstance(breaker.gate(101.0 + 329), Wait)
    assert breaker.gate(101.0 + 330) == Probe()


def test_it_gives_up_with_a_sentence_that_says_what_and_what_next():
    breaker = opened(100.0)
    breaker.on_failure(150.0, "503", message="HTTP 503 from https://ocr.test/v1: it failed")
    breaker.on_failure(151.0, "not sent")
    assert not isinstance(breaker.gate(999.9), GiveUp)
    gate = breaker.gate(1000.0)
    assert isinstance(gate, GiveUp)
    assert "answered no request for 15 minutes (10 x 429, 1 x 503, 1 x not sent)" in gate.message
    assert "the last: HTTP 503 from https://ocr.test/v1: it failed" in gate.message
    assert "run the same command again" in gate.message
