"""The key's full rate, with default settings, judged from the service's own log; virtual time."""

from __future__ import annotations

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.clock import run_virtual
from tests.support.runs import go
from tests.support.stores import DictStore
from tests.support.virtual_upstage import Upstage, images

SLOW = Latency(2.0, 0.3)


def entries_of(limits, keys, count):
    upstage = Upstage(limits, keys=keys)
    run_virtual(go(DictStore(), images(count), upstage.engine()))
    return upstage


def rate_and_refused(entries) -> tuple[float, float]:
    """Requests/s that were let in between first and last send, and the share of 429."""
    sent = sorted(entry.t_s for entry in entries if entry.status != 429)
    refused = sum(entry.status == 429 for entry in entries)
    return (len(sent) - 1) / (sent[-1] - sent[0]), refused / len(entries)


@pytest.mark.parametrize(
    ("limiter", "most_refused"), [("bucket", 0.01), ("fixed", 0.01), ("sliding", 0.10)]
)
@pytest.mark.parametrize("scale", [1, 10])
def test_a_key_is_used_to_97_percent_with_hardly_a_429(limiter, most_refused, scale):
    rps = 3.0 * scale
    limits = FakeSettings(
        requests_per_s=rps, limiter=limiter, latency=Latency(2.0 / scale, 0.3), seed=scale
    )
    upstage = entries_of(limits, f"up_one@{rps:g}", 300)
    rate, refused = rate_and_refused(upstage.entries)
    print(f"{limiter} {rps:g}/s: {rate / rps:.3f} of the rate, {refused:.4f} refused")
    assert rate >= (0.97 if limiter != "sliding" else 0.9) * rps
    assert refused <= most_refused


@pytest.mark.parametrize("limiter", ["bucket", "fixed"])
def test_an_unknown_limit_is_found_within_a_minute_and_then_used(limiter):
    limits = FakeSettings(requests_per_s=10.0, limiter=limiter, latency=SLOW, seed=3)
    upstage = entries_of(limits, "up_one@3", 1000)
    began_s = min(entry.t_s for entry in upstage.entries)
    later = [entry for entry in upstage.entries if entry.t_s >= began_s + 60]
    rate, refused = rate_and_refused(later)
    print(f"{limiter}: after the first minute {rate:.2f} of 10/s, {refused:.4f} refused")
    assert rate >= 9.7
    assert refused <= 0.01


def test_two_keys_are_one_pool_of_both_rates():
    keys = parse_keys("up_one@3,up_two@1")
    upstage = entries_of(FakeSettings(keys=keys, latency=SLOW), "up_one@3,up_two@1", 300)
    rate, refused = rate_and_refused(upstage.entries)
    assert rate >= 0.97 * 4
    assert refused <= 0.01
    for key in keys:
        rate, _ = rate_and_refused([e for e in upstage.entries if e.key == key.name])
        assert rate >= 0.96 * key.requests_per_s
