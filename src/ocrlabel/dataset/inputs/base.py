"""What every kind of input can do: a list of references, in ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from ocrlabel.labels import ImageRef

_BLOCK_BYTES = 4 << 20


class Rows(Protocol):
    """The rows of an input. Not thread-safe, and it may block: Dataset sees to both."""

    @property
    def count(self) -> int:
        """How many rows."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 in hex of what makes this input this input."""
        ...

    def ids(self) -> Iterator[str]:
        """The id of every row, in order."""
        ...

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        ...

    def embedded(self, ordinal: int, /) -> bytes | None:
        """The bytes in the row itself; None where it has none."""
        ...

    def number(self) -> bool:
        """From now on the rows' numbers are their ids; False where ids must come from the input."""
        ...

    def path(self, ref: ImageRef) -> str:
        """The path to look for, where it is not written as in the reference."""
        ...

    def close(self) -> None:
        """Give the files back."""
        ...


def hash_of(file: BinaryIO) -> str:
    """sha256 in hex of all its bytes, a few MB in memory at a time."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()
