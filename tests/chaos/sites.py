"""Where a schedule is played: a folder, a small disk of its own, or a bucket behind a proxy."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.chaos.schedule import StoreTrouble
from tests.support.fleet import COMMAND, RUNNER, Fleet, Worker, fleet
from tests.support.judge import Written, written
from tests.support.mixed import Mixed
from tests.support.process import Machine
from tests.support.s3 import Fault, Proxy, flaky_proxy

DATASET = "train"
DISK_BYTES = 6_000_000


class Site(Protocol):
    """What a schedule needs to know of a place."""

    workers: list[Worker]

    def start(self, few_handles: int | None = None, *, again: tuple[str, ...] = ()) -> Worker: ...

    def trouble(self, trouble: StoreTrouble | None) -> None:
        """Begin a trouble of the store; None: it is over."""

    def control_objects(self) -> list[str]: ...

    def write(self, key: str, data: bytes) -> None: ...

    def spoil_table(self, how: str) -> None: ...

    def written(self) -> Written: ...


def _limited(command: tuple[str, ...], few_handles: int | None) -> tuple[str, ...]:
    if few_handles is None:
        return command
    return ("sh", "-c", f'ulimit -n {few_handles}; exec "$@"', "sh", *command)


@dataclass
class FolderSite:
    """`ocrlabel run images/ --output out/labels.parquet`, with everything beside the table."""

    home: Path
    out: Path
    variables: Mapping[str, str]
    workers: list[Worker] = field(default_factory=list)

    def start(self, few_handles: int | None = None, *, again: tuple[str, ...] = ()) -> Worker:
        log = self.home / f"worker-{len(self.workers)}.log"
        labels = str(self.out / "labels.parquet")
        command = (*COMMAND, "run", "images", "--output", labels, "--batch-size", "40", *again)
        machine = Machine(self.home, {"OCRLABEL_REPORT": "false", **self.variables})
        with log.open("wb") as said:
            process = subprocess.Popen(
                _limited(command, few_handles),
                cwd=self.home,
                env=machine._environment({}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def trouble(self, trouble: StoreTrouble | None) -> None:
        ballast = self.out / "ballast"
        if trouble is None:
            ballast.unlink(missing_ok=True)
            return
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return  # full

    def control_objects(self) -> list[str]:
        root = self.out / "checkpoints"
        return [str(path.relative_to(self.out)) for path in root.rglob("*.json")]

    def write(self, key: str, data: bytes) -> None:
        path = self.out / key
        if path.parent.is_dir():
            with contextlib.suppress(OSError):  # the disk is full for others, too
                path.write_bytes(data)

    def spoil_table(self, how: str) -> None:
        path = self.out / "labels.parquet"
        path.unlink()
        if how == "emptied":
            path.touch()

    def written(self) -> Written:
        return written(self.out)


@dataclass
class BucketSite:
    """Workers of the guide's runner on one bucket, each request through the proxy."""

    fleet: Fleet
    proxy: Proxy

    @property
    def workers(self) -> list[Worker]:
        return self.fleet.workers

    def start(self, few_handles: int | None = None, *, again: tuple[str, ...] = ()) -> Worker:
        args = ("--dataset-name", DATASET, "--batch-size", "40", "--resume", *again)
        program = _limited(RUNNER, few_handles)
        return self.fleet.start(*args, program=program, AWS_ENDPOINT_URL=self.proxy.url)

    def trouble(self, trouble: StoreTrouble | None) -> None:
        self.proxy.always = None if trouble is None else _fault(trouble)

    def control_objects(self) -> list[str]:
        keys = self.fleet.keys(f"checkpoints/{DATASET}/")
        return [key for key in keys if key.endswith(".json")]

    def write(self, key: str, data: bytes) -> None:
        self.fleet.s3.put_object(Bucket=self.fleet.bucket, Key=key, Body=data)

    def spoil_table(self, how: str) -> None:
        key = f"data/processed/{DATASET}_pseudo_labels.parquet"
        if how == "emptied":
            self.write(key, b"")
        else:
            self.fleet.s3.delete_object(Bucket=self.fleet.bucket, Key=key)

    def written(self) -> Written:
        return self.fleet.written(DATASET)


def _fault(trouble: StoreTrouble) -> Fault:
    if trouble.kind == "cut":
        return Fault("*")
    if trouble.kind == "hang":
        return Fault("*", delay_s=120.0)
    status, _, code = trouble.kind.partition(" ")
    return Fault("*", int(status), code)


@contextmanager
def folder_site(
    home: Path, inputs: Mixed, variables: Mapping[str, str], *, disk: bool
) -> Iterator[FolderSite]:
    """A folder; with disk, on a file system of a few MB, which needs the right to mount one."""
    (home / "images").symlink_to(inputs.folder)
    out = home / "out"
    out.mkdir()
    if disk:
        size = f"size={DISK_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(out)], check=True)
    site = FolderSite(home, out, variables)
    try:
        yield site
    finally:
        end_all(site.workers)
        if disk:
            subprocess.run(["umount", "--lazy", str(out)], check=True)


def can_mount() -> bool:
    """Whether a disk that is full can be had here: root may, most users may not."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def bucket_site(
    home: Path, s3_url: str, inputs: Mixed, variables: Mapping[str, str]
) -> Iterator[BucketSite]:
    """A bucket of its own on a server, and a proxy before it."""
    with ExitStack() as stack:
        proxy = stack.enter_context(flaky_proxy(s3_url))
        made = stack.enter_context(fleet(home, s3_url, f"chaos-{home.name}", **variables))
        made.put_packed(DATASET, inputs.folder)
        yield BucketSite(made, proxy)


def end_all(workers: list[Worker]) -> None:
    """Nothing may outlive its schedule."""
    for worker in workers:
        if not worker.over:
            worker.process.kill()
            worker.process.wait(30)


class Ending:
    """When a worker that got a signal ended, noted by a thread that waits for it."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._began = time.monotonic()
        self.took_s: float | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        self.worker.process.wait()
        self.took_s = time.monotonic() - self._began

    def within(self, longest_s: float) -> float:
        """How long it took; longest_s + 1 or more where it took longer than it may."""
        self._thread.join(max(0.0, self._began + longest_s + 1.0 - time.monotonic()))
        return longest_s + 1.0 if self.took_s is None else self.took_s
