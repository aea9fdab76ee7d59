"""Finished batches: written once, put if absent, with the run's id inside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ocrlabel.dataset.checkpoint_table import (
    Settled,
    decode_checkpoint,
    encode_checkpoint,
    read_attempts,
    read_meta,
)
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import account_to_json, of_outcomes, tally_of, tally_to_json
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.storage.base import NotStored

_FOOTERS_AT_ONCE = 16
_AT_ONCE = 500


class Checkpoints:
    """Writes, lists and reads the checkpoints of one run."""

    def __init__(self, world: World, layout: Layout, plan: Plan) -> None:
        self._world = world
        self._layout = layout
        self._plan = plan

    async def write(
        self, batch: int, rows: Sequence[Settled], *, retry: int = 0, journal_objects: int = 0
    ) -> None:
        """Write a finished batch unless it is there. Raises RunMismatch for another run's.

        journal_objects: how many were read for it; the merge looks again where there are more.
        """
        outcomes = [row.outcome for row in rows]
        meta = {
            "run_id": self._plan.run_id,
            "batch": batch,
            "retry": retry,
            "journal_objects": journal_objects,
            "tally": tally_to_json(tally_of(outcomes)),
            "account": account_to_json(of_outcomes(outcomes)),
        }
        data = await asyncio.to_thread(encode_checkpoint, rows, meta)
        key = self._layout.checkpoint_key(batch, retry)
        while not await self._world.store.put_if_absent(key, data):
            there = await self._meta_if_there(key)
            if there is None:
                continue  # it was left by a replaced run, and somebody has cleared it away
            if self._is_ours(key, there):
                return
            # what the replaced run left behind, or wrote while it was being replaced
            await self._world.store.delete([key])

    def _is_ours(self, key: str, meta: Mapping[str, Any]) -> bool:
        """True: this run's. False: of a run that this one replaced. Else RunMismatch."""
        run_id = meta.get("run_id")
        if run_id == self._plan.run_id:
            return True
        if run_id in self._plan.replaces:
            return False
        raise RunMismatch(
            f"{self._where(key)} belongs to run {run_id}, this is run {self._plan.run_id}\n"
            "  use another --output (or --checkpoint-prefix), or move that file away"
        )

    async def survey(self) -> dict[tuple[int, int], dict[str, Any]]:
        """The metadata of every checkpoint of this run, by (batch, retry).

        Checkpoints of a replaced run are passed over. Raises RunMismatch for those of a run that
        has nothing to do with this one: better now than after a batch was paid for.
        """
        places = {}
        async for stored in self._world.store.list(self._layout.checkpoints_prefix):
            place = self._layout.parse_checkpoint(stored.key)
            if place is not None:
                places[place] = stored.key
        found: dict[tuple[int, int], dict[str, Any]] = {}
        order = sorted(places)
        for start in range(0, len(order), _FOOTERS_AT_ONCE):
            some = order[start : start + _FOOTERS_AT_ONCE]
            metas = await asyncio.gather(*(self._meta_if_there(places[place]) for place in some))
            read = [(p, meta) for p, meta in zip(some, metas, strict=True) if meta is not None]
            found |= {p: meta for p, meta in read if self._is_ours(places[p], meta)}
        return found

    async def clear_replaced(self) -> None:
        """Delete the checkpoints that replaced runs left."""
        if not self._plan.replaces:
            return
        async for stored in self._world.store.list(self._layout.checkpoints_prefix):
            if self._layout.parse_checkpoint(stored.key) is None:
                continue
            meta = await self._meta_if_there(stored.key)
            if meta is not None and not self._is_ours(stored.key, meta):
                await self._world.store.delete([stored.key])

    async def read(self, batch: int, retry: int = 0) -> list[Settled]:
        """The rows of one checkpoint. Raises RunMismatch when it is another run's."""
        key = self._layout.checkpoint_key(batch, retry)
        data = await self._world.store.get(key)
        rows, meta = await asyncio.to_thread(decode_checkpoint, data, where=self._where(key))
        if not self._is_ours(key, meta):
            raise RunMismatch(f"{self._where(key)} is left over from a replaced run; run again")
        return rows

    async def attempts(self, batch: int, retry: int = 0) -> list[tuple[str, tuple[Attempt, ...]]]:
        """What was asked for every image key of one checkpoint, read without the answers."""
        key = self._layout.checkpoint_key(batch, retry)

        def read() -> list[tuple[str, tuple[Attempt, ...]]]:
            with self._world.store.open(key) as file:
                return read_attempts(file, where=self._where(key))

        return await asyncio.to_thread(read)

    async def exists(self, batch: int, retry: int = 0) -> bool:
        """Whether the checkpoint is written, by this run."""
        key = self._layout.checkpoint_key(batch, retry)
        async for stored in self._world.store.list(key):
            if stored.key == key:
                meta = await self._meta_if_there(key)
                return meta is not None and self._is_ours(key, meta)
        return False

    async def _meta_if_there(self, key: str) -> dict[str, Any] | None:
        """None when another worker has cleared it away since it was listed."""
        try:
            return await self.meta(key)
        except NotStored:
            return None

    async def meta(self, key: str) -> dict[str, Any]:
        """The metadata of one checkpoint, from its footer."""

        def read() -> dict[str, Any]:
            with self._world.store.open(key) as file:
                return read_meta(file, where=self._where(key))

        return await asyncio.to_thread(read)

    def _where(self, key: str) -> str:
        return f"{self._world.store.url.rstrip('/')}/{key}"


async def delete_below(world: World, prefix: str) -> None:
    """Delete every object whose key starts with the prefix."""
    keys = [stored.key async for stored in world.store.list(prefix)]
    for start in range(0, len(keys), _AT_ONCE):
        await world.store.delete(keys[start : start + _AT_ONCE])
