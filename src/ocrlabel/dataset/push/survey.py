"""What is known of every row's image before anything is sent: its hash, its size, its format."""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from ocrlabel.dataset.in_parallel import in_parallel
from ocrlabel.dataset.inputs.sources import Dataset
from ocrlabel.dataset.pixels.sniff import known
from ocrlabel.dataset.push.target import FORMATS, image_name
from ocrlabel.errors import Unreadable
from ocrlabel.labels import ImageRef

REASONS_KEPT = 20
ROWS_AT_ONCE = 1024
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


async def survey(dataset: Dataset, *, at_once: int, tell: Callable[[Step], None]) -> Survey:
    """Read every image once. at_once: images in memory. Raises StoreUnavailable."""
    found = Survey(dataset.rows)
    done = size_bytes = 0

    async def look(ref: ImageRef) -> None:
        nonlocal done, size_bytes
        try:
            data = await dataset.read(ref)
            format_ = known(data)
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
