"""What `ocrlabel push` costs: objects/s, requests an image, memory; as objects, again, and packed.

    python -m benchmarks.push_scale [images, 2000] [bytes of each, 10000]

Run from the repository's root. The S3 server is moto in a process of its own, which is what limits
the rate here: it is asked for the requests that it saw. Memory is the peak of the pushing process
above its start. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.counting_s3 import counting_moto

WORK = """
import asyncio, resource, sys, tempfile, time
from pathlib import Path
from ocrlabel.dataset.push.push import PushOptions, push
from ocrlabel.dataset.push.table import NoOthers
from ocrlabel.dataset.push.upload import target_of
from ocrlabel.dataset.sources import open_dataset
from ocrlabel.storage.refusals import Credentials
from ocrlabel.storage.opening import open_store
import pyarrow.parquet

folder, url, packed = sys.argv[1], sys.argv[2], sys.argv[3] == "packed"

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main():
    keys = Credentials("a", "b")
    store = open_store("s3://bench", endpoint_url=url, region="us-east-1", credentials=keys)
    at_start_mb, began_s = peak_mb(), time.perf_counter()
    dataset = await open_dataset(folder, cwd=Path.cwd())
    options = PushOptions(embedded=packed)
    target = target_of("s3://bench/", folder, dataset_name="packed" if packed else "objects")
    with tempfile.TemporaryDirectory() as scratch:
        done = await push(dataset, NoOthers(), store, target, options,
                          scratch=Path(scratch), on_step=lambda step: None)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time()
    print(f"{done.rows / took_s:.0f} images/s ({took_s:.1f} s, {cpu_s:.1f} s of CPU), "
          f"{done.uploaded:,} sent, {done.there:,} there before, table {done.table}, "
          f"peak {peak_mb():.0f} MB, {peak_mb() - at_start_mb:.0f} MB above the start")
    if packed:
        with store.open(target.table_key) as file:
            metadata = pyarrow.parquet.ParquetFile(file).metadata
        print(f"        {metadata.num_row_groups:,} row groups, a foot of "
              f"{metadata.serialized_size / 1000:.0f} kB")

asyncio.run(main())
"""


def make_images(folder: Path, count: int, size_bytes: int) -> None:
    """Files that begin like a PNG and differ: nothing here looks further."""
    filler = os.urandom(size_bytes)
    for number in range(count):
        at = folder / f"{number % 100:02}" / f"{number:07}.png"
        at.parent.mkdir(exist_ok=True)
        at.write_bytes(b"\x89PNG\r\n\x1a\n" + number.to_bytes(8) + filler[: size_bytes - 16])


def make_bucket(url: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 -- the server here asks for none
    )
    client.create_bucket(Bucket="bench")


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    count, size_bytes = (given + [2_000, 10_000][len(given) :])[:2]
    with tempfile.TemporaryDirectory() as folder, counting_moto() as server:
        began_s = time.perf_counter()
        make_images(Path(folder), count, size_bytes)
        print(f"{count:,} images of {size_bytes / 1000:.0f} kB made in ", end="")
        print(f"{time.perf_counter() - began_s:.0f} s")
        make_bucket(server.url)
        server.requests()
        for name, kind in (("objects", "objects"), ("again", "objects"), ("packed", "packed")):
            told = subprocess.run(
                [sys.executable, "-c", WORK, folder, server.url, kind],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            print(f"{name:<8}{told}", end="")
            seen = server.requests()
            each = sum(seen.values()) / count
            shown = ", ".join(f"{what} {number:,}" for what, number in sorted(seen.items()))
            print(f"        {each:.4f} requests an image ({shown})")


if __name__ == "__main__":
    main()
