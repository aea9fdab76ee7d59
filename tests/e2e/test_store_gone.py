"""A store that cannot be written any more: the run ends in time, and no answer is paid for twice."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.fake_upstage import running
from tests.support.judge import times_billed
from tests.support.mixed import mixed
from tests.support.process import Machine, pause, quiet, until
from tests.support.s3 import Fault, flaky_proxy, make_bucket, moto_server

GRACE_S = 3.0
GONE_S = 10.0
KEYS = "up_one@12"


@pytest.fixture
def inputs(tmp_path):
    return mixed(tmp_path / "images", images=60, pdfs=0, tiffs=0, copies=0, broken=0)


@contextlib.contextmanager
def service(tmp_path: Path, **variables: str) -> Iterator[tuple]:
    """The fake service, and a machine whose state folder is in the test's own."""
    with running(FakeSettings(keys=parse_keys(KEYS), latency=Latency(0.6, 0.2))) as fake:
        known = {
            "UPSTAGE_API_KEYS": KEYS,
            "UPSTAGE_BASE_URL": fake.base_url,
            "OCRLABEL_GRACE_S": str(GRACE_S),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        yield fake, Machine(tmp_path, known | variables)


def judge(machine, fake, command, breaks: Callable[[int], None], mended: Callable[[], None]) -> str:
    """Break the store of a run, stop it, mend the store, go on; the run's last words."""
    with quiet(machine, *command) as process:
        until(lambda: fake.stats()["requests"] >= 12)
        breaks(process.pid)
        pause(2.5)
        process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        status = process.wait(GRACE_S + 60.0)
        took_s = time.monotonic() - began_s
    said = (machine.home / "err.txt").read_text()
    assert status == 75, said
    assert took_s <= GRACE_S + GONE_S, said
    assert "Traceback" not in said
    mended()
    again = machine.run(*command)
    assert again.status == 0, again.err
    assert set(times_billed(fake.entries).values()) == {1}
    return said


def rescued(said: str) -> Path:
    """The file that the last words name; it was there, and is gone now."""
    (word,) = [word for word in said.split() if word.endswith(".rescue")]
    path = Path(word)
    assert path.parent.is_dir()
    assert not path.exists()
    return path


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", 503, "SlowDown"),
        Fault("PUT", 403, "ExpiredToken"),
        Fault("PUT", delay_s=3600.0),
    ],
    ids=["503", "expired", "hangs"],
)
def test_a_bucket_that_takes_nothing_more(tmp_path, inputs, fault):
    with moto_server() as s3_url, flaky_proxy(s3_url) as proxy:
        bucket = f"gone-{secrets.token_hex(8)}"  # moto's buckets are those of its whole process
        make_bucket(s3_url, bucket)
        aws = {
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }
        with service(tmp_path, **aws) as (fake, machine):
            command = ("run", "images", "--output", f"s3://{bucket}/labels.parquet")

            def breaks(pid: int) -> None:
                proxy.always = fault

            def mended() -> None:
                proxy.always = None

            path = rescued(judge(machine, fake, command, breaks, mended))
            assert path.parent == tmp_path / "state" / "ocrlabel"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be made by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tmp_path, inputs, small_disk):
    filler = small_disk / "filler"
    with service(tmp_path) as (fake, machine):
        command = ("run", "images", "--output", str(small_disk / "labels.parquet"))

        def breaks(pid: int) -> None:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(b"x" * 4096):
                    pass

        path = rescued(judge(machine, fake, command, breaks, filler.unlink))
        assert path.parent == tmp_path / "state" / "ocrlabel"


def test_no_file_handles_left(tmp_path, inputs):
    with service(tmp_path) as (fake, machine):

        def breaks(pid: int) -> None:
            limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit[1]))

        command = ("run", "images", "--max-failures", "50%")
        path = rescued(judge(machine, fake, command, breaks, lambda: None))
        assert path.parent == tmp_path


def test_a_folder_in_which_a_read_never_returns(tmp_path, inputs):
    pipes: list[Path] = []
    with service(tmp_path) as (fake, machine):

        def breaks(pid: int) -> None:
            (run,) = [one.parent for one in tmp_path.glob("checkpoints/labels/*/workers")]
            for number in range(12):  # more than there are threads
                pipe = run / "workers" / f"dead{number}" / "000001.json"
                pipe.parent.mkdir()
                os.mkfifo(pipe)
                pipes.append(pipe)

        def mended() -> None:
            for pipe in pipes:
                pipe.unlink()
                pipe.parent.rmdir()

        said = judge(machine, fake, ("run", "images"), breaks, mended)
        assert "stopped by SIGTERM" in said


def test_a_start_that_hangs_is_gone_with_the_first_signal(tmp_path, inputs):
    with service(tmp_path, OCRLABEL_GRACE_S="60") as (_, machine):
        pipe = tmp_path / "checkpoints" / "labels" / "plan.json"
        pipe.parent.mkdir(parents=True)
        os.mkfifo(pipe)
        with quiet(machine, "run", "images") as process:
            until(lambda: "engine upstage" in (tmp_path / "err.txt").read_text())
            pause(0.5)
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 75
            assert time.monotonic() - began_s < GONE_S
