"""`ocrlabel push` as a process: what it prints, how it is stopped, and how it goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.s3 import Fault, Proxy, flaky_proxy, make_bucket, raw_keys

COMMAND = (sys.executable, "-m", "ocrlabel", "push")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def bucket(moto_url: str, request: pytest.FixtureRequest) -> str:
    name = "c" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    make_bucket(moto_url, name)
    return name


@pytest.fixture
def proxy(moto_url: str) -> Iterator[Proxy]:
    with flaky_proxy(moto_url) as proxy:
        yield proxy


@pytest.fixture
def start(proxy: Proxy, tmp_path: Path) -> Start:
    environment = {
        **os.environ,  # noqa: TID251 -- the tests' own shell
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "TMPDIR": str(tmp_path / "scratch"),
    }
    (tmp_path / "scratch").mkdir()
    return lambda *args: subprocess.Popen(
        [*COMMAND, *args],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "영수증"
    folder.mkdir()
    for number in range(8):
        Image.new("L", (30 + number, 20), number).save(folder / f"{number} 번.png")
    (folder / "broken.png").write_bytes(b"<html></html>")
    return folder


def test_the_last_words_say_what_was_done_and_what_comes_next(start, bucket, images):
    out, err = (process := start("영수증", f"s3://{bucket}/")).communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0] == "rows          9"
    assert lines[1].startswith("images        8 uploaded (0.0 MB), 0 there before, 0 identical")
    assert "unreadable    1, kept as rows that will fail in a run" in lines
    assert any("row 9: broken.png: it is a web page" in line for line in lines)
    assert f"table         s3://{bucket}/data/processed/영수증.parquet (written)" in lines
    assert lines[-2] == f"next          ocrlabel run s3://{bucket}/data/processed/영수증.parquet"
    assert lines[-1].strip() == "or by AWS Batch: ocrlabel aws submit 영수증"
    assert "uploading 8 of 8" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_says_so_and_the_same_command_goes_on(
    start, bucket, images, proxy, moto_url, tmp_path, number
):
    # three images arrive, and then the bucket does not answer
    proxy.faults += [Fault("PUT", cut_at=1 << 20)] * 3 + [Fault("PUT", delay_s=30.0)]
    process = start("영수증", f"s3://{bucket}/t.parquet", "--concurrency", "1")
    _wait_until(lambda: proxy.seen.count("PUT") == 4)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 75
    assert "Interrupted: stopped by a signal; run the same command again to go on" in err
    assert "Traceback" not in err
    assert not list((tmp_path / "scratch").iterdir())
    keys = raw_keys(moto_url, bucket)
    assert "t.parquet" not in keys
    out, _ = start("영수증", f"s3://{bucket}/t.parquet").communicate(timeout=60)
    assert f"images        {8 - len(keys)} uploaded" in out
    assert f"{len(keys)} there before" in out
    assert len(raw_keys(moto_url, bucket)) == 9


def test_a_bucket_that_is_not_there_is_said_before_any_image_is_read(start, images):
    out, err = (process := start("영수증", "s3://no-such-bucket/")).communicate(timeout=60)
    assert process.returncode == 2
    assert "there is no such bucket" in err
    assert "reading" not in err
    assert out == ""


def _wait_until(true: Callable[[], bool], timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)  # noqa: TID251 -- the tests' own clock
