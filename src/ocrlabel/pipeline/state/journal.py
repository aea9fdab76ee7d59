"""Outcomes and attempts as JSON lines: what a journal object holds, and back again.

One gzip'd line per record; the first byte of time in gzip is zero, so equal records are equal
bytes and a journal object can be named by its content.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any, TypeAlias

from ocrlabel.errors import ConfigError, RunMismatch, StoreUnavailable
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    Labelled,
    Outcome,
    Page,
    Word,
)
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.layout import RunKeys
from ocrlabel.storage.base import NotStored

_STORE_RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
# Keys that have expired or lost a right, a disk that turned read-only: elsewhere they end the run
# at once, but they can be mended while it waits, and an answer in memory was paid for.
_NOT_NOW = (StoreUnavailable, ConfigError)
_MOST_VIEWS = 4


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt for an image key, written down although it was not the last one."""

    key: str
    attempt: Attempt


Record: TypeAlias = Labelled | Failed | Tried


def encode_records(records: Iterable[Record]) -> bytes:
    """Records as the bytes of one journal object."""
    lines = "\n".join(
        json.dumps(_to_json(record), ensure_ascii=False, separators=(",", ":"))
        for record in records
    )
    return gzip.compress(lines.encode("utf-8", "surrogatepass"), compresslevel=1, mtime=0)


def decode_records(data: bytes, *, where: str) -> list[Record]:
    """The records of one journal object. Raises RunMismatch: unreadable is never "nothing"."""
    try:
        if not data:
            raise EOFError("it is empty")  # noqa: TRY301 -- gzip takes nothing for an empty text
        text = gzip.decompress(data).decode("utf-8", "surrogatepass")
        # split by the newline alone: splitlines would cut at U+2028 inside a text
        return [_from_json(json.loads(line)) for line in text.split("\n") if line]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise RunMismatch(
            f"{where} cannot be read ({type(error).__name__}: {error})\n"
            "  it may hold answers that were paid for: put it right from a backup or another"
            " version, or use --fresh to start again"
        ) from error


def _to_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Tried):
        return {"t": "tried", "key": record.key, "attempt": attempt_to_json(record.attempt)}
    common: dict[str, Any] = {
        "o": record.ordinal,
        "id": record.id,
        "key": record.key,
        "sha": record.sha256,
        "engine": record.engine,
        "at": record.at_s,
        "attempts": [attempt_to_json(attempt) for attempt in record.attempts],
        "copied": record.copied,
    }
    if isinstance(record, Failed):
        return common | {
            "t": "failed",
            "failure": record.failure.value,
            "message": record.message,
            "retryable": record.retryable,
        }
    return common | {
        "t": "labelled",
        "pages": [_page_to_json(page) for page in record.pages],
        "model": record.model_version,
        "latency": record.latency_s,
        "billed": record.billed_pages,
        "raw": _raw_to_json(record.raw),
    }


def _from_json(found: dict[str, Any]) -> Record:
    kind = found["t"]
    if kind == "tried":
        return Tried(found["key"], attempt_from_json(found["attempt"]))
    attempts = tuple(attempt_from_json(one) for one in found["attempts"])
    if kind == "failed":
        return Failed(
            ordinal=found["o"],
            id=found["id"],
            key=found["key"],
            sha256=found["sha"],
            engine=found["engine"],
            at_s=found["at"],
            attempts=attempts,
            copied=found["copied"],
            failure=FailureClass(found["failure"]),
            message=found["message"],
            retryable=found["retryable"],
        )
    return Labelled(
        ordinal=found["o"],
        id=found["id"],
        key=found["key"],
        sha256=found["sha"],
        engine=found["engine"],
        at_s=found["at"],
        attempts=attempts,
        copied=found["copied"],
        pages=tuple(_page_from_json(page) for page in found["pages"]),
        model_version=found["model"],
        latency_s=found["latency"],
        billed_pages=found["billed"],
        raw=_raw_from_json(found["raw"]),
    )


