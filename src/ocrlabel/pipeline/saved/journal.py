"""Outcomes of unfinished batches, safe in the store before the next row is taken.

One writer per worker, in a loop: while one put is under way, what arrives waits for the next put
(group commit). So there is no flush interval to tune, and the store sees as many puts as it can
take. A store that does not answer holds the worker back; it loses nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, repeat

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.labels import Attempt, Outcome
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.saved.records import (
    Record,
    Tried,
    better,
    decode_records,
    encode_records,
    merge_attempts,
)
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import NotStored

_STORE_RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
# Keys that have expired or lost a right, a disk that turned read-only: elsewhere they end the run
# at once, but they can be mended while it waits, and an answer in memory was paid for.
_NOT_NOW = (StoreUnavailable, ConfigError)


@dataclass(slots=True)
class _Waiting:
    batch: int
    record: Record
    saved: asyncio.Future[None] | None


class JournalWriter:
    """Writes records; `save` returns when the record is durable, `note` does not wait."""

    def __init__(
        self,
        world: World,
        keys: RunKeys,
        *,
        give_up_after_s: float,
        wrote: Callable[[int, str, list[Record]], None],
    ) -> None:
        self._world = world
        self._keys = keys
        self._wrote = wrote
        self._give_up_after_s = give_up_after_s
        self._waiting: list[_Waiting] = []
        self._more = asyncio.Event()
        self._closing = False
        self._broken: StoreUnavailable | ConfigError | None = None

    @property
    def is_broken(self) -> bool:
        """An answer could not be saved for as long as an outage may last: nothing more is."""
        return self._broken is not None

    async def save(self, batch: int, record: Record) -> None:
        """Return once the record is in the store. Raises what the store said when it cannot be."""
        if self._broken is not None:
            raise self._broken
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(batch, record, saved))
        self._more.set()
        await saved

    def note(self, batch: int, record: Record) -> None:
        """Write the record with the next put, without waiting for it."""
        self._waiting.append(_Waiting(batch, record, None))
        self._more.set()

    def close(self) -> None:
        """Let `run` end once everything given so far is written."""
        self._closing = True
        self._more.set()

    async def run(self) -> None:
        """Write until closed."""
        group: list[_Waiting] = []
        try:
            while not (self._closing and not self._waiting):
                await self._more.wait()
                self._more.clear()
                group, self._waiting = self._waiting, []
                if group:
                    await self._write(group)
        finally:
            # nobody may wait for a writer that has ended
            for one in (*group, *self._waiting):
                if one.saved is not None and not one.saved.done():
                    one.saved.cancel()

    async def _write(self, group: list[_Waiting]) -> None:
        by_batch: dict[int, list[_Waiting]] = defaultdict(list)
        for one in group:
            by_batch[one.batch].append(one)
        if self._broken is None:
            try:
                for batch, ones in by_batch.items():
                    await self._put(batch, [one.record for one in ones])
            except _NOT_NOW as error:
                self._broken = error
        for one in group:
            if one.saved is None or one.saved.done():
                continue
            if self._broken is not None:
                one.saved.set_exception(self._broken)
            else:
                one.saved.set_result(None)

    async def _put(self, batch: int, records: list[Record]) -> None:
        """Put one journal object, patiently: it may hold answers that were paid for."""
        data = encode_records(records)
        key = self._keys.journal(
            batch, self._world.me.worker, hashlib.sha256(data).hexdigest()[:32]
        )
        began = self._world.clock()
        for wait_s in chain(_STORE_RETRY_S, repeat(_STORE_RETRY_S[-1])):
            try:
                await self._world.store.put(key, data)
            except _NOT_NOW as error:
                if self._world.clock() - began > self._give_up_after_s:
                    raise
                self._world.emit(Notice("store", f"{error}; answers wait in memory, trying again"))
                await self._world.sleep(wait_s)
            else:
                self._wrote(batch, key, records)
                return


@dataclass(slots=True)
class BatchView:
    """What the journal of one batch says: the best outcome per row, and every attempt per key."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    by_key: dict[str, Outcome] = field(default_factory=dict)
    tried: dict[str, tuple[Attempt, ...]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, records: Iterable[Record]) -> None:
        """Take in records; the order in which they come makes no difference."""
        for record in records:
            if isinstance(record, Tried):
                self._add_attempts(record.key, (record.attempt,))
                continue
            there = self.outcomes.get(record.ordinal)
            self.outcomes[record.ordinal] = better(there, record) if there else record
            if record.key:
                same = self.by_key.get(record.key)
                self.by_key[record.key] = better(same, record) if same else record
                self._add_attempts(record.key, record.attempts)

    def _add_attempts(self, key: str, attempts: Iterable[Attempt]) -> None:
        self.tried[key] = merge_attempts(self.tried.get(key, ()), attempts)

    def with_all_attempts(self, outcome: Outcome) -> Outcome:
        """The outcome with every attempt known for its key; a copy carries none of its own."""
        if outcome.copied or not outcome.key:
            return outcome
        return replace(outcome, attempts=self.tried.get(outcome.key, outcome.attempts))


async def refresh(world: World, keys: RunKeys, batch: int, view: BatchView) -> None:
    """Read the journal objects of a batch that the view has not seen yet.

    Objects that go while they are read are passed over: only a finished merge deletes them, so
    whoever misses something in the view finds it in the batch's checkpoint.
    """
    listed = [stored.key async for stored in world.store.list(keys.journal_of(batch))]
    fresh = sorted(set(listed) - view.seen)
    for start in range(0, len(fresh), 16):
        some = fresh[start : start + 16]
        found = await asyncio.gather(*(_read(world, key) for key in some))
        for key, data in zip(some, found, strict=True):
            if data is not None:
                view.add(decode_records(data, where=f"{world.store.url}/{key}"))
                view.seen.add(key)


async def _read(world: World, key: str) -> bytes | None:
    try:
        return await world.store.get(key)
    except NotStored:
        return None
