"""Settings that cannot be used are refused with what can."""

from __future__ import annotations

import pytest

from ocrlabel.cli.settings import Settings
from ocrlabel.errors import ConfigError


@pytest.mark.parametrize("given", ["abc", "", "3/s"])
def test_a_rate_that_is_none_is_refused_with_what_may_be_written(given):
    with pytest.raises(ConfigError, match=r"--rps .*write `auto`, or .* a number such as 3") as e:
        Settings.of(rps=given)
    assert f"got {given!r}" in str(e.value)


@pytest.mark.parametrize(("given", "rps"), [("auto", None), ("2.5", 2.5), (3, 3.0)])
def test_a_rate_is_a_number_or_auto(given, rps):
    assert Settings.of(rps=given).rps == rps
