"""The store as a run uses it: no call outlasts the run, and what can be mended is waited for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.pipeline.runtime import SAVING_S, Draining, Stop
from ocrlabel.storage.base import ObjectStore, Stored

T = TypeVar("T")
_LONGEST_GAP_S = 60.0
"""Between two tries of an outage. A longer silence is no trying: nothing to do, or a sleep."""


@dataclass(frozen=True, slots=True)
class RunStore:
    """An ObjectStore that hands everything on, and raises StoreUnavailable when the run must end.

    Keys that have expired or lost a right, and a disk that turned read-only, end a run that begins
    with them. Where it has written before, they are an outage like any other: they can be mended
    while it waits. written: the top folders in which it has.
    """

    store: ObjectStore
    stop: Stop
    written: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The store's."""
        return self.store.url

    async def get(self, key: str) -> bytes:
        """See ObjectStore."""
        return await self._call(key, self.store.get(key))

    async def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        await self._write(key, self.store.put(key, data))

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        return await self._write(key, self.store.put_if_absent(key, data))

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See ObjectStore."""
        found = self.store.list(prefix)
        while (stored := await self._call(prefix, anext(found, None))) is not None:
            yield stored

    async def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore."""
        await self._write(keys[0] if keys else "", self.store.delete(keys))

    async def upload(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        await self._write(key, self.store.upload(key, path))

    async def download(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        await self._call(key, self.store.download(key, path))

    def open(self, key: str) -> BinaryIO:
        """See ObjectStore."""
        with self._may_be_mended(key):
            return self.store.open(key)

    async def _write(self, key: str, work: Awaitable[T]) -> T:
        done = await self._call(key, work)
        self.written.add(key.partition("/")[0])
        return done

    async def _call(self, key: str, work: Awaitable[T]) -> T:
        with self._may_be_mended(key):
            try:
                async with self.stop.ending(SAVING_S):
                    return await work
            except Draining:
                late = "did not answer before the run had to end"
                raise StoreUnavailable(f"{self.url} {late}") from None

    @contextlib.contextmanager
    def _may_be_mended(self, key: str) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            if key.partition("/")[0] not in self.written:
                raise
            raise StoreUnavailable(str(error)) from error


@dataclass(slots=True)
class Outage:
    """Failures in a row, and for how long they have been tried again (s, on the caller's clock)."""

    tried_for_s: float = 0.0
    _failed_at_s: float | None = None

    def failed(self, now_s: float) -> bool:
        """It failed; True when this is the first failure after a success."""
        first = self._failed_at_s is None
        if self._failed_at_s is not None:
            self.tried_for_s += min(now_s - self._failed_at_s, _LONGEST_GAP_S)
        self._failed_at_s = now_s
        return first

    def over(self) -> None:
        """It worked."""
        self.tried_for_s, self._failed_at_s = 0.0, None
