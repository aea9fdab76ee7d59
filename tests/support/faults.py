"""Stores that fail on purpose. Each wraps a real one and counts its writes from 1.

A write is a put, a put_if_absent, an upload or a delete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from ocrlabel.errors import StoreUnavailable
from ocrlabel.storage.base import ObjectStore, Stored
from tests.support.clock import clock, sleep

T = TypeVar("T")
When = Literal["before", "after"]


class PowerCut(BaseException):
    """The process is gone: nothing may catch this and go on."""


class _Wrapped:
    """An ObjectStore that hands everything on; subclasses say what a write meets."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.writes = 0

    @property
    def url(self) -> str:
        return self.store.url

    async def get(self, key: str) -> bytes:
        return await self.store.get(key)

    async def put(self, key: str, data: bytes) -> None:
        await self._write(lambda: self.store.put(key, data))

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        return await self._write(lambda: self.store.put_if_absent(key, data))

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        return self.store.list(prefix)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._write(lambda: self.store.delete(keys))

    async def upload(self, key: str, path: Path) -> None:
        await self._write(lambda: self.store.upload(key, path))

    async def download(self, key: str, path: Path) -> None:
        await self.store.download(key, path)

    def open(self, key: str) -> BinaryIO:
        return self.store.open(key)

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        self.writes += 1
        self._before(self.writes)
        result = await write()
        self._after(self.writes)
        return result

    def _before(self, n: int) -> None:
        pass

    def _after(self, n: int) -> None:
        pass


class DiesAfter(_Wrapped):
    """The power goes at the n-th write, before it takes place or just after; it stays off."""

    def __init__(self, store: ObjectStore, n: int, when: When = "before") -> None:
        super().__init__(store)
        self.n, self.when = n, when

    @property
    def dead(self) -> bool:
        """Whether the power is off."""
        return self._off

    _off = False

    def _before(self, n: int) -> None:
        if self._off or (n >= self.n and self.when == "before"):
            self._cut()

    def _after(self, n: int) -> None:
        if self._off or n >= self.n:
            self._cut()

    def _cut(self) -> None:
        self._off = True
        raise PowerCut


class FailsAt(_Wrapped):
    """The n-th write ends in StoreUnavailable, before it takes place or after; the rest work."""

    def __init__(self, store: ObjectStore, n: int, when: When = "before") -> None:
        super().__init__(store)
        self.n, self.when = n, when

    def _before(self, n: int) -> None:
        if n == self.n and self.when == "before":
            raise StoreUnavailable(f"write {n} fails on purpose, before it takes place")

    def _after(self, n: int) -> None:
        if n == self.n and self.when == "after":
            raise StoreUnavailable(f"write {n} fails on purpose, after it took place")


class CountsCalls(_Wrapped):
    """Counts the calls of every method by its name, in `calls`."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self.calls: Counter[str] = Counter()

    async def get(self, key: str) -> bytes:
        self.calls["get"] += 1
        return await super().get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.calls["put"] += 1
        await super().put(key, data)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        self.calls["put_if_absent"] += 1
        return await super().put_if_absent(key, data)

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        self.calls["list"] += 1
        return super().list(prefix)

    async def delete(self, keys: Sequence[str]) -> None:
        self.calls["delete"] += 1
        await super().delete(keys)

    async def upload(self, key: str, path: Path) -> None:
        self.calls["upload"] += 1
        await super().upload(key, path)

    async def download(self, key: str, path: Path) -> None:
        self.calls["download"] += 1
        await super().download(key, path)

    def open(self, key: str) -> BinaryIO:
        self.calls["open"] += 1
        return super().open(key)


class TroubleAt(_Wrapped):
    """The n-th call of any kind, reads too, ends in StoreUnavailable before or after, or is late.

    delay_s: how long the n-th call hangs before it takes place; no error then.
    """

    def __init__(
        self,
        store: ObjectStore,
        n: int,
        when: When = "before",
        *,
        delay_s: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(store)
        self.n, self.when, self.delay_s, self.sleep = n, when, delay_s, sleep
        self.calls = 0

    async def get(self, key: str) -> bytes:
        return await self._call(lambda: self.store.get(key))

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        async def listed() -> list[Stored]:
            return [stored async for stored in self.store.list(prefix)]

        for stored in await self._call(listed):
            yield stored

    async def download(self, key: str, path: Path) -> None:
        await self._call(lambda: self.store.download(key, path))

    def open(self, key: str) -> BinaryIO:
        self.calls += 1
        if self.calls == self.n and not self.delay_s:
            raise StoreUnavailable(f"call {self.n} fails on purpose")
        return self.store.open(key)

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        return await self._call(write)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        ours = self.calls == self.n
        if ours and self.sleep is not None:
            await self.sleep(self.delay_s)
        elif ours and self.when == "before":
            raise StoreUnavailable(f"call {self.n} fails on purpose, before it takes place")
        result = await call()
        if ours and self.sleep is None and self.when == "after":
            raise StoreUnavailable(f"call {self.n} fails on purpose, after it took place")
        return result


class Frozen(_Wrapped):
    """Every call that begins in a span of (virtual) time takes place only at its end."""

    def __init__(self, store: ObjectStore, *, from_s: float, to_s: float) -> None:
        super().__init__(store)
        self.from_s, self.to_s = from_s, to_s

    async def get(self, key: str) -> bytes:
        await self._thaw()
        return await super().get(key)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        await self._thaw()
        async for stored in super().list(prefix):
            yield stored

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        await self._thaw()
        return await super()._write(write)

    async def _thaw(self) -> None:
        if self.from_s <= clock() < self.to_s:
            await sleep(self.to_s - clock())


class EveryCall(_Wrapped):
    """What every call meets before it takes place, reads too; `meets` is told its number from 1."""

    def __init__(self, store: ObjectStore, meets: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(store)
        self.meets, self.calls = meets, 0

    async def get(self, key: str) -> bytes:
        await self._met()
        return await super().get(key)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        await self._met()
        async for stored in super().list(prefix):
            yield stored

    async def download(self, key: str, path: Path) -> None:
        await self._met()
        await super().download(key, path)

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        await self._met()
        return await super()._write(write)

    async def _met(self) -> None:
        self.calls += 1
        await self.meets(self.calls)
