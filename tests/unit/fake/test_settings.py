from __future__ import annotations

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ConfigError
from ocrlabel.fake.settings import (
    FakeSettings,
    Latency,
    changed,
    draw,
    fault_named,
    limits_named,
    parse_faults,
    parse_latency,
    parse_refusals,
)

KEYS = parse_keys("k1@3,k2@1")


def test_faults_are_names_with_chances():
    assert parse_faults("429:0.1, drop-after:0.02,") == {"429": 0.1, "drop-after": 0.02}


@pytest.mark.parametrize(
    "text", ["429", "429:x", "429:-0.1", "429:0.6,500:0.6", "200:0.1", "drop:0.1", "429:nan"]
)
def test_faults_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError):
        parse_faults(text)


def test_each_fault_is_drawn_as_often_as_it_was_asked_for():
    faults = parse_faults("500:0.25,html:0.5")
    drawn = [draw(faults, i / 100) for i in range(100)]
    assert [f.name if f else "" for f in drawn] == ["500"] * 25 + ["html"] * 50 + [""] * 25


def test_a_status_after_the_work_is_billed_and_a_plain_one_is_not():
    assert fault_named("502-after").works
    assert not fault_named("502").works


@pytest.mark.parametrize(
    ("text", "latency"), [("2,0.3", Latency(2, 0.3)), ("0.5", Latency(0.5, 0))]
)
def test_latency_is_median_and_sigma(text, latency):
    assert parse_latency(text) == latency


@pytest.mark.parametrize("text", ["", "fast", "-1", "nan", "inf", "1,-1", "1,2,3"])
def test_a_latency_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigError):
        parse_latency(text)


def test_the_middle_draw_is_the_median():
    assert Latency(2, 0.3).of(0.0) == 2


def test_refusals_name_a_known_key():
    assert [(r.after_requests, r.status) for r in parse_refusals("k1@100:401,k2@5", KEYS)] == [
        (100, 401),
        (5, 403),
    ]
    with pytest.raises(ConfigError):
        parse_refusals("k3@1", KEYS)


def test_a_change_holds_for_every_key_or_for_the_one_that_is_named():
    everyone = changed(FakeSettings(keys=KEYS), {"rps": 10})
    assert [key.requests_per_s for key in everyone.keys] == [10, 10]
    one = changed(FakeSettings(keys=KEYS), {"rps": {"k2": 7}})
    assert [key.requests_per_s for key in one.keys] == [3, 7]


@pytest.mark.parametrize(
    "change",
    [
        {"speed": 1}, {"rps": "fast"}, {"rps": -1}, {"rps": {"k9": 1}}, {"fail": 5}, {"fail": "x:1"}, {"latency": []},
        {"limits": 2031}, {"limiter": "leaky"}, {"error_shape": "round"}, {"credit": "much"}, {"refuse": 3},
        {"rps": None, "speed": 2},
    ],
)  # fmt: skip
def test_a_change_that_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError):
        changed(FakeSettings(keys=KEYS), change)


def test_there_are_two_generations_of_limits():
    assert (limits_named("2025").truncates, limits_named("2026").truncates) == (True, False)
    with pytest.raises(ConfigError):
        limits_named("2024")
