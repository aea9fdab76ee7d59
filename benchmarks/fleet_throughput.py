"""Real workers on one rate: how much of it they use, how often they are refused, what is billed.

    python -m benchmarks.fleet_throughput [--rps 20] [--seconds 40] [--workers 1 2 4 8]

Run from the repository's root. Processes of the guide's runner, an S3 server over HTTP (moto, in a
process of its own) and the fake service, all on this machine: its cores are the limit, not the
protocol. Figures are the service's own, from when every worker has joined to when the last
slices run out. Every table is checked: as many labels as rows, each image billed once.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import moto_process
from tests.support.fake_upstage import running
from tests.support.fleet import Fleet, fleet
from tests.support.process import until


def png(number: int) -> bytes:
    held = io.BytesIO()
    Image.new("L", (60 + number % 97, 50 + number // 97)).save(held, "png", compress_level=1)
    return held.getvalue()


def measure(s3_url: str, home: Path, workers: int, limiter: str, rps: float, seconds: float) -> str:
    count = int(rps * (seconds + 4 * workers))
    keys = f"up_one@{rps:g}/{rps * 120:g}"
    settings = FakeSettings(keys=parse_keys(keys), limiter=limiter, latency=Latency(1.0, 0.3))
    with (
        running(settings) as fake,
        fleet(
            home,
            s3_url,
            f"bench-{workers}-{limiter}",
            UPSTAGE_API_KEYS=keys,
            UPSTAGE_BASE_URL=fake.base_url,
        ) as ws,
    ):
        ws.put_rows("train", [(f"page_{n:05}", png(n)) for n in range(count)])
        args = ("--dataset-name", "train", "--rps", f"{rps:g}", "--resume")
        for _ in range(workers):
            ws.start(*args)
        until(lambda: len(heartbeats(ws)) == workers)
        joined_s = time.monotonic() + 6.0
        until(lambda: all(worker.over for worker in ws.workers), within_s=900)
        statuses = [worker.ended() for worker in ws.workers]
        for worker, status in zip(ws.workers, statuses, strict=True):
            if status:
                print(f"a worker ended with {status}:\n{worker.said[-3000:]}")
        entries = sorted(fake.entries, key=lambda entry: entry.t_s)
        last_s = entries[-1].t_s - 10.0
        window = [entry for entry in entries if joined_s <= entry.t_s < last_s]
        read = sum(entry.status == 200 for entry in window)
        refused = sum(entry.status == 429 for entry in entries) / len(entries)
        billed = sum(entry.billed for entry in entries)
        name = "data/processed/train_pseudo_labels.parquet"
        labels = pq.read_table(io.BytesIO(ws.read(name))).num_rows
        used = read / (rps * (last_s - joined_s))
        return (
            f"| {workers} | {limiter} | {used:.1%} | {refused:.2%} | {billed:,} of {count:,}"
            f" | {labels:,} | {sorted(set(statuses))} |"
        )


def heartbeats(ws: Fleet) -> set[str]:
    return {
        key.split("/workers/")[1].split("/")[0]
        for key in ws.keys("checkpoints/train/")
        if "/workers/" in key
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rps", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--limiters", nargs="+", default=["bucket", "fixed"])
    args = parser.parse_args()
    print("| workers | limiter | use of the rate | 429 | billed | labels | exit |")
    print("|---|---|---|---|---|---|---|")
    with moto_process() as url, tempfile.TemporaryDirectory() as home:
        for workers in args.workers:
            for limiter in args.limiters:
                print(
                    measure(url, Path(home), workers, limiter, args.rps, args.seconds), flush=True
                )


if __name__ == "__main__":
    main()
