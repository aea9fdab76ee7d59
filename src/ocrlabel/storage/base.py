"""The contract of a store: the few things that a run needs, and which keys every store takes.

All coordination between workers is built on put-if-absent; see tests/contracts.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from ocrlabel.errors import ConfigError

MAX_KEY_BYTES = 1024  # S3's own limit
MAY_PASS = frozenset(
    {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.EAGAIN}
)
"""Errors of a disk, or of a process without a handle left, that say nothing of the file."""
MAX_NAME_BYTES = 255  # of every common file system; a folder must hold the same keys


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


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """How long one operation is tried, in seconds; the defaults are far below a lease of 60 s.

    limit_s: all attempts and waits together. attempt_s: one attempt. Both grow with the bytes
    that an operation moves, at slowest_bytes_per_s, so that a large object on a slow line is not
    taken for a dead store.
    """

    limit_s: float = 10.0
    attempt_s: float = 4.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 2.0
    slowest_bytes_per_s: float = 256 * 1024

    def extra_s(self, size_bytes: int) -> float:
        """The time that size_bytes may take on the slowest line that is still served."""
        return size_bytes / self.slowest_bytes_per_s

    def waits_s(self) -> Iterator[float]:
        """The longest wait before each further attempt: doubling, without end."""
        wait_s = self.first_wait_s
        while True:
            yield wait_s
            wait_s = min(wait_s * 2, self.longest_wait_s)


def checked(key: str) -> str:
    """The key itself. Raises ConfigError for one that some store cannot hold as it is.

    Refused: empty or absolute keys, "." and ".." and empty parts, control characters, text that
    is not Unicode, and names that are too long.
    """
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise _unusable(key, "it is not valid Unicode") from None
    if size_bytes > MAX_KEY_BYTES:
        raise _unusable(key, f"it is longer than {MAX_KEY_BYTES} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise _unusable(key, "it holds a control character")
    for part in key.split("/"):
        if part in {"", ".", ".."}:
            raise _unusable(key, f"a part of it is {part!r}")
        if len(part.encode()) > MAX_NAME_BYTES:
            raise _unusable(key, f"a part of it is longer than {MAX_NAME_BYTES} bytes")
    return key


def folder_of(prefix: str) -> str:
    """The part of a prefix before its last "/": stores list whole folders. "" is the top."""
    return prefix.rpartition("/")[0]


def _unusable(key: str, reason: str) -> ConfigError:
    return ConfigError(f"cannot store under the name {key!r}: {reason}; choose another name")
