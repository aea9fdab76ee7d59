"""What there is of a run that is not finished: its partial tables, and its word in run.json."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.merging.finish import read_record, run_record, sessions_of_run, table_info
from ocrlabel.pipeline.merging.merge import write_tables
from ocrlabel.pipeline.merging.record import encode_record
from ocrlabel.pipeline.saved.journal import BatchView, refresh
from ocrlabel.pipeline.survey import survey
from ocrlabel.pipeline.tools import Tools

A_PART = "a part of the rows"
"""run.json's reason of a run that did all it was asked to, which was not every row."""

_LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. told: run.json. already: it was done before. partial: rows were left out.

    labels_key and failures_key name the tables that were written, partial ones included.
    """

    told: Mapping[str, Any]
    labels_key: str
    failures_key: str
    already: bool = False
    partial: bool = False


async def say_unfinished(tools: Tools, reason: str) -> None:
    """Write run.json of an unfinished run, if there is time for it."""

    async def write() -> None:
        there = await read_record(tools)
        if there is None or not there.complete:
            await _write_record(tools, reason)

    with contextlib.suppress(StoreUnavailable, TimeoutError):
        await asyncio.wait_for(write(), _LAST_WORDS_S)


async def write_partial(tools: Tools, scratch: Path) -> Result:
    """Write what there is so far under the partial tables' names, marked incomplete."""
    info = table_info(tools) | {"complete": "false"}
    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    await write_tables(
        _rows_so_far(tools), info, labels_path=labels_path, failures_path=failures_path
    )
    layout = tools.layout
    await tools.world.store.upload(layout.partial_labels_key, labels_path)
    await tools.world.store.upload(layout.partial_failures_key, failures_path)
    told = await _told_so_far(tools)
    return Result(told, layout.partial_labels_key, layout.partial_failures_key, partial=True)


async def _told_so_far(tools: Tools) -> Mapping[str, Any]:
    """run.json of an unfinished run, written; of a finished one it stays as it is."""
    there = await read_record(tools)
    if there is not None and there.complete:
        return there.told
    told: Mapping[str, Any] = json.loads(await _write_record(tools, A_PART))
    return told


async def _write_record(tools: Tools, reason: str) -> bytes:
    found = await survey(tools.world, tools.plan, tools.checkpoints, tools.keys(0))
    sessions = await sessions_of_run(tools)
    record = run_record(
        tools,
        found.tally,
        found.account,
        sessions,
        retries=0,
        complete=False,
        reason=reason,
    )
    data = encode_record(record, beyond={})
    await tools.world.store.put(tools.layout.run_key, data)
    return data


async def _rows_so_far(tools: Tools) -> AsyncIterator[Sequence[Settled]]:
    metas = await tools.checkpoints.survey()
    for batch in range(tools.plan.batches):
        if (batch, 0) in metas:
            yield await tools.checkpoints.read(batch)
            continue
        view = BatchView()
        await refresh(tools.world, tools.keys(0), batch, view)
        if view.outcomes:
            whole = tools.plan.batch_range(batch)
            refs = await asyncio.to_thread(tools.dataset.refs, whole.start, whole.stop)
            yield [
                Settled(ref, view.with_all_attempts(view.outcomes[ref.ordinal]))
                for ref in refs
                if ref.ordinal in view.outcomes
            ]
