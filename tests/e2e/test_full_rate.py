"""The key's full rate over real HTTP, at ten times the rates and a tenth of the latency.

What is promised, 97 % and 1 % of 429, is shown in virtual time (tests/runs/test_full_rate.py) and
on a quiet machine (benchmarks/throughput.py). Here other tests may take the processor away, so
the bound lies lower, and a case may be tried three times. The predecessor came to 43 %.
"""

from __future__ import annotations

import pytest

from benchmarks.throughput import CASES, measured

LEAST_USED = 0.6
MOST_REFUSED = 0.02


@pytest.mark.xdist_group("rate")
@pytest.mark.parametrize("name", ["bucket", "fixed", "two-keys"])
def test_a_run_uses_the_rate_that_the_service_allows(tmp_path, name):
    case = next(case for case in CASES if case.name == name).scaled(10)
    tries = []
    for number in range(3):
        home = tmp_path / str(number)
        home.mkdir()
        found = measured(case, latency_s=0.2, home=home)
        assert found.refused <= MOST_REFUSED
        tries.append(found.used)
        if found.used >= LEAST_USED:
            return
    pytest.fail(f"used {tries} of {case.allowed_rps:g} requests/s")
