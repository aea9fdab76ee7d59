"""A small runtime for whole runs: generated images, an engine that bills, and a virtual clock."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import LabelRow, read_failures, read_labels
from ocrlabel.engine import Answer, Lane
from ocrlabel.errors import ImageError, Unreadable
from ocrlabel.labels import Document, FailureClass, ImageRef, Page, Word
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Event
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.requests.image_reader import Reuse
from ocrlabel.pipeline.run import Result, run
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Owner, Runtime, Stop
from ocrlabel.pipeline.state.layout import Layout, of_dataset
from ocrlabel.storage.base import ObjectStore
from tests.support.clock import clock, sleep

LAYOUT = of_dataset("train")


@dataclass
class MadeImages:
    """A dataset in memory: by row the bytes, or why there are none."""

    contents: Sequence[bytes | ImageError]

    @property
    def rows(self) -> int:
        return len(self.contents)

    @property
    def fingerprint(self) -> str:
        told = "|".join(str(one) for one in self.contents)
        return hashlib.sha256(told.encode()).hexdigest()

    def describe(self) -> str:
        return f"{self.rows} made images"

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        return [
            ImageRef(n, f"id{n:04d}", f"images/{n:04d}.png")
            for n in range(start, min(stop, self.rows))
        ]

    async def read(self, ref: ImageRef) -> bytes:
        content = self.contents[ref.ordinal]
        if isinstance(content, ImageError):
            raise content
        return content

    def looked(self, ref: ImageRef) -> list[str]:
        return [f"nowhere/{ref.path}"]


def made(
    rows: int, *, same: Mapping[int, int] | None = None, absent: Sequence[int] = ()
) -> MadeImages:
    """Distinct images, but for rows that are the same as others, and rows without an image."""
    contents: list[bytes | ImageError] = [f"image {n}".encode() for n in range(rows)]
    for row, other in (same or {}).items():
        contents[row] = contents[other]
    for row in absent:
        contents[row] = Unreadable("no such file", failure=FailureClass.NOT_FOUND)
    return MadeImages(contents)


Trouble = Callable[[str, int], Exception | None]
"""(image text, attempt number from 1) -> what goes wrong with this request, None for nothing."""


@dataclass
class BillingEngine:
    """An engine with a price that remembers what it was asked: the oracle of every run test."""

    price_per_page_usd: float = 0.0015
    latency_s: float = 2.0
    trouble: Trouble = lambda image, attempt: None
    lanes: tuple[Lane, ...] = (Lane("key", 1000.0, None),)
    parallel: int | None = None
    name: str = "billing"
    version: str = "billing-1"
    options: Mapping[str, str] = field(default_factory=dict)
    max_pages: int = 100
    request_timeout_s: float = 30.0
    asked: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)

    async def start(self) -> None: ...

    async def prepare(self, data: bytes) -> Document:
        return Document(data, "png", 1, ((100, 50),))

    async def recognise(self, document: Document, lane: str) -> Answer:
        image = document.data.decode()
        self.asked[image] += 1
        await sleep(self.latency_s)
        if (error := self.trouble(image, self.asked[image])) is not None:
            raise error
        self.billed[image] += 1
        return self.parse(document.data, document)

    def parse(self, raw: bytes, document: Document) -> Answer:
        word = Word(raw.decode(), ((0, 0), (10, 0), (10, 5), (0, 5)), 0.9)
        return Answer((Page(1, 100, 50, (word,), 0.9),), self.version, 1, raw, 200)

    async def close(self) -> None: ...


@dataclass
class Told:
    """What a run told while it went."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def runtime(
    store: ObjectStore, worker: str = "w1", told: Told | None = None, host: str = "here"
) -> Runtime:
    """A worker's runtime. On the host "here" every other process counts as dead."""
    rng = random.Random(worker)
    return Runtime(
        store=store,
        clock=clock,
        wall=lambda: 1_700_000_000.0 + clock(),
        sleep=sleep,
        uniform=rng.uniform,
        token=lambda: f"{rng.getrandbits(128):032x}",
        me=Owner(worker, host=host, pid=int(worker[1:]), started="x"),
        alive=lambda pid, started: False,
        emit=told or Told(),
    )


def run_of(runtime: Runtime, run_id: str = "r", price_usd: float = 0.0, **options: Any) -> Run:
    """A run of which nothing but its id matters."""
    plan = Plan(run_id, LAYOUT.dataset, "made images", "f", 100, "billing")
    return Run(runtime, LAYOUT, plan, Options(**options), price_usd)


async def go(
    store: ObjectStore,
    dataset: MadeImages,
    engine: BillingEngine,
    options: Options | None = None,
    *,
    worker: str = "w1",
    host: str = "here",
    layout: Layout = LAYOUT,
    told: Told | None = None,
    stop: Stop | None = None,
    reuse: Reuse | None = None,
    in_runtime: Runtime | None = None,
) -> Result:
    """One invocation of a run, by one worker; in_runtime: with a runtime made for it."""
    with tempfile.TemporaryDirectory() as scratch:
        return await run(
            in_runtime or runtime(store, worker, told, host),
            layout,
            dataset,
            engine,
            options or Options(batch_size=10),
            stop=stop or Stop(clock),
            scratch=Path(scratch),
            reuse=reuse,
        )


async def labels(store: ObjectStore, key: str = LAYOUT.labels_key) -> list[LabelRow]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.parquet"
        await store.download(key, path)
        return list(read_labels(path))


async def failures(store: ObjectStore, key: str = LAYOUT.failures_key) -> list[tuple[int, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "failures.parquet"
        await store.download(key, path)
        return [(row.ordinal, row.failure_class) for row in read_failures(path)]


def timeless(rows: Sequence[LabelRow]) -> list[LabelRow]:
    """Rows without what differs between a cut and an uncut run: times and attempts."""
    return [replace(row, attempts=0, latency_s=0.0, labelled_at=None) for row in rows]
