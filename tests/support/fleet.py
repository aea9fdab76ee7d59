"""Workers as real processes on one bucket: started, stopped, killed; on this host or on others.

Another host is another namespace of process ids: what runs there cannot be told dead from here.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.aws import client
from tests.support.judge import Written, written
from tests.support.process import until

ROOT = Path(__file__).parents[2]
RUNNER = (sys.executable, "-m", "runners.batch_pseudo_labels_aws")
COMMAND = (sys.executable, "-m", "ocrlabel")
_PLAIN = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
_AS_A_USER = ("unshare", "--user", "--map-root-user", *_PLAIN[1:])


@cache
def elsewhere() -> tuple[str, ...]:
    """What starts a program on "another host"; () where this machine has no such means."""
    for means in (_PLAIN, _AS_A_USER):
        if (
            shutil.which(means[0])
            and not subprocess.run([*means, "true"], capture_output=True, check=False).returncode
        ):
            return means
    return ()


@dataclass
class Worker:
    """One process. pid: of the worker itself, wherever it runs."""

    process: subprocess.Popen[bytes]
    log: Path
    away: bool = False

    @property
    def pid(self) -> int:
        if not self.away:
            return self.process.pid
        until(lambda: self._children() or self.process.poll() is not None)
        return int((self._children() or [str(self.process.pid)])[0])

    def _children(self) -> list[str]:
        own = self.process.pid
        try:
            return Path(f"/proc/{own}/task/{own}/children").read_text().split()
        except OSError:
            return []

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless the worker has ended."""
        if not self.over:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def ended(self, *, within_s: float = 120.0) -> int:
        """Its exit status."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over within {within_s:g} s\n{self.said}") from None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Fleet:
    """A bucket of its own, and the workers started on it."""

    home: Path
    s3_url: str
    bucket: str
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s3.create_bucket(Bucket=self.bucket)

    @property
    def s3(self) -> Any:
        return client("s3", self.s3_url)

    def put_packed(self, dataset: str, folder: Path) -> None:
        """The files of a folder as rows of a table that holds their bytes, by name."""
        paths = sorted(folder.iterdir())
        self.put_rows(dataset, [(path.name, path.read_bytes()) for path in paths])

    def put_rows(self, dataset: str, rows: list[tuple[str, bytes]]) -> None:
        """As `ocrlabel push --pack` and Hugging Face write it."""
        table = pa.table(
            {
                "id": [name for name, _ in rows],
                "image": [{"bytes": data, "path": name} for name, data in rows],
            }
        )
        held = io.BytesIO()
        pq.write_table(table, held, row_group_size=50)
        key = f"data/processed/{dataset}.parquet"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=held.getvalue())

    def start(
        self, *args: str, program: tuple[str, ...] = RUNNER, away: bool = False, **variables: str
    ) -> Worker:
        """Start a worker, here or on another host."""
        log = self.home / f"worker-{len(self.workers)}.log"
        means = elsewhere() if away else ()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*means, *program, *args],
                cwd=self.home,
                env=self._environment(variables),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(process, log, away=bool(means))
        self.workers.append(worker)
        return worker

    def run(self, *args: str, **given: Any) -> tuple[int, str]:
        """Run a worker to its end: its exit status and all that it said."""
        worker = self.start(*args, **given)
        return worker.ended(), worker.said

    def ocrlabel(self, *args: str, **variables: str) -> tuple[int, str]:
        """Run the `ocrlabel` command to its end."""
        return self.run(*args, program=COMMAND, **variables)

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251 -- the tests' own shell
        plain = {
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),  # runners/ is no part of the package
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_BUCKET": self.bucket,
            "OCRLABEL_REPORT": "false",
            "OCRLABEL_PROCESSES": "1",
        }
        return inherited | plain | dict(self.variables) | variables

    def keys(self, prefix: str = "") -> list[str]:
        """What is in the bucket, seen without the code under test."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def told(self, dataset: str) -> dict[str, Any]:
        """run.json."""
        return dict(json.loads(self.read(f"data/processed/{dataset}_run.json")))

    def written(self, dataset: str) -> Written:
        """Both tables and run.json."""
        for end, name in (
            ("_pseudo_labels.parquet", f"{dataset}.parquet"),
            ("_failures.parquet", f"{dataset}_failures.parquet"),
            ("_run.json", f"{dataset}_run.json"),
        ):
            (self.home / name).write_bytes(self.read(f"data/processed/{dataset}{end}"))
        return written(self.home, dataset)

    def end_all(self) -> None:
        """Nothing may outlive its test."""
        for worker in self.workers:
            if not worker.over:
                worker.signal(signal.SIGKILL)
                worker.process.kill()
                worker.process.wait(30)


@contextmanager
def fleet(home: Path, s3_url: str, bucket: str, **variables: str) -> Iterator[Fleet]:
    """A fleet whose processes are all gone in the end."""
    made = Fleet(home, s3_url, bucket, variables)
    try:
        yield made
    finally:
        made.end_all()


def now_s() -> float:
    """The clock of the fake's log."""
    return time.monotonic()
