"""What a run in a bucket costs besides its pages: S3 requests, memory, time to resume and to merge.

    python -m benchmarks.scale [--paid 500] [--rows 100000] [--batch 500] [--tasks N]
    python -m benchmarks.scale --paid 0 --rows 1000000 --tasks 64 --seaweed   (make million)

Run from the repository's root. paid: one worker of the guide's runner at 20 requests/s against the
fake service. rows: a packed table read by the scripted engine, which costs nothing; the worker is
killed half way and goes on. tasks: rows that it reads at once; what they answer meanwhile shares a
put to the journal. folder: the state in a folder, by `ocrlabel run`. Requests are counted by the
S3 server, whose speed bounds the figures of time: moto, which walks through all keys for every
list, so that a million rows take it hours, or SeaweedFS. Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import signal
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.counting_s3 import Counting, counting_moto, counting_seaweed
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.fake_upstage import running
from tests.support.fleet import COMMAND, RUNNER, Fleet, Worker, fleet
from tests.support.process import pause, until
from tests.support.seaweed import WEED

USD_PER_1000 = {"PUT": 0.005, "POST": 0.005, "LIST": 0.005, "GET": 0.0004, "HEAD": 0.0004}
"""us-east-1, S3 Standard; deletes (POST ?delete) are free and counted as if they were not."""


def png(number: int) -> bytes:
    """The smallest grey image there is, with a number in it: nothing looks at its pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(name + body)
        return len(body).to_bytes(4) + name + body + check.to_bytes(4)

    header = (8).to_bytes(4) + (8).to_bytes(4) + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress((b"\0" + number.to_bytes(8)) * 8)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def put_rows(ws: Fleet, dataset: str, count: int) -> None:
    held = io.BytesIO()
    write_rows(held, count)
    key = f"data/processed/{dataset}.parquet"
    ws.s3.put_object(Bucket=ws.bucket, Key=key, Body=held.getvalue())


def write_rows(to: io.BytesIO | Path, count: int) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("id", pa.string()), ("image", kind)])
    with pq.ParquetWriter(to, schema) as writer:
        for start in range(0, count, 500):
            numbers = range(start, min(count, start + 500))
            images = [{"bytes": png(n), "path": f"{n}.png"} for n in numbers]
            writer.write_table(pa.table([[f"page_{n:08}" for n in numbers], images], schema=schema))


def told(name: str, seen: Mapping[str, int], images: int) -> None:
    usd = sum(USD_PER_1000.get(kind, 0.0) * count / 1000 for kind, count in seen.items())
    listed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(seen.items()))
    print(
        f"{name}: {sum(seen.values()) / images:.3f} requests an image ({listed}),"
        f" {usd / images * 1e6:.2f} USD per million images",
        flush=True,
    )


def require(true: bool, otherwise: str) -> None:
    if not true:
        raise SystemExit(otherwise)


def paid(server: Counting, home: Path, images: int) -> None:
    keys = "up_one@20/6000"
    with (
        running(FakeSettings(keys=parse_keys(keys), latency=Latency(1.0, 0.3))) as fake,
        fleet(
            home,
            server.url,
            "paid",
            UPSTAGE_API_KEYS=keys,
            UPSTAGE_BASE_URL=fake.base_url,
        ) as ws,
    ):
        put_rows(ws, "train", images)
        server.requests()
        status, said = ws.run("--dataset-name", "train")
        require(status == 0, said)
        told(f"paid, {images:,} images at 20/s, one worker", server.requests(), images)


