"""A stored object as a file: seekable, read by ranges, for readers that skip (parquet)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, S3Store

from ocrlabel.errors import StoreUnavailable
from ocrlabel.storage.refusals import OtherRegion, missing_keys, naming_proxy, reason, refusal

PART_BYTES = 8 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024  # one request for many small reads: a round trip costs more


def range_reader(
    native: S3Store | MemoryStore,
    key: str,
    url: str,
    region_of: Callable[[], str] = str,
    through: str = "",
) -> BinaryIO:
    """Open an object for reading; what is read is of one version of it. Raises NotStored.

    native: a store that retries by itself, since these calls block. Raises StoreUnavailable once
    its retries are used up, and when the object is replaced while it is read.
    """
    raw = _RangeReader(native, key, url, region_of, through)
    return cast("BinaryIO", io.BufferedReader(raw, _BUFFER_BYTES))


class _RangeReader(io.RawIOBase):
    def __init__(
        self,
        native: S3Store | MemoryStore,
        key: str,
        url: str,
        region_of: Callable[[], str],
        through: str,
    ) -> None:
        super().__init__()
        self._native, self._key, self._url, self._region_of = native, key, url, region_of
        self._through = through
        try:
            try:
                meta = obstore.head(native, key)
            except FileNotFoundError:  # no reason is given with HEAD, such as a missing bucket
                meta = obstore.get(native, key).meta
        except (BaseError, OSError) as error:
            raise self._translated(error) from error
        self._size_bytes: int = meta["size"]
        self._e_tag: str | None = meta["e_tag"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not a run-time name
        end = min(self._at + min(len(buffer), PART_BYTES), self._size_bytes)
        if end <= self._at:
            return 0
        try:
            result = obstore.get(
                self._native,
                self._key,
                options={"range": (self._at, end), "if_match": self._e_tag},
            )
            data = bytes(result.bytes())
        except (BaseError, OSError) as error:
            raise self._translated(error) from error
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """The rest, in large parts; the inherited way would ask for 8 KiB at a time."""
        rest = memoryview(bytearray(max(self._size_bytes - self._at, 0)))
        filled = 0
        while read := self.readinto(rest[filled:]):
            filled += read
        return bytes(rest)

    def _translated(self, error: Exception) -> Exception:
        refused = refusal(error, self._key, self._url)
        if isinstance(refused, OtherRegion):
            return refused.at(self._region_of())
        told = (
            refused
            or missing_keys(error, self._url)
            or StoreUnavailable(
                f"{self._url}: {self._key!r} could not be read: {reason(error)}; "
                f"run the same command again to go on"
            )
        )
        return naming_proxy(told, error, self._through)
