"""The store as a run uses it: no call outlasts the run, and what can be mended is waited for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.pipeline.runtime import SAVING_S, Draining, Stop
from ocrlabel.storage.base import ObjectStore, Stored


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
        async with self._call(key):
            return await self.store.get(key)

    async def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        async with self._call(key, writes=True):
            await self.store.put(key, data)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        async with self._call(key, writes=True):
            return await self.store.put_if_absent(key, data)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See ObjectStore."""
        found = self.store.list(prefix)
        while True:
            async with self._call(prefix):
                try:
                    stored = await anext(found)
                except StopAsyncIteration:
                    return
            yield stored

    async def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore."""
        async with self._call(keys[0] if keys else "", writes=True):
            await self.store.delete(keys)

    async def upload(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        async with self._call(key, writes=True):
            await self.store.upload(key, path)

    async def download(self, key: str, path: Path) -> None:
        """See ObjectStore."""
        async with self._call(key):
            await self.store.download(key, path)

    def open(self, key: str) -> BinaryIO:
        """See ObjectStore."""
        with self._may_be_mended(key):
            return self.store.open(key)

    @contextlib.asynccontextmanager
    async def _call(self, key: str, *, writes: bool = False) -> AsyncIterator[None]:
        with self._may_be_mended(key):
            try:
                async with self.stop.ending(SAVING_S):
                    yield
            except Draining:
                late = "did not answer before the run had to end"
                raise StoreUnavailable(f"{self.url} {late}") from None
        if writes:
            self.written.add(key.partition("/")[0])

    @contextlib.contextmanager
    def _may_be_mended(self, key: str) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            if key.partition("/")[0] not in self.written:
                raise
            raise StoreUnavailable(str(error)) from error
