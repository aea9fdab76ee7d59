"""A folder that grows by one image, again and again: requests, seconds and bytes of every step.

    python -m benchmarks.growth                      # 10,000 images, a hundred steps
    python -m benchmarks.growth --rows 500 --steps 5

Every step is `--grow` with a paid engine that answers at once (2 kB a raw answer), in a folder on
this machine's disk. Counts what the store is asked for and how many bytes pass either way: the
listing and hashing of the images themselves is in the seconds, not in the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ocrlabel.cli.wiring import make_runtime
from ocrlabel.dataset.sources import open_dataset
from ocrlabel.engine import Answer, Lane
from ocrlabel.labels import Document
from ocrlabel.options import Options
from ocrlabel.pipeline.run import Result, run
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.layout import beside
from ocrlabel.storage.base import ObjectStore, Stored
from ocrlabel.storage.folder import FolderStore
from tests.support.runs import BillingEngine

_RAW_BYTES = 2_000


class Answers(BillingEngine):
    """Bills and answers at once, with a raw answer of the usual size."""

    def parse(self, raw: bytes, document: Document) -> Answer:
        """As the engine's, with a longer raw answer."""
        answer = super().parse(raw, document)
        return Answer(answer.pages, answer.model_version, 1, raw.ljust(_RAW_BYTES), 200)


@dataclass
class Counting:
    """A store that counts its calls by kind, and the bytes that they carry."""

    store: ObjectStore
    calls: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """See ObjectStore."""
        return self.store.url

    async def get(self, key: str) -> bytes:
        """See ObjectStore."""
        data = await self.store.get(key)
        self._count("get", "read", len(data))
        return data

    async def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        self._count("put", "written", len(data))
        await self.store.put(key, data)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        self._count("put", "written", len(data))
        return await self.store.put_if_absent(key, data)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See ObjectStore."""
        self._count("list", "read", 0)
        async for stored in self.store.list(prefix):
            yield stored

    async def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore."""
        self._count("delete", "written", 0)
        await self.store.delete(keys)

    async def upload(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        self._count("put", "written", os.path.getsize(path))  # noqa: ASYNC240, PTH202 -- at once
        await self.store.upload(key, path)

    async def download(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        await self.store.download(key, path)
        self._count("get", "read", os.path.getsize(path))  # noqa: ASYNC240, PTH202 -- at once

    def open(self, key: str) -> BinaryIO:
        """See ObjectStore."""
        self._count("open", "read", 0)
        return self.store.open(key)

    def _count(self, kind: str, way: str, size_bytes: int) -> None:
        self.calls[kind] += 1
        self.moved[way] += size_bytes


async def one_step(images: Path, store: Counting, engine: Answers, options: Options) -> Result:
    """A start over the folder as it is now."""
    dataset = await open_dataset(images, cwd=images.parent)
    runtime = make_runtime(store, lambda _: None)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return await run(
                runtime,
                beside("labels.parquet"),
                dataset,
                engine,
                options,
                stop=Stop(runtime.clock),
                scratch=Path(scratch),
            )
        finally:
            dataset.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        images, out = Path(home) / "images", Path(home) / "out"
        images.mkdir()
        out.mkdir()
        for number in range(given.rows):
            (images / f"{number:07d}.png").write_bytes(b"image %d" % number)
        engine = Answers(latency_s=0.0, lanes=(Lane("key", 100_000.0, None),))
        for step in range(given.steps + 1):
            if step:
                number = given.rows + step - 1
                (images / f"{number:07d}.png").write_bytes(b"image %d" % number)
            store, before = Counting(FolderStore(out)), engine.asked.total()
            began_s = time.perf_counter()
            ended = asyncio.run(one_step(images, store, engine, Options(grow=step > 0)))
            took_s = time.perf_counter() - began_s
            kept = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            calls = ", ".join(f"{n:,} {kind}" for kind, n in sorted(store.calls.items()))
            print(
                f"step {step}: {ended.record.rows:,} rows, {engine.asked.total() - before:,} asked,"
                f" {took_s:.1f} s, {calls}, {store.moved['written'] / 1e6:.1f} MB written,"
                f" {store.moved['read'] / 1e6:.1f} MB read, {kept / 1e6:.1f} MB kept",
                flush=True,
            )


if __name__ == "__main__":
    main()