def attempt_to_json(attempt: Attempt) -> list[Any]:
    """An attempt as a short list, in the order of its fields."""
    return [
        attempt.number,
        attempt.lane,
        attempt.sent_at_s,
        attempt.latency_s,
        attempt.result.value,
        attempt.status,
        attempt.message,
        attempt.billed_pages,
        attempt.worker,
        attempt.pages,
    ]


def attempt_from_json(found: list[Any]) -> Attempt:
    """The attempt in such a list."""
    number, lane, sent_at_s, latency_s, result, *rest = found
    return Attempt(number, lane, sent_at_s, latency_s, AttemptResult(result), *rest)


def _page_to_json(page: Page) -> list[Any]:
    words = [[word.text, word.confidence, word.polygon] for word in page.words]
    return [page.number, page.width_px, page.height_px, page.confidence, words]


def _page_from_json(found: list[Any]) -> Page:
    number, width_px, height_px, confidence, words = found
    return Page(
        number,
        width_px,
        height_px,
        tuple(
            Word(text, tuple((x, y) for x, y in polygon), word_confidence)
            for text, word_confidence, polygon in words
        ),
        confidence,
    )


def _raw_to_json(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def _raw_from_json(found: str | dict[str, str]) -> bytes:
    return found.encode("utf-8") if isinstance(found, str) else base64.b64decode(found["base64"])


def merge_attempts(*groups: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """All attempts of one image key, each once, in order; a known result beats an unknown one."""
    best: dict[tuple[int, str], Attempt] = {}
    for group in groups:
        for attempt in group:
            place = (attempt.number, attempt.worker)
            there = best.get(place)
            if there is None or there.result is AttemptResult.UNKNOWN:
                best[place] = attempt
    return tuple(best[place] for place in sorted(best))


def better(one: Outcome, other: Outcome) -> Outcome:
    """Which of two outcomes counts: a label, an original, the earlier attempt, then the hash.

    The choice depends on the two values alone, so that every reader chooses alike.
    """
    return min(one, other, key=_rank)


def _rank(outcome: Outcome) -> tuple[bool, bool, int, str]:
    # a copy carries no attempts: where the original is of the same row, the account needs it
    last = outcome.attempts[-1].number if outcome.attempts else 0
    shown = hashlib.sha256(outcome.raw).hexdigest() if isinstance(outcome, Labelled) else ""
    return (isinstance(outcome, Failed), outcome.copied, last, shown)


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


class Views:
    """Keeps the views of the last few batches; others are read again when they are needed."""

    def __init__(self, world: World, keys: RunKeys) -> None:
        self._world = world
        self._keys = keys
        self._views: OrderedDict[int, BatchView] = OrderedDict()
        self._locks: dict[int, asyncio.Lock] = {}

    async def fresh(self, batch: int) -> BatchView:
        """The view of a batch with everything that is in its journal now."""
        lock = self._locks.setdefault(batch, asyncio.Lock())
        async with lock:
            view = self._view(batch)
            await refresh(self._world, self._keys, batch, view)
        return view

    def wrote(self, batch: int, key: str, records: list[Record]) -> None:
        """Take in what this worker has just written itself, without reading it back."""
        view = self._views.get(batch)
        if view is not None:
            view.add(records)
            view.seen.add(key)

    def begin(self, batch: int) -> BatchView:
        """The view of a batch that nobody has written to yet, to be filled by `wrote`."""
        return self._view(batch)

    def drop(self, batch: int) -> None:
        """Forget a batch whose checkpoint is written."""
        self._views.pop(batch, None)
        self._locks.pop(batch, None)

    def _view(self, batch: int) -> BatchView:
        view = self._views.setdefault(batch, BatchView())
        self._views.move_to_end(batch)
        while len(self._views) > _MOST_VIEWS:
            self._views.popitem(last=False)
        return view
