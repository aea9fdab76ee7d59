"""The few things the run needs of a store. Everything else is built on put-if-absent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


class NotStored(Exception):
    """There is no object with this key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a listing."""

    key: str
    size_bytes: int


class ObjectStore(Protocol):
    """Objects by key, in a folder, in a bucket or in memory. Keys use "/" and are never absolute.

    Every method raises StoreUnavailable once its own retries are used up. A written object is
    seen by every reader from then on (S3 and folders both promise that).
    """

    @property
    def url(self) -> str:
        """Where this is, as a user would write it."""
        ...

    async def get(self, key: str) -> bytes:
        """The whole object. Raises NotStored."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Write or replace; all or nothing."""
        ...

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key exists. True: the object there is `data` as given here.

        A repeated or ambiguous put of equal bytes answers True, so bytes that must tell one
        writer from another carry a nonce.
        """
        ...

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every object whose key starts with prefix, in no promised order."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete; keys that do not exist are no error."""
        ...

    async def upload(self, key: str, path: Path) -> None:
        """Write or replace from a file, in parts, without holding it in memory."""
        ...

    async def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, without holding it in memory. Raises NotStored."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable reader that fetches ranges as they are read. Raises NotStored."""
        ...
