"""What there is of a run that is not finished: its partial tables, and its word in run.json."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.errors import OcrLabelError
from ocrlabel.pipeline.leases.leases import Closed, Free, Leases, LeaseState
from ocrlabel.pipeline.merge.merge import MERGE, run_record, sessions_of_run, table_info
from ocrlabel.pipeline.merge.result_tables import write_tables
from ocrlabel.pipeline.merge.run_record import encode_record, read_record
from ocrlabel.pipeline.run_context import Tools
from ocrlabel.pipeline.state.journal import BatchView, refresh
from ocrlabel.pipeline.survey import survey
from ocrlabel.pipeline.workers.limits import limits_of

A_PART = "a part of the rows"
_LAST_WORDS_S = 5.0
_LEASE_S = 2 * _LAST_WORDS_S
_LOOK_S = 0.5
"""run.json's reason of a run that did all it was asked to, which was not every row."""
"""Longer than the words may take; short, because a merger waits for it should this worker die."""


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
    with contextlib.suppress(OcrLabelError, TimeoutError):  # what ended the run is told anyway
        await asyncio.wait_for(_told_so_far(tools, reason), _LAST_WORDS_S)


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
    told = await _told_so_far(tools, A_PART)
    return Result(told, layout.partial_labels_key, layout.partial_failures_key, partial=True)


async def _told_so_far(tools: Tools, reason: str) -> Mapping[str, Any]:
    """run.json of an unfinished run, written; of a finished one it stays as it is.

    It is written under the merge's lease: nobody merges between the look and the writing, so it
    can never take the place of a finished run's.
    """
    data: bytes | None = None
    leases = Leases(tools.world, tools.keys(0), duration_s=_LEASE_S)
    while True:
        there = await read_record(tools.world, tools.layout, tools.plan)
        if there is not None and there.complete:
            return there.told
        if data is None:
            data = await _record_so_far(tools, reason)
        match await leases.look(MERGE):
            case Closed():
                break  # it was merged once: whoever comes next merges it again
            case Free() as free:
                if await _put_under_lease(tools, leases, free, data):
                    break
            case _:
                await tools.world.sleep(_LOOK_S)
    told: Mapping[str, Any] = json.loads(data)
    return told


async def _put_under_lease(tools: Tools, leases: Leases, free: Free, data: bytes) -> bool:
    """False when somebody else was first, or has finished the run meanwhile."""
    lease = await leases.claim(MERGE, free)
    if lease is None:
        return False
    there = await read_record(tools.world, tools.layout, tools.plan)
    unfinished = there is None or not there.complete
    if written := unfinished and lease.valid(tools.world.clock()):
        await tools.world.store.put(tools.layout.run_key, data)
    await leases.give_back(lease, LeaseState.RELEASED)
    return written


async def _record_so_far(tools: Tools, reason: str) -> bytes:
    found = await survey(tools.world, tools.plan, tools.checkpoints, tools.keys(0))
    sessions = await sessions_of_run(tools)
    record = run_record(
        tools,
        found.tally,
        found.account,
        sessions,
        await limits_of(tools.world, tools.keys(0)),
        retries=0,
        complete=False,
        reason=reason,
    )
    return encode_record(record)


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
