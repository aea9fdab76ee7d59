"""A sample of the fault campaign; `make chaos` plays all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.__main__ import stores_here
from tests.chaos.schedule import draw

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
SEEDS = 200 if FULL else 2
"""Each store has its turn."""


@pytest.mark.campaign
@pytest.mark.timeout(120 * SEEDS)
def test_whatever_goes_wrong_at_once_no_invariant_is_broken():
    played = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seeds", str(SEEDS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr


def test_a_seed_repeats_its_schedule():
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({draw(seed).events for seed in range(50)}) == 50
    assert {draw(seed, stores_here()).store for seed in range(8)} == set(stores_here())