class Memory:
    """Resident memory of a process: (Unix s, MB) twice a second."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    def sample(self, worker: Worker) -> None:
        """Take one."""
        try:
            status = Path(f"/proc/{worker.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmRSS"):
                self.samples.append((time.time(), int(line.split()[1]) / 1024))

    def most_mb(self, since_s: float, to_s: float) -> float:
        """Between two moments."""
        return max((mb for at_s, mb in self.samples if since_s <= at_s <= to_s), default=0.0)

    def told(self, started_s: float, merging_s: float) -> str:
        """In the first and the last fifth of the work, and after it."""
        fifth_s = (merging_s - started_s) / 5
        early = self.most_mb(started_s, started_s + fifth_s)
        late = self.most_mb(merging_s - fifth_s, merging_s)
        merging = self.most_mb(merging_s, math.inf)
        return f"memory {early:.0f} MB early, {late:.0f} MB late, {merging:.0f} MB merging"


def watched(worker: Worker, memory: Memory) -> None:
    while not worker.over:
        memory.sample(worker)
        pause(0.5)


def events(worker: Worker) -> list[dict]:
    return [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]


def free(server: Counting, home: Path, rows: int, batch: int, tasks: int, folder: bool) -> None:
    variables = {"OCRLABEL_ENGINE": "scripted", "OCRLABEL_LOG": "json"}
    if tasks:
        variables["OCRLABEL_CONCURRENCY"] = str(tasks)
    with fleet(home, server.url, "free", **variables) as ws:
        size = ("--batch-size", str(batch))
        if folder:
            write_rows(home / "big.parquet", rows)
            args = ("run", "big.parquet", "--output", "labels.parquet", "--no-report", *size)
            killed_and_resumed(ws, server, rows, batch, args, COMMAND)
        else:
            put_rows(ws, "big", rows)
            args = ("--dataset-name", "big", *size, "--resume")
            killed_and_resumed(ws, server, rows, batch, args, RUNNER)


def killed_and_resumed(
    ws: Fleet,
    server: Counting,
    rows: int,
    batch: int,
    args: tuple[str, ...],
    program: tuple[str, ...],
) -> None:
    seen: Counter[str] = Counter()
    server.requests()
    memory, half = Memory(), rows // batch // 2
    first = ws.start(*args, program=program)
    began_s = time.time()
    until(lambda: first.said.count('"batch_saved"') >= half or first.over, within_s=36_000)
    first.signal(signal.SIGKILL)
    first.ended()
    half_s = time.time() - began_s
    seen += server.requests()
    began_s = time.time()
    second = ws.start(*args, program=program)
    watched(second, memory)
    require(second.ended() == 0, second.said[-2000:])
    over_s = time.time()
    seen += server.requests()
    told(f"free, {rows:,} packed rows in batches of {batch}", seen, rows)
    log = events(second)
    started_s = next(line["time"] for line in log if line["event"] == "started")
    last_s = max(line["time"] for line in log if line["event"] == "batch_saved")
    settled = rows - half * batch
    print(
        f"  {half * batch / half_s:.0f} rows/s before the kill,"
        f" {settled / (last_s - started_s):.0f} rows/s after it;"
        f" {memory.told(started_s, last_s)}\n"
        f"  resumed in {started_s - began_s:.1f} s with {half:,} checkpoints there;"
        f" merged in {over_s - last_s:.1f} s",
        flush=True,
    )
    began_s = time.time()
    status, said = ws.run(*args, program=program)
    require(status == 0, said)
    told("  once more, nothing left to do", server.requests(), rows)
    print(f"  which took {time.time() - began_s:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paid", type=int, default=500)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=0, help="default: what the engine takes")
    parser.add_argument("--folder", action="store_true", help="the state in a folder, not in S3")
    parser.add_argument("--seaweed", action="store_true", help="SeaweedFS instead of moto")
    args = parser.parse_args()
    require(not args.seaweed or bool(WEED), "no SeaweedFS here: its wheel is for x86-64 alone")
    counting = counting_seaweed if args.seaweed else counting_moto
    with tempfile.TemporaryDirectory() as home, counting() as server:
        if args.paid:
            paid(server, Path(home), args.paid)
        if args.rows:
            free(server, Path(home), args.rows, args.batch, args.tasks, args.folder)


if __name__ == "__main__":
    main()
