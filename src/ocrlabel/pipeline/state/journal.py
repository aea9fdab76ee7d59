"""The journal of a round: what became of every row, safe before its worker takes further work.

An object of it holds one gzip'd line per record and is named by its writer and its bytes (the time
in gzip is zero, so equal records are equal bytes): a repeated put is the same put, and nobody
writes over another's. One writer a worker puts what has come in, while the next records wait for
the next put. Readers take the objects in any order and resolve what is there twice (`better`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, TypeAlias

from ocrlabel.errors import ConfigError, Interrupted, RunMismatch, StoreUnavailable
from ocrlabel.forms import Form
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
from ocrlabel.pipeline.run_context import Round
from ocrlabel.pipeline.runtime import Draining, Stop
from ocrlabel.pipeline.state.layout import stored_under
from ocrlabel.storage.base import NotStored

_STORE_RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
# Keys that have expired or lost a right, a disk that turned read-only: elsewhere they end the run
# at once, but they can be mended while it waits, and an answer in memory was paid for.
_NOT_NOW = (StoreUnavailable, ConfigError)
_CACHED_BATCHES = 4
_READ_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt for an image key, written down although it was not the last one."""

    key: str
    attempt: Attempt


Record: TypeAlias = Labelled | Failed | Tried


def encode_records(records: Iterable[Record]) -> bytes:
    """Records as the bytes of one journal object."""
    lines = "\n".join(
        json.dumps(to_json(record), ensure_ascii=False, separators=(",", ":")) for record in records
    )
    return gzip.compress(lines.encode("utf-8", "surrogatepass"), compresslevel=1, mtime=0)


def decode_records(data: bytes, *, where: str) -> list[Record]:
    """The records of one journal object. Raises RunMismatch: unreadable is never "nothing"."""
    try:
        if not data:
            raise EOFError("it is empty")  # noqa: TRY301 -- gzip takes nothing for an empty text
        text = gzip.decompress(data).decode("utf-8", "surrogatepass")
        # split by the newline alone: splitlines would cut at U+2028 inside a text
        return [from_json(json.loads(line)) for line in text.split("\n") if line]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise RunMismatch(
            f"{where} cannot be read ({type(error).__name__}: {error})\n"
            "  it may hold answers that were paid for: put it right from a backup or another"
            " version; without one, move it away, and only what it alone held is asked for again"
        ) from error


def _attempts_from(found: list[list[Any]]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(n, lane, at_s, took_s, AttemptResult(end), _held(status), str(said), _held(b), *by)
        for n, lane, at_s, took_s, end, status, said, b, *by in found
    )


def _held(value: Any) -> int | None:
    """A number as a table holds it: earlier versions kept whatever an engine of others said."""
    try:
        return min(int(value), 2**31 - 1)
    except (TypeError, ValueError, OverflowError):
        return None


def _pages_to(pages: tuple[Page, ...]) -> list[list[Any]]:
    return [
        [page.number, page.width_px, page.height_px, page.confidence, list(map(_WORD, page.words))]
        for page in pages
    ]


def _pages_from(found: list[list[Any]]) -> tuple[Page, ...]:
    return tuple(
        Page(
            number,
            _held(width_px) or 0,
            _held(height_px) or 0,
            tuple(Word(text, tuple(map(tuple, corners)), sure) for text, sure, corners in words),
            confidence,
        )
        for number, width_px, height_px, confidence, words in found
    )


