"""Finished batches: written once, put if absent, with the run's id inside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ocrlabel.dataset.checkpoint_table import (
    Settled,
    decode_checkpoint,
    encode_checkpoint,
    read_meta,
)
from ocrlabel.errors import RunMismatch
from ocrlabel.pipeline.account import (
    account_to_json,
    of_outcomes,
    tally_of,
    tally_to_json,
)
from ocrlabel.pipeline.layout import Layout
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.world import World


class Checkpoints:
    """Writes, lists and reads the checkpoints of one run."""

    def __init__(self, world: World, layout: Layout, plan: Plan) -> None:
        self._world = world
        self._layout = layout
        self._plan = plan

    async def write(self, batch: int, rows: Sequence[Settled], *, retry: int = 0) -> None:
        """Write a finished batch unless it is there. Raises RunMismatch for another run's."""
        outcomes = [row.outcome for row in rows]
        meta = {
            "run_id": self._plan.run_id,
            "batch": batch,
            "retry": retry,
            "tally": tally_to_json(tally_of(outcomes)),
            "account": account_to_json(of_outcomes(outcomes)),
        }
        data = await asyncio.to_thread(encode_checkpoint, rows, meta)
        key = self._layout.checkpoint_key(batch, retry)
        while not await self._world.store.put_if_absent(key, data):
            if await self._ours(key):
                return
            # what the replaced run left behind, or wrote while it was being replaced
            await self._world.store.delete([key])

    async def _ours(self, key: str) -> bool:
        """True: this run's. False: of the run that this one replaced. Else RunMismatch."""
        run_id = (await self.meta(key)).get("run_id")
        if run_id == self._plan.run_id:
            return True
        if self._plan.replaces and run_id == self._plan.replaces:
            return False
        raise RunMismatch(
            f"{self._where(key)} belongs to run {run_id}, this is run {self._plan.run_id}\n"
            "  use another --output (or --checkpoint-prefix), or move that file away"
        )

    async def listed(self) -> dict[tuple[int, int], str]:
        """Keys of this run's checkpoints by (batch, retry)."""
        keys = {}
        async for stored in self._world.store.list(self._layout.checkpoints_prefix):
            place = self._layout.parse_checkpoint(stored.key)
            if place is not None:
                keys[place] = stored.key
        if self._plan.replaces:
            for place, key in list(keys.items()):
                if not await self._ours(key):
                    del keys[place]
        return keys

    async def read(self, key: str) -> list[Settled]:
        """The rows of one checkpoint. Raises RunMismatch when it is another run's."""
        data = await self._world.store.get(key)
        rows, meta = await asyncio.to_thread(decode_checkpoint, data, where=self._where(key))
        if meta.get("run_id") != self._plan.run_id:
            raise RunMismatch(
                f"{self._where(key)} belongs to run {meta.get('run_id')},"
                f" this is run {self._plan.run_id}\n  use another --checkpoint-prefix"
            )
        return rows

    async def meta(self, key: str) -> dict[str, Any]:
        """The metadata of one checkpoint, from its footer."""

        def read() -> dict[str, Any]:
            with self._world.store.open(key) as file:
                return read_meta(file, where=self._where(key))

        return await asyncio.to_thread(read)

    def _where(self, key: str) -> str:
        return f"{self._world.store.url.rstrip('/')}/{key}"
