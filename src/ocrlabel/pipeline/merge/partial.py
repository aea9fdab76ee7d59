"""What there is of a run that is not finished: its partial tables, and its word in run.json."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.errors import OcrLabelError, StoreUnavailable
from ocrlabel.labels import Tally
from ocrlabel.pipeline.leases.leases import Closed, Free, LeaseMark, Leases
from ocrlabel.pipeline.merge.merge import MERGE, record_now, table_info, write_over_own
from ocrlabel.pipeline.merge.result_tables import (
    overlaid,
    rounds_by_batch,
    saved_rows,
    write_tables,
)
from ocrlabel.pipeline.merge.run_record import RUN_RECORD, RunRecord, read_record
from ocrlabel.pipeline.progress import read_progress
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Round, Run, RunInput
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.checkpoint import checkpoint_metas
from ocrlabel.pipeline.state.journal import journal_objects, read_journal
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

    record: of the partial tables, where they are written; None where no time was left for it.
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
    with contextlib.suppress(OcrLabelError, TimeoutError):  # what ended the run is told anyway
        await asyncio.wait_for(record_so_far(run, str(error)), _LAST_WORDS_S)
    if isinstance(error, StoreUnavailable):
        error.handed_over = HandedOver(None, ends_s)
        return
    with contextlib.suppress(OcrLabelError):  # what ended the run is told anyway
        record = await _in_time(_to_hand_over(run), stop, max(ends_s, clock() + _LOOKED_S), clock)
        if record is None:
            return
        error.handed_over = HandedOver(None, ends_s)
        goes_away = bool(run.options.job) and until_s is not None
        if goes_away:
            return
        writing = _write_tables(run, dataset, scratch)
        if (tally := await _in_time(writing, stop, ends_s, clock)) is not None:
            error.handed_over = HandedOver(record.showing(tally), ends_s)


async def _to_hand_over(run: Run) -> RunRecord | None:
    """run.json of a run that has something its tables lack, and nobody else who is at it."""
    record = await read_record(run)
    if record is None or not record.labelled + record.failed:
        return None
    if record.complete and (
        record.has_merged((found := await read_progress(run)).round_number)
        or not found.retried.labelled
    ):
        return None
    others = await Heartbeats(run).others_alive()
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


async def write_partial(
    run: Run, dataset: RunInput, scratch: Path, *, reason: str = A_PART
) -> RunRecord:
    """Write what there is so far under the partial tables' names, marked incomplete."""
    tally = await _write_tables(run, dataset, scratch)
    return (await record_so_far(run, reason)).showing(tally)


async def _write_tables(run: Run, dataset: RunInput, scratch: Path) -> Tally:
    info = table_info(run) | {"complete": "false"}
    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    tally = await write_tables(
        _rows_so_far(run, dataset), info, labels_path=labels_path, failures_path=failures_path
    )
    layout = run.layout
    tables = {layout.partial_labels_key: labels_path, layout.partial_failures_key: failures_path}
    await write_over_own(run, tables)
    return tally


async def record_so_far(run: Run, reason: str) -> RunRecord:
    """run.json of an unfinished run, written; of a finished one it stays as it is.

    Of one whose retry round is not merged it goes on to tell of the tables, but for the account.
    It is written under the merge's lease: nobody merges between the look and the writing, so it
    can never take the place of a finished run's.
    """
    record: RunRecord | None = None
    newest = run.round(await rounds_begun(run))
    leases = Leases(newest, duration_s=_LEASE_S)
    while True:
        there = await read_record(run)
        if there is not None and there.has_merged(newest.number):
            return there
        if record is None:
            found = await read_progress(run)
            whole = there if there is not None and there.complete else None
            tally, retries = (whole.tally, whole.retries) if whole else (found.tally, 0)
            record = await record_now(
                run,
                tally,
                found.account,
                complete=whole is not None,
                reason=reason,
                retries=retries,
            )
            record = replace(record, growth=whole.growth) if whole else record
            if whole and (whole.account, whole.reason) == (record.account, reason):
                return whole
        match await leases.look(MERGE):
            case Closed():
                return record  # it was merged once: whoever comes next merges it again
            case Free() as free:
                if await _put_under_lease(newest, leases, free, record):
                    return record
            case _:
                await run.runtime.sleep(_LOOK_S)


async def _put_under_lease(round_: Round, leases: Leases, free: Free, record: RunRecord) -> bool:
    """False when somebody else was first, or has merged the round meanwhile."""
    run, lease = round_.run, await leases.claim(MERGE, free)
    if lease is None:
        return False
    there = await read_record(run)
    unfinished = there is None or not there.has_merged(round_.number)
    if written := unfinished and lease.valid(run.runtime.clock()):
        await run.runtime.store.put(run.layout.run_key, RUN_RECORD.encode(record))
    await leases.give_back(lease, LeaseMark.RELEASED)
    return written


async def _rows_so_far(run: Run, dataset: RunInput) -> AsyncIterator[Sequence[Settled]]:
    newest = run.round(await rounds_begun(run))
    rounds_of = rounds_by_batch(await checkpoint_metas(run))
    started = await journal_objects(newest)
    for batch in range(run.plan.batches):
        rows = await saved_rows(run, batch, rounds_of[batch])
        if batch in started and newest.number not in rounds_of[batch]:
            settled = (await read_journal(newest, batch)).settled()
            whole = run.plan.batch_range(batch)
            refs = await asyncio.to_thread(dataset.refs, whole.start, whole.stop)
            again = [Settled(ref, settled[ref.ordinal]) for ref in refs if ref.ordinal in settled]
            rows = overlaid(rows, again) if newest.number else again
        if rows:
            yield rows
