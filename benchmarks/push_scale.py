"""What `ocrlabel push` costs: objects/s, requests an image, memory; as objects, again, and packed.

    python benchmarks/push_scale.py [images, 2000] [bytes of each, 10000]

The S3 server is moto in a process of its own, which is what limits the rate here: it is asked for
the requests that it saw. Memory is the peak of the pushing process above its start. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SERVE = """
import collections, json, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

seen, lock = collections.Counter(), threading.Lock()
moto = DomainDispatcherApplication(create_backend_app)

class Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log(self, *args): pass

def counted(environ, start_response):
    query = environ.get("QUERY_STRING", "")
    what = "LIST" if "list-type" in query else environ["REQUEST_METHOD"]
    with lock:
        seen[what] += 1
    return moto(environ, start_response)

server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Silent)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
for _ in sys.stdin:
    with lock:
        print(json.dumps(seen), flush=True)
        seen.clear()
"""

WORK = """
import asyncio, resource, sys, tempfile, time
from pathlib import Path
from ocrlabel.dataset.push import PushOptions, push
from ocrlabel.dataset.push_columns import NoOthers
from ocrlabel.dataset.push_target import target_of
from ocrlabel.dataset.sources import open_dataset
from ocrlabel.storage.credentials import Credentials
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
    options = PushOptions(packed=packed)
    target = target_of("s3://bench/", folder, dataset_name="packed" if packed else "objects")
    with tempfile.TemporaryDirectory() as scratch:
        done = await push(dataset, NoOthers(), store, target, options,
                          scratch=Path(scratch), tell=lambda step: None)
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
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server,
    ):
        url = server.stdout.readline().strip()
        began_s = time.perf_counter()
        make_images(Path(folder), count, size_bytes)
        print(f"{count:,} images of {size_bytes / 1000:.0f} kB made in ", end="")
        print(f"{time.perf_counter() - began_s:.0f} s")
        make_bucket(url)
        requests(server)
        for name, kind in (("objects", "objects"), ("again", "objects"), ("packed", "packed")):
            told = subprocess.run(
                [sys.executable, "-c", WORK, folder, url, kind],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            print(f"{name:<8}{told}", end="")
            seen = requests(server)
            each = sum(seen.values()) / count
            shown = ", ".join(f"{what} {number:,}" for what, number in sorted(seen.items()))
            print(f"        {each:.4f} requests an image ({shown})")
        server.stdin.close()
        server.terminate()


def requests(server: subprocess.Popen[str]) -> Counter[str]:
    """What the server saw since it was asked last."""
    server.stdin.write("\n")
    server.stdin.flush()
    return Counter(json.loads(server.stdout.readline()))


main()
