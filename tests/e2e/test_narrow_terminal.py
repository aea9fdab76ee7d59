"""On a real terminal of 80 and of 60 columns: no count, sum or path is cut."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from PIL import Image, ImageDraw

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.fake_upstage import running
from tests.support.process import Machine

IMAGES = 30
_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(machine: Machine, columns: int, *args: str) -> tuple[int, list[str]]:
    """Run a command on a terminal; its status, and the lines that it wrote, one over another too."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = machine._environment({"OCRLABEL_LOG": "auto", "TERM": "xterm"})
    process = subprocess.Popen(
        [sys.executable, "-m", "ocrlabel", *args],
        cwd=machine.home,
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # Linux: the other end is closed
        pass
    os.close(ours)
    text = _STYLES.sub("", written.decode())
    return process.wait(), [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(IMAGES):
        page = Image.new("RGB", (200, 100), "white")
        ImageDraw.Draw(page).text((10, 10), f"page {number}", fill="black")
        page.save(tmp_path / f"images/{number}.png")
    (tmp_path / "images/broken.jpg").write_bytes(b"no image")
    keys = "up_one@20"
    with running(FakeSettings(keys=parse_keys(keys), latency=Latency(0.3, 0.1))) as fake:
        yield Machine(tmp_path, {"UPSTAGE_API_KEYS": keys, "UPSTAGE_BASE_URL": fake.base_url})


@pytest.mark.parametrize("columns", [80, 60])
def test_the_bar_keeps_its_counts_and_sums_and_fits(machine, columns):
    args = ("run", "images/", "--engine", "upstage", "--max-cost", "5", "--max-failures", "50%")
    status, lines = on_terminal(machine, columns, *args)
    assert status == 0
    frames = [line for line in lines if re.search(r"\d+/31 ", line)]
    assert len(frames) > 3
    for frame in frames:
        assert len(frame.rstrip()) <= columns, frame
        assert re.search(r"\b\d+/31\b", frame), frame
        assert re.search(
            r"\d\.\d{4}( USD)? of( about)? \d\.\d{4}( USD)?, cap 5\.0000 USD", frame
        ), frame
    assert "0.0000 USD of about 0.0465 USD" in frames[0] or "0.0000 of 0.0465" in frames[0]
    assert "31/31" in frames[-1]
    assert "1 failed" in frames[-1]


@pytest.mark.parametrize("columns", [80, 60])
def test_a_long_error_wraps_at_words_and_its_paths_stay_whole(machine, columns):
    own = machine.home / "labels_failures.parquet"
    own.write_bytes(b"a user's own")
    status, lines = on_terminal(machine, columns, "run", "images/", "--engine", "scripted")
    assert status == 3
    assert any(f"{own}:" in line for line in lines)
    words = {"would be replaced", "another --output, or move it away"}
    assert all(any(some in line for line in lines) for some in words)
    assert all(len(line) <= columns or str(own) in line for line in lines), lines
