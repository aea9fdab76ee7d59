"""Images as objects: listed once, sent where they are missing, listed again, read back."""

from __future__ import annotations

import asyncio
import hashlib
import re
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from ocrlabel.dataset.listing import IMAGE_ENDINGS, is_wild
from ocrlabel.dataset.sources import Dataset
from ocrlabel.errors import ConfigError, DatasetError, StoreUnavailable, Unreadable
from ocrlabel.images.identify import identify
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import NotStored, ObjectStore, Stored, checked

_KEYS_PER_STEP = 1000
REASONS_KEPT = 20
ROWS_AT_ONCE = 1024
TABLE_FOLDER = "data/processed"
IMAGE_PREFIX = "data/images"
FORMATS = ("jpeg", "png", "bmp", "tiff", "pdf", "heic", "avif", "webp", "gif")
_ENDINGS = {"jpeg": "jpg", "tiff": "tif"}
_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_NO_NAME = re.compile(r"[^\w.-]+")
T = TypeVar("T")


async def same_image(dataset: Dataset, survey: Survey, ref: ImageRef) -> bytes:
    """The image's bytes, as they were in the survey. Raises DatasetError when they are not."""
    try:
        data = await dataset.read(ref)
    except Unreadable as error:
        raise _changed(ref, error.message) from error
    if hashlib.sha256(data).digest() != survey.sha256(ref.ordinal):
        raise _changed(ref, "its bytes are others")
    return data


def _changed(ref: ImageRef, why: str) -> DatasetError:
    return DatasetError(
        f"{ref.path or ref.id} was changed while it was pushed ({why}); no table was written; "
        "run the same command again"
    )


@dataclass(slots=True)
class Stock:
    """The images that are in the bucket under a prefix: some 200 bytes of memory each."""

    prefix: str
    sizes: MutableMapping[str, int] = field(default_factory=dict)

    def add(self, stored: Stored) -> None:
        """Take in one object of a listing."""
        name = stored.key.rpartition("/")[2]
        if stored.key == image_key(self.prefix, name):
            self.sizes[name] = stored.size_bytes

    def has(self, survey: Survey, row: int) -> bool:
        """Whether the row's image is there, whole: a cut-off copy has another size."""
        return self.sizes.get(survey.name(row)) == survey.sizes[row]


@dataclass(frozen=True, slots=True)
class Uploads:
    """rows: one byte a row, 1 where its image is sent. there: rows whose image needs no sending.

    identical: rows whose image is that of an earlier row that is sent.
    """

    rows: bytearray
    images: int
    size_bytes: int
    there: int
    identical: int

    def between(self, start: int, stop: int) -> list[int]:
        """The rows from start to stop - 1 whose images are sent."""
        return [row for row in range(start, min(stop, len(self.rows))) if self.rows[row]]


def plan_uploads(survey: Survey, stock: Stock) -> Uploads:
    """Every readable image that is not there is sent once, with the first row that has it."""
    rows = bytearray(survey.rows)
    sent: set[bytes] = set()
    size_bytes = there = identical = 0
    for row in range(survey.rows):
        if not survey.readable(row):
            continue
        if stock.has(survey, row):
            there += 1
        elif (sha256 := survey.sha256(row)) in sent:
            identical += 1
        else:
            sent.add(sha256)
            rows[row] = 1
            size_bytes += survey.sizes[row]
    return Uploads(rows, len(sent), size_bytes, there, identical)


def missing(survey: Survey, stock: Stock) -> Iterator[int]:
    """The readable rows whose image is not in the bucket."""
    return (
        row for row in range(survey.rows) if survey.readable(row) and not stock.has(survey, row)
    )


