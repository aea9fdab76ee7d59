"""The images of a push: which there are, which have to be sent, and which are read back.

`take_inventory` reads every image before anything is sent: its hash, its size, its format. The
rest is then decided from values.
"""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TypeVar

from ocrlabel.dataset.push.target import image_key
from ocrlabel.dataset.sources import ImageDataset
from ocrlabel.errors import DatasetError, Unreadable
from ocrlabel.images.identify import identify
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import Stored

_ENDINGS = {"jpeg": "jpg", "tiff": "tif"}
_FORMATS = ("jpeg", "png", "bmp", "tiff", "pdf", "heic", "avif", "webp", "gif")
"""Those that `sniff` knows; an image's number in an inventory is its place here, from 1."""
_NUMBERS = {format_: number for number, format_ in enumerate(_FORMATS, 1)}
_REASONS_KEPT = 20
ROWS_AT_ONCE = 1024  # references in memory while their images are read
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """How far a stage is: images done, of how many (0: not counted), and their bytes."""

    stage: str
    done: int
    total: int
    size_bytes: int = 0


class ImageInventory:
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
        if len(self.reasons) > _REASONS_KEPT:
            del self.reasons[max(self.reasons)]

    def readable(self, row: int) -> bool:
        """Whether the row's image was read and is one."""
        return self._formats[row] != 0

    def sha256(self, row: int) -> bytes:
        """Of a readable row."""
        return bytes(self._digests[32 * row : 32 * row + 32])

    def name(self, row: int) -> str:
        """What the image of a readable row is called in the bucket; equal images, equal names."""
        format_ = _FORMATS[self._formats[row] - 1]
        return f"{self.sha256(row).hex()}.{_ENDINGS.get(format_, format_)}"

    @property
    def size_bytes(self) -> int:
        """Of all rows together."""
        return sum(self.sizes)


async def take_inventory(
    dataset: ImageDataset, *, at_once: int, on_step: Callable[[Step], None]
) -> ImageInventory:
    """Read every image once. at_once: images in memory. Raises StoreUnavailable."""
    found = ImageInventory(dataset.rows)
    done = size_bytes = 0

    async def look(ref: ImageRef) -> None:
        nonlocal done, size_bytes
        try:
            data = await dataset.read(ref)
            format_ = identify(data)
        except Unreadable as error:
            name = ref.path or ref.id
            reason = error.message if name in error.message else f"{name}: {error.message}"
            found.failed(ref.ordinal, reason)
        else:
            found.found(ref.ordinal, hashlib.sha256(data).digest(), len(data), format_)
            size_bytes += len(data)
        done += 1
        on_step(Step("reading", done, dataset.rows, size_bytes))

    for start in range(0, dataset.rows, ROWS_AT_ONCE):
        refs = await asyncio.to_thread(dataset.refs, start, start + ROWS_AT_ONCE)
        await in_parallel(refs, look, at_once)
    return found


@dataclass(slots=True)
class ImagesInBucket:
    """The images that are in the bucket under a prefix: some 200 bytes of memory each."""

    prefix: str
    sizes: MutableMapping[str, int] = field(default_factory=dict)

    def add(self, stored: Stored) -> None:
        """Take in one object of a listing."""
        name = stored.key.rpartition("/")[2]
        if stored.key == image_key(self.prefix, name):
            self.sizes[name] = stored.size_bytes

    def has(self, inventory: ImageInventory, row: int) -> bool:
        """Whether the row's image is there, whole: a cut-off copy has another size."""
        return self.sizes.get(inventory.name(row)) == inventory.sizes[row]


@dataclass(frozen=True, slots=True)
class Uploads:
    """rows: one byte a row, 1 where its image is sent. there: rows whose image needs no sending.

    identical: rows whose image is that of an earlier row that is sent.
    """

    rows: bytearray = field(default_factory=bytearray)
    images: int = 0
    size_bytes: int = 0
    there: int = 0
    identical: int = 0


def plan_uploads(inventory: ImageInventory, in_bucket: ImagesInBucket) -> Uploads:
    """Every readable image that is not there is sent once, with the first row that has it."""
    rows = bytearray(inventory.rows)
    sent: set[bytes] = set()
    size_bytes = there = identical = 0
    for row in range(inventory.rows):
        if not inventory.readable(row):
            continue
        if in_bucket.has(inventory, row):
            there += 1
        elif (sha256 := inventory.sha256(row)) in sent:
            identical += 1
        else:
            sent.add(sha256)
            rows[row] = 1
            size_bytes += inventory.sizes[row]
    return Uploads(rows, len(sent), size_bytes, there, identical)


def missing(inventory: ImageInventory, in_bucket: ImagesInBucket) -> Iterator[int]:
    """The readable rows whose image is not in the bucket."""
    return (
        row
        for row in range(inventory.rows)
        if inventory.readable(row) and not in_bucket.has(inventory, row)
    )


def rows_to_check(inventory: ImageInventory, most: int | None, *, distinct: bool) -> list[int]:
    """Readable rows, evenly spread from the first to the last; all of them for None.

    distinct: of the rows with one image only the first.
    """
    rows = [row for row in range(inventory.rows) if inventory.readable(row)]
    if distinct:
        first: dict[bytes, int] = {}
        for row in rows:
            first.setdefault(inventory.sha256(row), row)
        rows = list(first.values())
    if most is None or len(rows) <= most:
        return rows
    last = len(rows) - 1
    return [rows[last * number // (most - 1)] for number in range(most)]


async def same_image(dataset: ImageDataset, inventory: ImageInventory, ref: ImageRef) -> bytes:
    """The image's bytes, as they were in the inventory. Raises DatasetError when they are not."""
    try:
        data = await dataset.read(ref)
    except Unreadable as error:
        raise _changed(ref, error.message) from error
    if hashlib.sha256(data).digest() != inventory.sha256(ref.ordinal):
        raise _changed(ref, "its bytes are others")
    return data


def _changed(ref: ImageRef, why: str) -> DatasetError:
    return DatasetError(
        f"{ref.path or ref.id} was changed while it was pushed ({why}); no table was written; "
        "run the same command again"
    )


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
