"""What there is of a run that is not finished: its partial tables, and its word in run.json."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.errors import OcrLabelError, StoreUnavailable
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

T = TypeVar("T")
A_PART = "a part of the rows"
"""run.json's reason of a run that did all it was asked to, which was not every row."""
_LAST_WORDS_S = 5.0
_LEASE_S = 2 * _LAST_WORDS_S
"""Longer than the words may take; short, because a merger waits for it should this worker die."""
_LOOK_S = 0.5
_LOOKED_S = 2.0
"""To see what there is to hand over, also where the grace is over."""
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
    run: Run,
    dataset: RunInput,
    scratch: Path,
    stop: Stop,
    error: OcrLabelError,
    *,
    until_s: float | None = None,
) -> None:
    """Write run.json and, in the time that remains, partial tables; the error says what became.

    Only the last worker writes them, and none that a signal ends on a machine that goes away.
    until_s: where a signal or a deadline ends it, until when (clock).
    """
    clock = run.runtime.clock
    ends_s = clock() + _LONGEST_S if until_s is None else until_s
    await record_unfinished(run, str(error))
    if isinstance(error, StoreUnavailable):
        error.handed_over = HandedOver(None, ends_s)
        return
    with contextlib.suppress(OcrLabelError):  # what ended the run is told anyway
        record = await _in_time(_to_hand_over(run), stop, max(ends_s, clock() + _LOOKED_S), clock)
        if record is None:
            return
        error.handed_over = HandedOver(None, ends_s)
        goes_away = bool(run.options.job) and until_s is not None
        if not goes_away and await _in_time(
            _write_tables(run, dataset, scratch), stop, ends_s, clock
        ):
            error.handed_over = HandedOver(record, ends_s)


async def _to_hand_over(run: Run) -> RunRecord | None:
    """run.json of a run that has something, and nobody else who is at it."""
    record = await read_record(run)
    if record is None or record.complete or not record.labelled + record.failed:
        return None
    others = await Heartbeats(run, duration_s=run.options.lease_s).others_alive()
    return None if others else record


async def _in_time(
    work: Coroutine[Any, Any, T], stop: Stop, until_s: float, clock: Callable[[], float]
) -> T | None:
    """The work's result; None when it was not done then, or when a signal wants it sooner."""
    task, before_s = asyncio.ensure_future(work), stop.grace_ends_s
    try:
        while not task.done():
            ends_s = until_s if stop.grace_ends_s == before_s else stop.grace_ends_s
            if (left_s := ends_s - clock()) <= 0:
                return None
            await asyncio.wait({task}, timeout=min(left_s, _LOOK_S))
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_LOOK_S)


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


async def _write_tables(run: Run, dataset: RunInput, scratch: Path) -> bool:
    info = table_info(run) | {"complete": "false"}
    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    await write_tables(
        _rows_so_far(run, dataset), info, labels_path=labels_path, failures_path=failures_path
    )
    layout = run.layout
    tables = {layout.partial_labels_key: labels_path, layout.partial_failures_key: failures_path}
    await write_over_own(run, tables)
    return True


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
        settled = (await read_journal(run.round(), batch)).settled()
        if settled:
            whole = run.plan.batch_range(batch)
            refs = await asyncio.to_thread(dataset.refs, whole.start, whole.stop)
            yield [Settled(ref, settled[ref.ordinal]) for ref in refs if ref.ordinal in settled]
