from __future__ import annotations

import os

import pytest

from ocrlabel.engines.children import usable_cores

HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", HERE), ("100000 100000", 1), ("50000 100000", 1), ("6400000 100000", HERE)],
)
def test_a_share_of_a_machine_is_what_counts(tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_cgroup_all_allowed_cores_count(tmp_path):
    assert usable_cores(tmp_path / "absent") == HERE