def _raw_to(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def _raw_from(found: str | dict[str, str]) -> bytes:
    return found.encode("utf-8") if isinstance(found, str) else base64.b64decode(found["base64"])


# An attempt is the list of its values, a word its text, confidence and polygon.
_ATTEMPT = attrgetter(*(one.name for one in fields(Attempt)))
_WORD = attrgetter("text", "confidence", "polygon")
_EVERY = Form(
    {
        "o": "ordinal",
        "id": "id",
        "key": "key",
        "sha": "sha256",
        "engine": "engine",
        "at": "at_s",
        "attempts": "attempts",
        "copied": "copied",
    },
    {"attempts": (lambda attempts: list(map(_ATTEMPT, attempts)), _attempts_from)},
)
_FAILED = Form(
    {"failure": "failure", "message": "message", "retryable": "retryable"},
    {"failure": (str, FailureClass), "message": (str, str)},
)
_LABELLED = Form(
    {
        "pages": "pages",
        "model": "model_version",
        "latency": "latency_s",
        "billed": "billed_pages",
        "raw": "raw",
    },
    {
        "pages": (_pages_to, _pages_from),
        "billed_pages": (int, lambda billed: _held(billed) or 0),
        "raw": (_raw_to, _raw_from),
    },
)


def to_json(record: Record) -> dict[str, Any]:
    """One record as plain values."""
    if isinstance(record, Tried):
        return {"t": "tried", "key": record.key, "attempt": _ATTEMPT(record.attempt)}
    if isinstance(record, Failed):
        return _EVERY.write(record) | {"t": "failed"} | _FAILED.write(record)
    return _EVERY.write(record) | {"t": "labelled"} | _LABELLED.write(record)


def from_json(line: dict[str, Any]) -> Record:
    """The record of one line. Raises KeyError, TypeError or ValueError where it is none."""
    match line["t"]:
        case "tried":
            return Tried(line["key"], *_attempts_from([line["attempt"]]))
        case "failed":
            return Failed(**_EVERY.read(line), **_FAILED.read(line))
        case _:
            return Labelled(**_EVERY.read(line), **_LABELLED.read(line))


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
    record: Record
    saved: asyncio.Future[None] | None


class JournalWriter:
    """Writes records; `save` returns when the record is durable, `note` does not wait.

    wrote: is told batch, key and records of every object that is written.
    """

    def __init__(
        self,
        round_: Round,
        *,
        stop: Stop,
        give_up_after_s: float,
        wrote: Callable[[int, str, list[Record]], None],
    ) -> None:
        self._round = round_
        self._runtime = round_.runtime
        self._stop = stop
        self._wrote = wrote
        self._give_up_after_s = give_up_after_s
        self._waiting: dict[int, list[_Waiting]] = {}
        self._more = asyncio.Event()
        self._closing = False
        self._takes = asyncio.Event()
        self._takes.set()
        self._ended_by: BaseException | None = None

    @property
    def is_waiting(self) -> bool:
        """A put has failed, and none has succeeded since: what is paid for now may be lost."""
        return self._ended_by is not None or not self._takes.is_set()

    @property
    def unsaved(self) -> list[tuple[int, Record]]:
        """Batch and record of all that is not in the store."""
        return [(batch, one.record) for batch, ones in self._waiting.items() for one in ones]

    async def until_it_takes(self) -> None:
        """Return once a put has succeeded again. Raises what ended the writer."""
        await self._takes.wait()
        if self._ended_by is not None:
            raise self._ended_by

    def save(self, batch: int, record: Record) -> asyncio.Future[None]:
        """Done once the record is in the store. Raises what ended the writer before that."""
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(batch, _Waiting(record, saved))
        if self._ended_by is not None:
            _fail(saved, self._ended_by)
        return saved

    def note(self, batch: int, record: Record) -> None:
        """Write the record with the next put, without waiting for it."""
        self._add(batch, _Waiting(record, None))

    def _add(self, batch: int, one: _Waiting) -> None:
        self._waiting.setdefault(batch, []).append(one)
        self._more.set()

    def close(self) -> None:
        """Let `run` end once everything given so far is written."""
        self._closing = True
        self._more.set()

    async def run(self) -> None:
        """Write until closed. Raises Interrupted when the store took nothing for too long."""
        try:
            while not (self._closing and not self._waiting):
                await self._more.wait()
                self._more.clear()
                for batch in list(self._waiting):
                    await self._write(batch)
        except BaseException as error:
            # nobody may wait for a writer that has ended
            self._ended_by = error
            self._takes.set()
            for one in chain.from_iterable(self._waiting.values()):
                if one.saved is not None and not one.saved.done():
                    _fail(one.saved, error)
            raise

    async def _write(self, batch: int) -> None:
        ones = list(self._waiting[batch])
        await self._put(batch, [one.record for one in ones])
        del self._waiting[batch][: len(ones)]
        if not self._waiting[batch]:
            del self._waiting[batch]
        else:
            self._more.set()
        for one in ones:
            if one.saved is not None and not one.saved.done():
                one.saved.set_result(None)

    async def _put(self, batch: int, records: list[Record]) -> None:
        """Put one journal object, patiently: it may hold answers that were paid for."""
        key, data = journal_object(self._round, batch, self._runtime.me.worker, records)
        began_s = self._runtime.clock()
        for wait_s in chain(_STORE_RETRY_S, repeat(_STORE_RETRY_S[-1])):
            try:
                await self._runtime.store.put(key, data)
            except _NOT_NOW as error:
                self._takes.clear()
                if self._is_over(began_s):
                    raise Interrupted(f"the store took no more answers: {error}") from error
                notice = f"{error}; answers wait in memory, nothing is sent, trying again"
                self._runtime.emit(Notice("store", notice))
                await self._rest(wait_s)
            else:
                self._takes.set()
                self._wrote(batch, key, records)
                return

    def _is_over(self, began_s: float) -> bool:
        now_s = self._runtime.clock()
        if self._stop.draining:
            return now_s >= self._stop.grace_ends_s
        return now_s - began_s > self._give_up_after_s

    async def _rest(self, wait_s: float) -> None:
        if self._stop.draining:
            await self._runtime.sleep(_STORE_RETRY_S[0])
            return
        with contextlib.suppress(Draining):
            await self._stop.nap(self._runtime.sleep, wait_s)


def _fail(saved: asyncio.Future[None], error: BaseException) -> None:
    saved.set_exception(error)
    saved.exception()  # whoever waited for it may have been cancelled: that is no fault


def journal_object(
    round_: Round, batch: int, worker: str, records: Sequence[Record]
) -> tuple[str, bytes]:
    """Key and bytes of one object: named by its writer and its bytes."""
    data = encode_records(records)
    return round_.keys.journal(batch, worker, hashlib.sha256(data).hexdigest()[:32]), data


@dataclass(slots=True)
class BatchJournal:
    """What the journal of one batch says: the best outcome per row, and every attempt per key."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    by_key: dict[str, Outcome] = field(default_factory=dict)
    tried: dict[str, tuple[Attempt, ...]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False, repr=False)

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

    def settled(self) -> dict[int, Outcome]:
        """The outcome of every row, and in one row of each image every attempt for it.

        Two rows of one image may both have been asked for, by workers that did not see each other:
        the better one carries what was asked and billed, the other is a copy.
        """
        asked: dict[str, Outcome] = {}
        for ordinal in sorted(self.outcomes):
            one = self.outcomes[ordinal]
            if one.key and not one.copied:
                asked[one.key] = better(asked.get(one.key, one), one)
        settled = dict(self.outcomes)
        for ordinal, one in self.outcomes.items():
            if one.key and not one.copied:
                is_asked = asked[one.key].ordinal == ordinal
                attempts = self.tried[one.key] if is_asked else ()
                settled[ordinal] = replace(one, attempts=attempts, copied=not is_asked)
        return settled


async def read_journal(round_: Round, batch: int) -> BatchJournal:
    """All that is in the journal of a batch."""
    journal = BatchJournal()
    await refresh(round_, batch, journal)
    return journal


async def refresh(round_: Round, batch: int, journal: BatchJournal) -> None:
    """Read the journal objects of a batch that were not read yet.

    Objects that go while they are read are passed over: only a finished merge deletes them, so
    whoever misses something in the journal finds it in the batch's checkpoint.
    """
    runtime = round_.runtime
    there = {one.key async for one in stored_under(runtime, round_.keys.journal_of(batch))}
    fresh = sorted(there - journal.seen)

    async def read(key: str) -> bytes | None:
        try:
            return await runtime.store.get(key)
        except NotStored:
            return None

    for start in range(0, len(fresh), _READ_AT_ONCE):
        some = fresh[start : start + _READ_AT_ONCE]
        found = await asyncio.gather(*map(read, some))
        for key, data in zip(some, found, strict=True):
            if data is not None:
                journal.add(decode_records(data, where=f"{runtime.store.url}/{key}"))
                journal.seen.add(key)


async def journal_objects(round_: Round) -> dict[int, int]:
    """How many objects the journal of every batch has, of those that have one."""
    prefix = round_.keys.journals
    counts: dict[int, int] = defaultdict(int)
    async for stored in stored_under(round_.runtime, prefix):
        counts[int(stored.key.removeprefix(prefix).partition("/")[0])] += 1
    return counts


class JournalCache:
    """Keeps the journals of the last few batches; others are read again when they are needed."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._journals: OrderedDict[int, BatchJournal] = OrderedDict()

    async def fresh(self, batch: int) -> BatchJournal:
        """The journal of a batch with everything that is in it now."""
        journal = self.begin(batch)
        async with journal.reading:  # whoever waits here finds nothing left to read
            await refresh(self._round, batch, journal)
        return journal

    def begin(self, batch: int) -> BatchJournal:
        """The journal of a batch as far as it is known here, to be filled by `wrote`."""
        journal = self._journals.setdefault(batch, BatchJournal())
        self._journals.move_to_end(batch)
        while len(self._journals) > _CACHED_BATCHES:
            self._journals.popitem(last=False)
        return journal

    def wrote(self, batch: int, key: str, records: list[Record]) -> None:
        """Take in what this worker has just written itself, without reading it back."""
        journal = self._journals.get(batch)
        if journal is not None:
            journal.add(records)
            journal.seen.add(key)

    def drop(self, batch: int) -> None:
        """Forget a batch whose checkpoint is written."""
        self._journals.pop(batch, None)
