"""Finished batches of a round: each written once, put if absent, with the run's id inside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ocrlabel.dataset.checkpoint_table import (
    Settled,
    decode_checkpoint,
    encode_checkpoint,
    read_attempts,
    read_meta,
)
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Attempt, Tally
from ocrlabel.pipeline.budget.account import Account, of_outcomes, tally_of
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.codec import Codec
from ocrlabel.pipeline.state.layout import not_ours, stored_under
from ocrlabel.storage.base import NotStored

_FOOTERS_AT_ONCE = 16
_DELETED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CheckpointMeta:
    """What the footer says. journal_objects: how many journal objects it was made from."""

    run_id: str = ""
    batch: int = 0
    retry: int = 0
    journal_objects: int = 0
    tally: Tally = field(default_factory=Tally)
    account: Account = field(default_factory=Account)


_META = Codec(CheckpointMeta)


class Checkpoints:
    """Writes and reads the checkpoints of one round."""

    def __init__(self, round_: Round) -> None:
        self._run = round_.run
        self._number = round_.number
        self._store = round_.runtime.store

    def _key(self, batch: int) -> str:
        return self._run.layout.checkpoint_key(batch, self._number)

    async def write(self, batch: int, rows: Sequence[Settled], *, journal_objects: int = 0) -> None:
        """Write a finished batch unless it is there. Raises RunMismatch for another run's.

        journal_objects: how many were read for it; the merge looks again where there are more.
        """
        outcomes = [row.outcome for row in rows]
        meta = CheckpointMeta(
            run_id=self._run.plan.run_id,
            batch=batch,
            retry=self._number,
            journal_objects=journal_objects,
            tally=tally_of(outcomes),
            account=of_outcomes(outcomes),
        )
        data = await asyncio.to_thread(encode_checkpoint, rows, _META.to_json(meta))
        key = self._key(batch)
        while not await self._store.put_if_absent(key, data):
            there = await _meta_if_there(self._run, key)
            if there is None:
                continue  # it was left by a replaced run, and somebody has cleared it away
            if _is_ours(self._run, key, there):
                return
            # what the replaced run left behind, or wrote while it was being replaced
            await self._store.delete([key])

    async def read(self, batch: int) -> list[Settled]:
        """The rows of one checkpoint. Raises RunMismatch when it is another run's."""
        key = self._key(batch)
        where = self._run.runtime.where(key)
        rows, meta = await asyncio.to_thread(
            decode_checkpoint, await self._store.get(key), where=where
        )
        if not _is_ours(self._run, key, _META.from_json(meta, where=where)):
            raise RunMismatch(f"{where} is left over from a replaced run; run again")
        if "digest" not in meta:
            old = f"{where} was written by an earlier version, without a digest to check it by"
            self._run.runtime.tell_once("digest", old, about="digest")
        return rows

    async def attempts(self, batch: int) -> list[tuple[str, tuple[Attempt, ...]]]:
        """What was asked for every image key of one checkpoint, without the answers."""
        key = self._key(batch)
        data, where = await self._store.get(key), self._run.runtime.where(key)
        return await asyncio.to_thread(read_attempts, data, where=where)

    async def exists(self, batch: int) -> bool:
        """Whether the checkpoint is written, by this run."""
        key = self._key(batch)
        async for stored in self._store.list(key):
            if stored.key == key:
                meta = await _meta_if_there(self._run, key)
                return meta is not None and _is_ours(self._run, key, meta)
        return False


async def checkpoint_metas(run: Run) -> dict[tuple[int, int], CheckpointMeta]:
    """The metadata of every checkpoint of a run, by (batch, round).

    Checkpoints of a replaced run are passed over. Raises RunMismatch for those of a run that
    has nothing to do with this one: better now than after a batch was paid for.
    """
    places = {}
    async for stored in run.runtime.store.list(run.layout.checkpoints_prefix):
        place = run.layout.parse_checkpoint(stored.key)
        if place is not None:
            places[place] = stored.key
        elif stored.key.removeprefix(run.layout.checkpoints_prefix)[:1].isdigit():
            not_ours(run.runtime, stored.key)
    found: dict[tuple[int, int], CheckpointMeta] = {}
    order = sorted(places)
    for start in range(0, len(order), _FOOTERS_AT_ONCE):
        some = order[start : start + _FOOTERS_AT_ONCE]
        metas = await asyncio.gather(*(_meta_if_there(run, places[place]) for place in some))
        read = [(p, meta) for p, meta in zip(some, metas, strict=True) if meta is not None]
        found |= {p: meta for p, meta in read if _is_ours(run, places[p], meta)}
    return found


async def clear_replaced_checkpoints(run: Run) -> None:
    """Delete the checkpoints that the runs left which this one replaced."""
    async for stored in run.runtime.store.list(run.layout.checkpoints_prefix):
        if run.layout.parse_checkpoint(stored.key) is None:
            continue
        meta = await _meta_if_there(run, stored.key)
        if meta is not None and not _is_ours(run, stored.key, meta):
            await run.runtime.store.delete([stored.key])


def _is_ours(run: Run, key: str, meta: CheckpointMeta) -> bool:
    """True: this run's. False: of a run that this one replaced. Else RunMismatch."""
    if meta.run_id == run.plan.run_id:
        return True
    if meta.run_id in run.plan.replaces:
        return False
    raise RunMismatch(
        f"{run.runtime.where(key)} belongs to run {meta.run_id}, this is run {run.plan.run_id}\n"
        "  use another --output (or --checkpoint-prefix), or move that file away"
    )


async def _meta_if_there(run: Run, key: str) -> CheckpointMeta | None:
    """From the footer alone; None when another worker has cleared it away since it was listed."""
    where = run.runtime.where(key)
    try:
        meta = await run.runtime.read_file(key, partial(read_meta, where=where))
    except NotStored:
        return None
    return _META.from_json(meta, where=where)


async def delete_below(runtime: Runtime, prefix: str) -> None:
    """Delete every object of a run whose key starts with the prefix."""
    keys = [stored.key async for stored in stored_under(runtime, prefix)]
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        await runtime.store.delete(keys[start : start + _DELETED_AT_ONCE])
