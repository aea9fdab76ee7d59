"""Settings that cannot be used are refused with what can."""

from __future__ import annotations

import pytest

from ocrlabel.errors import ConfigError
from ocrlabel.options import Options


@pytest.mark.parametrize("given", ["abc", "", "3/s"])
def test_a_rate_that_is_none_is_refused_with_what_may_be_written(given):
    with pytest.raises(ConfigError, match=r"--rps .*write `auto`, or .* a number such as 3") as e:
        Options.of({}, rps=given)
    assert f"got {given!r}" in str(e.value)


@pytest.mark.parametrize(("given", "rps"), [("auto", None), ("2.5", 2.5), (3, 3.0)])
def test_a_rate_is_a_number_or_auto(given, rps):
    assert Options.of({}, rps=given).rps == rps


@pytest.mark.parametrize(("given", "usd"), [("none", None), ("2.50", 2.5), (0, 0.0)])
def test_a_cap_is_a_sum_or_none(given, usd):
    assert Options.of({}, max_cost=given).max_cost == usd


def test_a_cap_that_is_no_sum_is_refused_with_what_to_write():
    with pytest.raises(ConfigError, match=r"--max-cost .*write US dollars such as 5.00, or `none`"):
        Options.of({}, max_cost="free")


def test_only_what_is_given_as_none_or_auto_is_lifted():
    assert Options.of({}, max_cost="none").lifted == {"max_cost"}
    assert Options.of({}, rps="auto", max_cost=5).lifted == {"rps"}
    assert Options.of({}).lifted == frozenset()
