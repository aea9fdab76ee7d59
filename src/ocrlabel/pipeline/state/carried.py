"""What a run has of the one it grew out of: its answers, by image key, and what its rows were.

All of it is written under the new run's id before that run takes the other's place, and nothing of
it is changed then. Answers lie in checkpoints as they were, named by the digest of their bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce

from ocrlabel.dataset.checkpoint_table import (
    Known,
    Settled,
    decode_checkpoint,
    encode_checkpoint,
    read_known,
)
from ocrlabel.labels import Failed, ImageRef, Outcome
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.codec import Codec
from ocrlabel.pipeline.state.journal import better
from ocrlabel.pipeline.state.layout import stored_under

SHA256_DIGITS = 16
_DECODED = 4
_ROWS = 2**32


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of an input that has grown, by id, and how many are gone from it.

    rows: the first digits of the sha256 that the bytes had before; "" where nobody knows them,
    None where the row is new.
    """

    rows: Mapping[str, str | None] = field(default_factory=dict)
    gone: int = 0

    def said_of(self, id_: str, sha256: str) -> str:
        """Whether a row is "new", "changed" or "kept", now that its bytes are known."""
        if (before := self.rows.get(id_)) is None:
            return "new"
        return "kept" if not before or not sha256 or sha256.startswith(before) else "changed"


LISTING = Codec(Listing)


async def read_listing(run: Run) -> Listing:
    """The listing of a run that has grown."""
    key = run.keys.listing
    return LISTING.decode(await run.runtime.store.get(key), where=run.runtime.where(key))


async def carry(run: Run, data: bytes) -> None:
    """Keep the answers of a checkpoint for a run."""
    key = f"{run.keys.carried}{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    await run.runtime.store.put(key, data)


async def carry_outcomes(run: Run, outcomes: Sequence[Outcome]) -> None:
    """Keep answers that are in no checkpoint."""
    if outcomes:
        rows = [Settled(ImageRef(one.ordinal, one.id, ""), one) for one in outcomes]
        await carry(run, await asyncio.to_thread(encode_checkpoint, rows, {}))


async def known_at(run: Run, key: str) -> list[Known]:
    """What the checkpoint under a key knows of its rows."""
    return await run.runtime.read_file(key, partial(read_known, where=run.runtime.where(key)))


def known_of(outcome: Outcome) -> Known:
    """The same of an outcome that is in no checkpoint."""
    failure, for_good = "", True
    if isinstance(outcome, Failed):
        failure, for_good = outcome.failure.value, not outcome.retryable
    return Known(outcome.id, outcome.key, outcome.sha256, bool(outcome.key) and for_good, failure)


async def carried_objects(run: Run) -> AsyncIterator[tuple[str, list[Known]]]:
    """Every object with answers that a run carries, and what it knows."""
    keys = [stored.key async for stored in stored_under(run.runtime, run.keys.carried)]
    for key in sorted(keys):
        yield key, await known_at(run, key)


def add_answered(answered: dict[str, str], known: Iterable[Known]) -> None:
    """Add image keys with an answer, each with the class of a failure, "" for a label."""
    for one in known:
        if one.answered:  # of one image, a label counts
            answered[one.key] = min(one.failure, answered.get(one.key, one.failure))


async def carried_keys(run: Run) -> dict[str, str]:
    """The image keys with an answer that a run carries, as above."""
    answered: dict[str, str] = {}
    async for _, known in carried_objects(run):
        add_answered(answered, known)
    return answered


class CarriedAnswers:
    """The answers that a run carries, by image key: some 200 bytes of memory each."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._objects: list[str] = []
        self._places: dict[int, tuple[int, ...]] = {}
        self._decoded: OrderedDict[int, list[Settled]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> CarriedAnswers:
        """Find out what there is."""
        async for key, known in carried_objects(self._run):
            for row, one in enumerate(known, len(self._objects) * _ROWS):
                if one.answered:
                    hashed = hash(one.key)
                    self._places[hashed] = (*self._places.get(hashed, ()), row)
            self._objects.append(key)
        return self

    async def find(self, key: str) -> Outcome | None:
        """The best answer to an image. Raises RunMismatch where it cannot be read."""
        found = [await self._outcome(place) for place in self._places.get(hash(key), ())]
        same = [one for one in found if one.key == key]
        return reduce(better, same) if same else None

    async def _outcome(self, place: int) -> Outcome:
        number, row = divmod(place, _ROWS)
        async with self._one_at_a_time:
            if number not in self._decoded:
                key, runtime = self._objects[number], self._run.runtime
                data = await runtime.store.get(key)
                where = runtime.where(key)
                rows, _ = await asyncio.to_thread(decode_checkpoint, data, where=where)
                self._decoded[number] = rows
                if len(self._decoded) > _DECODED:
                    self._decoded.popitem(last=False)
            self._decoded.move_to_end(number)
            return self._decoded[number][row].outcome
