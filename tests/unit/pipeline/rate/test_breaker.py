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


def test_it_gives_up_with_a_sentence_that_says_what_and_what_next():
    breaker = opened(100.0)
    breaker.on_failure(150.0, "503", message="HTTP 503 from https://ocr.test/v1: it failed")
    breaker.on_failure(151.0, "not sent")
    assert breaker.gate(1000.0) == Probe()
    breaker.on_failure(1001.0, "503")
    gate = breaker.gate(1001.0)
    assert isinstance(gate, GiveUp)
    assert "answered no request for 15 minutes (10 x 429, 2 x 503, 1 x not sent)" in gate.message
    assert "the last: HTTP 503 from https://ocr.test/v1: it failed" in gate.message
    assert "run the same command again" in gate.message


def test_a_service_that_asked_to_wait_for_too_long_is_given_up_with_just_that():
    breaker = Breaker(give_up_after_s=20.0)
    breaker.pause(100.0, until=3700.0)
    gate = breaker.gate(125.0)
    assert isinstance(gate, GiveUp)
    said = "the service has answered no request for 25 s\n  the last: it asked to wait longer"
    assert gate.message.startswith(said)


def test_a_laptop_that_slept_after_a_failure_has_not_waited_for_the_service():
    breaker = Breaker()
    for second in (0, 0.1, 0.2):
        breaker.on_failure(second, "connection")
    woken = 8 * 3600
    breaker.on_failure(woken, "connection")
    assert isinstance(breaker.gate(woken), Wait)
    assert breaker.gate(woken + 1) == Probe()
    breaker.on_failure(woken + 1, "connection")
    assert not isinstance(breaker.gate(woken + 800), GiveUp)


def test_one_that_slept_in_an_outage_asks_once_more_before_it_gives_up():
    breaker = opened(100.0)
    assert breaker.gate(101.0) == Probe()
    woken = 8 * 3600
    breaker.on_failure(woken, "connection")  # what was under way as it fell asleep
    assert isinstance(breaker.gate(woken), Wait)
    assert breaker.gate(woken + 2) == Probe()
    breaker.on_failure(woken + 3, "connection")
    assert isinstance(breaker.gate(woken + 3), GiveUp)


def test_a_last_probe_that_is_never_answered_does_not_keep_it_waiting():
    breaker = opened(100.0)
    assert breaker.gate(1000.0) == Probe()
    assert isinstance(breaker.gate(1329.0), Wait)
    assert isinstance(breaker.gate(1330.0), GiveUp)


def test_it_gives_up_where_the_service_asks_for_more_time_than_there_is():
    breaker = opened(100.0)
    assert breaker.gate(990.0) == Probe()
    breaker.on_failure(995.0, "503", retry_after_s=3600)
    assert isinstance(breaker.gate(999.0), Wait)
    assert isinstance(breaker.gate(1000.0), GiveUp)
