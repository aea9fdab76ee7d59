"""A process is dead only where that is certain, and has all the handles that it may have."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ocrlabel.cli.clocks import alive, raise_handle_limit, this_worker
from ocrlabel.cli.wiring import within_handles
from ocrlabel.engine import Lane
from ocrlabel.options import Options
from tests.support.runs import BillingEngine

NO_HANDLES = """
import os, sys
from ocrlabel.cli.clocks import alive
from pathlib import Path
from ocrlabel.dataset.roots import read_inside
from ocrlabel.errors import StoreUnavailable
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
kept = []
try:
    while True:
        kept.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
said = [alive(int(sys.argv[1]), sys.argv[2]), alive(int(sys.argv[3]), "12345")]
try:
    read_inside(Path(sys.argv[4]), [Path(sys.argv[4]).parent], 100)
except StoreUnavailable as error:
    said.append(str(error))
os.close(kept.pop())
print(said)
"""


def test_without_a_handle_left_the_living_live_the_dead_are_dead_and_an_image_may_pass(tmp_path):
    me = this_worker()
    gone = subprocess.Popen(["true"])
    gone.wait()
    image = tmp_path.resolve() / "a.png"
    image.write_bytes(b"x")
    arguments = [str(me.pid), me.started, str(gone.pid), str(image)]
    done = subprocess.run(
        [sys.executable, "-c", NO_HANDLES, *arguments], capture_output=True, text=True, check=True
    )
    expected = [True, False, f"{image} cannot be read now: Too many open files"]
    assert done.stdout.strip() == str(expected)


def test_a_process_that_waits_to_be_reaped_or_began_at_another_time_is_dead():
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(zombie.pid, "12345")
    zombie.wait()
    assert not alive(os.getpid(), "12345")


@pytest.mark.parametrize(("pid", "started"), [(None, ""), (0, "1"), (-1, "1"), (2**70, "1")])
def test_what_cannot_be_told_apart_is_not_dead(pid, started):
    assert alive(os.getpid() if pid is None else pid, started)


def test_a_process_may_open_as_many_files_as_the_system_lets_it():
    raise_it = (
        "import resource\n"
        "from ocrlabel.cli.clocks import raise_handle_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 500))\n"
        "print(raise_handle_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", raise_it], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "500 (500, 500)"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_handle_limit() == min(before[1], 1 << 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("asked", "per_s", "handles", "concurrency"),
    [
        (None, 3.0, 128 + 3 * 50, 50),
        (70, 3.0, 128 + 3 * 50, 50),
        (7, 3.0, 128 + 3 * 50, 7),
        (70, 3.0, 20, 1),
        (None, None, 1000, None),
        (7, None, 1000, 7),
    ],
)
def test_requests_at_once_are_no_more_than_there_are_handles_for(
    asked, per_s, handles, concurrency
):
    engine = BillingEngine(lanes=(Lane("key", per_s, None),))
    options = within_handles(Options(concurrency=asked), engine, handles)
    assert options.concurrency == concurrency
