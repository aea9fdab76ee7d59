"""What there is of a run that is not finished: its partial tables, and its word in run.json."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.errors import Interrupted, OcrLabelError, StoreUnavailable
from ocrlabel.pipeline.leases.leases import Closed, Free, LeaseMark, Leases
from ocrlabel.pipeline.merge.merge import MERGE, record_now, table_info, write_over_own
from ocrlabel.pipeline.merge.result_tables import write_tables
from ocrlabel.pipeline.merge.run_record import RUN_RECORD, RunRecord, is_complete, read_record
from ocrlabel.pipeline.progress import read_progress
from ocrlabel.pipeline.run_context import Run, RunInput
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.journal import read_journal
from ocrlabel.pipeline.workers.heartbeat import Heartbeats

A_PART = "a part of the rows"
"""run.json's reason of a run that did all it was asked to, which was not every row."""
_LAST_WORDS_S = 5.0
_LEASE_S = 2 * _LAST_WORDS_S
"""Longer than the words may take; short, because a merger waits for it should this worker die."""
_LOOK_S = 0.5
_LONGEST_S = 600.0
"""For partial tables, where no signal wants the process to end."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What there is of a run that ended early. until_s: how long its process may take (clock).

    record: its run.json, where the partial tables are written; None where no time was left for it.
    """

    record: RunRecord | None
    until_s: float


async def hand_over(
    run: Run, dataset: RunInput, scratch: Path, stop: Stop, error: OcrLabelError
) -> None:
    """Write partial tables in the time that remains, and tell by the error what became of it.

    Only the last worker does, and none on a machine that is about to go away.
    """
    clock = run.runtime.clock
    until_s = stop.grace_ends_s if isinstance(error, Interrupted) else clock() + _LONGEST_S
    with contextlib.suppress(OcrLabelError):  # what ended the run is told anyway
        others = await Heartbeats(run, duration_s=run.options.lease_s).others_alive()
        record = await read_record(run)
        if others or record is None or record.complete or not record.labelled + record.failed:
            return
        error.handed_over = HandedOver(None, until_s)
        if isinstance(error, StoreUnavailable) or (run.options.job and stop.draining):
            return
        if await _in_time(_write_tables(run, dataset, scratch), stop, until_s, clock):
            error.handed_over = HandedOver(record, until_s)


async def _in_time(
    work: Coroutine[Any, Any, None], stop: Stop, until_s: float, clock: Callable[[], float]
) -> bool:
    """Do the work, but give it up then, and when a signal wants it sooner. True: it is done."""
    task, before_s = asyncio.ensure_future(work), stop.grace_ends_s
    try:
        while not task.done():
            ends_s = until_s if stop.grace_ends_s == before_s else stop.grace_ends_s
            if (left_s := ends_s - clock()) <= 0:
                return False
            await asyncio.wait({task}, timeout=min(left_s, _LOOK_S))
        task.result()
        return True
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def record_unfinished(run: Run, reason: str) -> None:
    """Write run.json of an unfinished run, if there is time for it."""
    with contextlib.suppress(OcrLabelError, TimeoutError):  # what ended the run is told anyway
        await asyncio.wait_for(_record_so_far(run, reason), _LAST_WORDS_S)


async def write_partial(
    run: Run, dataset: RunInput, scratch: Path, *, reason: str = A_PART
) -> RunRecord:
    """Write what there is so far under the partial tables' names, marked incomplete."""
    await _write_tables(run, dataset, scratch)
    return await _record_so_far(run, reason)


async def _write_tables(run: Run, dataset: RunInput, scratch: Path) -> None:
    info = table_info(run) | {"complete": "false"}
    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    await write_tables(
        _rows_so_far(run, dataset), info, labels_path=labels_path, failures_path=failures_path
    )
    layout = run.layout
    tables = {layout.partial_labels_key: labels_path, layout.partial_failures_key: failures_path}
    await write_over_own(run, tables)


async def _record_so_far(run: Run, reason: str) -> RunRecord:
    """run.json of an unfinished run, written; of a finished one it stays as it is.

    It is written under the merge's lease: nobody merges between the look and the writing, so it
    can never take the place of a finished run's.
    """
    record: RunRecord | None = None
    leases = Leases(run.round(), duration_s=_LEASE_S)
    while True:
        there = await read_record(run)
        if there is not None and there.complete:
            return there
        if record is None:
            found = await read_progress(run)
            record = await record_now(
                run, found.tally, found.account, complete=False, reason=reason
            )
        match await leases.look(MERGE):
            case Closed():
                return record  # it was merged once: whoever comes next merges it again
            case Free() as free:
                if await _put_under_lease(run, leases, free, record):
                    return record
            case _:
                await run.runtime.sleep(_LOOK_S)


async def _put_under_lease(run: Run, leases: Leases, free: Free, record: RunRecord) -> bool:
    """False when somebody else was first, or has finished the run meanwhile."""
    lease = await leases.claim(MERGE, free)
    if lease is None:
        return False
    unfinished = not await is_complete(run)
    if written := unfinished and lease.valid(run.runtime.clock()):
        await run.runtime.store.put(run.layout.run_key, RUN_RECORD.encode(record))
    await leases.give_back(lease, LeaseMark.RELEASED)
    return written


async def _rows_so_far(run: Run, dataset: RunInput) -> AsyncIterator[Sequence[Settled]]:
    metas = await checkpoint_metas(run)
    for batch in range(run.plan.batches):
        if (batch, 0) in metas:
            yield await Checkpoints(run.round()).read(batch)
            continue
        journal = await read_journal(run.round(), batch)
        if journal.outcomes:
            whole = run.plan.batch_range(batch)
            refs = await asyncio.to_thread(dataset.refs, whole.start, whole.stop)
            yield [
                Settled(ref, journal.with_all_attempts(journal.outcomes[ref.ordinal]))
                for ref in refs
                if ref.ordinal in journal.outcomes
            ]