def rows_to_check(survey: Survey, most: int | None, *, distinct: bool) -> list[int]:
    """Readable rows, evenly spread from the first to the last; all of them for None.

    distinct: of the rows with one image only the first.
    """
    rows = [row for row in range(survey.rows) if survey.readable(row)]
    if distinct:
        first: dict[bytes, int] = {}
        for row in rows:
            first.setdefault(survey.sha256(row), row)
        rows = list(first.values())
    if most is None or len(rows) <= most:
        return rows
    last = len(rows) - 1
    return [rows[last * number // (most - 1)] for number in range(most)]


def groups(
    sizes: Sequence[int], *, most_rows: int, most_bytes: int | None = None
) -> Iterator[tuple[int, int]]:
    """(start, stop) of row groups: at most so many rows, or bytes of images if more than one."""
    start = held = 0
    for row, size_bytes in enumerate(sizes):
        full = row - start == most_rows or (most_bytes and held + size_bytes > most_bytes)
        if row > start and full:
            yield start, row
            start, held = row, 0
        held += size_bytes
    if start < len(sizes):
        yield start, len(sizes)


"""References in memory while their images are read."""
_NUMBERS = {format_: number for number, format_ in enumerate(FORMATS, 1)}


@dataclass(frozen=True, slots=True)
class Step:
    """How far a stage is: images done, of how many (0: not counted), and their bytes."""

    stage: str
    done: int
    total: int
    size_bytes: int = 0


class Survey:
    """The images of all rows, in 41 bytes a row; `reasons` are those of the first unreadable."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.sizes = array("Q", bytes(8 * rows))
        self.unreadable = rows
        self.reasons: dict[int, str] = {}
        self._digests = bytearray(32 * rows)
        self._formats = bytearray(rows)

    def found(self, row: int, sha256: bytes, size_bytes: int, format_: str) -> None:
        """Write down an image that can be read."""
        self._digests[32 * row : 32 * row + 32] = sha256
        self.sizes[row] = size_bytes
        self._formats[row] = _NUMBERS[format_]
        self.unreadable -= 1

    def failed(self, row: int, reason: str) -> None:
        """Write down why an image cannot be read; the first few reasons in row order are kept."""
        self.reasons[row] = reason
        if len(self.reasons) > REASONS_KEPT:
            del self.reasons[max(self.reasons)]

    def readable(self, row: int) -> bool:
        """Whether the row's image was read and is one."""
        return self._formats[row] != 0

    def sha256(self, row: int) -> bytes:
        """Of a readable row."""
        return bytes(self._digests[32 * row : 32 * row + 32])

    def name(self, row: int) -> str:
        """What the image of a readable row is called in the bucket; equal images, equal names."""
        return image_name(self.sha256(row), FORMATS[self._formats[row] - 1])

    @property
    def size_bytes(self) -> int:
        """Of all rows together."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the images of one dataset to one bucket, at_once of them at a time."""

    dataset: Dataset
    survey: Survey
    store: ObjectStore
    prefix: str
    at_once: int
    tell: Callable[[Step], None]

    async def stock(self) -> Stock:
        """What is there: one request for every 1,000 objects."""
        stock = Stock(self.prefix)
        count = 0
        async for stored in self.store.list(f"{self.prefix}/"):
            stock.add(stored)
            count += 1
            if count % _KEYS_PER_STEP == 0:
                self.tell(Step("listing", count, 0))
        return stock

    async def send(self, uploads: Uploads) -> None:
        """Put every image of the plan: one request each. Raises DatasetError, StoreUnavailable."""
        done = size_bytes = 0

        async def put(ref: ImageRef) -> None:
            nonlocal done, size_bytes
            data = await same_image(self.dataset, self.survey, ref)
            await self.store.put(image_key(self.prefix, self.survey.name(ref.ordinal)), data)
            done += 1
            size_bytes += len(data)
            self.tell(Step("uploading", done, uploads.images, size_bytes))

        for start in range(0, self.survey.rows, ROWS_AT_ONCE):
            sent = uploads.between(start, start + ROWS_AT_ONCE)
            if sent:
                refs = await asyncio.to_thread(self.dataset.refs, sent[0], sent[-1] + 1)
                await in_parallel([refs[row - sent[0]] for row in sent], put, self.at_once)

    async def check_all_there(self) -> None:
        """Compare with a new listing. Raises StoreUnavailable where an image is not there."""
        lost = list(missing(self.survey, await self.stock()))
        if lost:
            raise self._not_back(lost[0], f"and {len(lost) - 1:,} others are not there any more")

    async def read_back(self, rows: list[int]) -> None:
        """Read these rows' objects and compare every byte, by the hash."""
        done = 0

        async def check(row: int) -> None:
            nonlocal done
            try:
                data = await self.store.get(image_key(self.prefix, self.survey.name(row)))
            except NotStored:
                raise self._not_back(row, "is not there any more") from None
            if hashlib.sha256(data).digest() != self.survey.sha256(row):
                raise self._not_back(row, "holds other bytes: delete it")
            done += 1
            self.tell(Step("checking", done, len(rows)))

        await in_parallel(rows, check, self.at_once)

    def _not_back(self, row: int, what: str) -> StoreUnavailable:
        key = image_key(self.prefix, self.survey.name(row))
        return StoreUnavailable(
            f"{self.store.url}/{key} {what}; no table was written. Whatever deletes or writes "
            "there must stop; then run the same command again"
        )


async def survey(dataset: Dataset, *, at_once: int, tell: Callable[[Step], None]) -> Survey:
    """Read every image once. at_once: images in memory. Raises StoreUnavailable."""
    found = Survey(dataset.rows)
    done = size_bytes = 0

    async def look(ref: ImageRef) -> None:
        nonlocal done, size_bytes
        try:
            data = await dataset.read(ref)
            format_ = identify(data)
        except Unreadable as error:
            found.failed(ref.ordinal, _named(ref, error.message))
        else:
            found.found(ref.ordinal, hashlib.sha256(data).digest(), len(data), format_)
            size_bytes += len(data)
        done += 1
        tell(Step("reading", done, dataset.rows, size_bytes))

    for start in range(0, dataset.rows, ROWS_AT_ONCE):
        refs = await asyncio.to_thread(dataset.refs, start, start + ROWS_AT_ONCE)
        await in_parallel(refs, look, at_once)
    return found


def _named(ref: ImageRef, reason: str) -> str:
    name = ref.path or ref.id
    return reason if name in reason else f"{name}: {reason}"


"""The formats that `sniff` knows; an image's number in a survey is its place here, from 1."""


@dataclass(frozen=True, slots=True)
class Target:
    """A bucket, the key of the table in it, and the prefix under which the images lie."""

    bucket: str
    table_key: str
    image_prefix: str = IMAGE_PREFIX

    @property
    def url(self) -> str:
        """The table's address."""
        return f"s3://{self.bucket}/{self.table_key}"


def target_of(
    address: str,
    source: str,
    *,
    dataset_name: str | None = None,
    image_prefix: str = IMAGE_PREFIX,
) -> Target:
    """s3://bucket, s3://bucket/folder/ or s3://bucket/folder/NAME.parquet as a target.

    A bare bucket gets data/processed/NAME.parquet, as the guide's runner expects it. NAME is
    dataset_name, else made of the source's own name. Raises ConfigError.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise ConfigError(f"{address}: give a bucket to push to: s3://bucket/")
    if not key.endswith(".parquet"):
        folder = key.strip("/") or TABLE_FOLDER
        key = f"{folder}/{dataset_name or name_of(source)}.parquet"
    elif dataset_name is not None:
        raise ConfigError(f"--dataset-name {dataset_name}: {address} names the table already")
    return Target(bucket, checked(key), checked(image_prefix.strip("/")))


def name_of(source: str) -> str:
    """A dataset's name from what the user named: "receipts" of receipts/ and of receipts.csv.

    Of a glob it is the folder before the first wildcard. Raises ConfigError where there is none.
    """
    parts = PurePosixPath(source.removeprefix("s3://")).parts
    fixed = next((number for number, part in enumerate(parts) if is_wild(part)), len(parts))
    last = PurePosixPath(*parts[:fixed])
    is_file = last.suffix.lower() in {*_TABLES, *IMAGE_ENDINGS}
    name = _NO_NAME.sub("_", last.stem if is_file else last.name).strip("._-")
    if not name:
        raise ConfigError(f"{source} gives the dataset no name; add --dataset-name NAME")
    return name


def image_name(sha256: bytes, format_: str) -> str:
    """The name of an image: the hash of its bytes in hex, and the ending that they ask for."""
    return f"{sha256.hex()}.{_ENDINGS.get(format_, format_)}"


def image_key(prefix: str, name: str) -> str:
    """The key of an image's object: in one of 256 folders, so that people can look into them."""
    return f"{prefix}/{name[:2]}/{name}"


async def in_parallel(
    things: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int
) -> None:
    """Work on every thing, begun in order. The first error stops the others and is raised.

    Only at_once things are taken from `things` ahead of the work.
    """
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await work(thing)

    # not a TaskGroup: that would wrap the error, and every caller would have to unwrap it
    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
