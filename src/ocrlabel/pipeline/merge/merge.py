"""The merge: tables and run.json of a run, so that the newest round stands in the end.

Under its own lease, by whoever sees the last batch done: tables, run.json, lease closed, journals
and claims deleted, in this order. Whoever slept while it wrote may have written over what was
merged meanwhile. So a round that is merged leaves an object of its own (`merged/{round}.json`), put
if absent: it says what the round asked for beyond its checkpoints, and every writer looks behind
its last write for a later one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.engine import Answer
from ocrlabel.errors import BadAnswer, ConfigError, RunMismatch, StoreUnavailable
from ocrlabel.labels import Document, Labelled, Tally
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.budget.attempts import KnownAttempts
from ocrlabel.pipeline.leases.leases import Closed, Free, Lease, LeaseMark, Leases
from ocrlabel.pipeline.merge.inherited import Inherited, inherited_by
from ocrlabel.pipeline.merge.ownership import PUT_DOWN, Standing, look, own_results, put_down
from ocrlabel.pipeline.merge.result_tables import finished_rows, write_tables
from ocrlabel.pipeline.merge.run_record import (
    RUN_RECORD,
    RunRecord,
    read_record,
    run_record,
    tables_are_there,
)
from ocrlabel.pipeline.merge.usage import (
    MERGED,
    UnattributedUsage,
    merged_rounds,
    merged_usage,
    unattributed_usage,
)
from ocrlabel.pipeline.replacement import Replaced, newest, refuse_if_replaced
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.checkpoint import CheckpointMeta, checkpoint_metas, delete_below
from ocrlabel.pipeline.state.run_store import Outage
from ocrlabel.pipeline.workers.heartbeat import read_sessions
from ocrlabel.pipeline.workers.limits import limits_of
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

Change: TypeAlias = Callable[[Sequence[Settled]], list[Settled]]
"""What every batch passes through on its way into the tables."""
MERGE = "merge"
"""The name of the lease under which tables and run.json are written."""
_LOOK_S = 0.5
_STORE_PAUSE_S = 5.0


async def finish(round_: Round, scratch: Path, stop: Stop) -> RunRecord:
    """Merge, or wait until somebody else has. Raises Draining when asked to stop meanwhile.

    A store that does not answer is waited for, for as long as an outage may last.
    """
    runtime, options = round_.runtime, round_.run.options
    leases, outage = Leases(round_, duration_s=options.lease_s), Outage()
    while True:
        try:
            async with stop.ending():
                found = await _found_or_merged(round_, leases, scratch)
        except StoreUnavailable as error:
            if outage.failed(runtime.clock()):
                runtime.tell("store", f"{error}; waiting for it")
            if outage.tried_for_s >= options.give_up_after:
                raise
            await stop.nap(runtime.sleep, _STORE_PAUSE_S)
        else:
            if found is not None:
                return found
            outage.over()
            await stop.nap(runtime.sleep, _LOOK_S)


async def _found_or_merged(round_: Round, leases: Leases, scratch: Path) -> RunRecord | None:
    """The merged run; None while somebody else is at it."""
    match await leases.look(MERGE):
        case Closed():
            found, run = await read_record(round_.run), round_.run
            merged = found is not None and found.has_merged(round_.number)
            if found is None or not merged or not await tables_are_there(run):
                # somebody deleted what was written: it is made again from the checkpoints
                return await publish(round_, scratch)
            # whoever closed it may have died, or lost the store, before he cleared up
            await clear_journals(round_)
            return found
        case Free() as free:
            lease = await leases.claim(MERGE, free)
            if lease is not None:
                return await _merge_under(round_, leases, lease, scratch)
        case _:
            pass
    return None


async def _merge_under(round_: Round, leases: Leases, lease: Lease, scratch: Path) -> RunRecord:
    async def keep() -> None:
        while not lease.lost:
            await round_.runtime.sleep(leases.duration_s / 3)
            with contextlib.suppress(StoreUnavailable):  # the next try renews it, or it expires
                await leases.renew(lease)

    keeping = asyncio.ensure_future(keep())
    try:
        found = await publish(round_, scratch)
        await leases.give_back(lease, LeaseMark.CLOSED)
    except StoreUnavailable:
        with contextlib.suppress(StoreUnavailable):  # then it expires
            await leases.give_back(lease, LeaseMark.RELEASED)
        raise
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    await clear_journals(round_)
    return found


async def clear_journals(round_: Round) -> None:
    """Delete what the tables and run.json have taken over: journals and claims of a round."""
    for prefix in (round_.keys.journals, round_.keys.asks):
        await delete_below(round_.runtime, prefix)


async def publish(round_: Round, scratch: Path, *, change: Change | None = None) -> RunRecord:
    """Write tables and run.json of a round, or of a later one that was merged already.

    Doing it twice, or by several at once, gives the same tables.
    """
    run, number = round_.run, round_.number
    while True:
        merged = await merged_rounds(run)
        number = max([number, *merged])
        try:
            found = await _publish(run.round(number), scratch, merged, change)
        except (RunMismatch, NotStored):
            await refuse_if_replaced(run)  # what is missing is missing because of that
            raise
        try:
            await refuse_if_replaced(run)
        except Replaced:
            await _make_good(run, scratch)
            raise
        later = await merged_rounds(run)
        if max(later, default=0) <= number and await tables_are_there(run):
            return found


async def _make_good(run: Run, scratch: Path) -> None:
    """Take back what was written over a run that has replaced this one meanwhile."""
    its = await newest(run)
    if run.plan.run_id in its.plan.carries and not await merged_rounds(its):
        return  # the old tables stay until the new ones take their places
    same_price = its.plan.engine == run.plan.engine
    if same_price and await merged_rounds(its):
        await publish(its.round(), scratch)
        return
    layout = run.layout
    await run.runtime.store.delete([layout.run_key, layout.labels_key, layout.failures_key])


async def _publish(
    round_: Round,
    scratch: Path,
    merged: Mapping[int, UnattributedUsage],
    change: Change | None,
) -> RunRecord:
    run, store = round_.run, round_.runtime.store
    metas = await checkpoint_metas(run)
    known = KnownAttempts()

    def saw(number: int, rows: Sequence[Settled]) -> None:
        if number == round_.number:
            for row in rows:
                known.add(row.outcome.key, row.outcome.attempts)

    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    inherited = await inherited_by(run, metas, scratch)
    tally = await write_tables(
        _changed(finished_rows(run, metas, saw), change, inherited),
        {**table_info(run), **inherited.info},
        labels_path=labels_path,
        failures_path=failures_path,
        correct=inherited.onto,
    )
    inherited.tell(run)
    rounds = dict(merged)
    if round_.number not in rounds:
        rounds[round_.number] = await _mark_as_merged(round_, metas, known)
    account = sum((usage.account for usage in rounds.values()), run.plan.paid_before)
    for meta in metas.values():
        account += meta.account
    await refuse_if_replaced(run)
    tables = {run.layout.labels_key: labels_path, run.layout.failures_key: failures_path}
    await write_over_own(run, tables, keep_corrected=round_.number in merged)
    record = await record_now(run, tally, account, retries=round_.number, complete=True)
    if run.plan.grown:
        before = {"billed_pages_before": run.plan.paid_before.billed_pages}
        record = replace(record, growth={**inherited.growth, **before})
    await store.put(run.layout.run_key, RUN_RECORD.encode(record))
    partial = run.layout.partial_results
    if own := [key for key in partial if (await look(run, key))[0] is Standing.OURS]:
        await store.delete(own)
    if len(account.model_versions) > 1:
        versions = ", ".join(sorted(account.model_versions))
        run.runtime.tell("model_version", f"the model changed midway: {versions}")
    return record


async def write_over_own(
    run: Run, tables: Mapping[str, Path], *, keep_corrected: bool = False
) -> None:
    """Write tables in the place of this run's own. Raises RunMismatch for what is not.

    keep_corrected: a table that a person corrected stays as it is.
    """
    found = {key: await look(run, key) for key in tables}
    for key, (standing, why) in found.items():
        if standing is Standing.OTHERS or (standing is Standing.CORRECTED and not keep_corrected):
            raise RunMismatch(
                f"{run.runtime.where(key)} is not written: what is there is not this run's: {why}\n"
                "  move it away and run the same command again: all that was answered is saved"
            )
    for key, path in tables.items():
        if found[key][0] is not Standing.CORRECTED:
            await put_down(run, path)
            await run.runtime.store.upload(key, path)


async def _mark_as_merged(
    round_: Round, metas: Mapping[tuple[int, int], CheckpointMeta], known: KnownAttempts
) -> UnattributedUsage:
    """Count what a round asked for beyond its checkpoints; who said it first is right.

    Whoever counts later may find claims and journals cleared away.
    """
    number = round_.number
    in_checkpoints = {
        batch: meta.journal_objects for (batch, of), meta in metas.items() if of == number
    }
    found = await unattributed_usage(round_, in_checkpoints, known)
    key, data = round_.run.keys.merged_round(number), MERGED.encode(found)
    if await round_.runtime.store.put_if_absent(key, data):
        return found
    return await merged_usage(round_.run, number) or found


async def _changed(
    batches: AsyncIterator[list[Settled]], change: Change | None, inherited: Inherited
) -> AsyncIterator[Sequence[Settled]]:
    async for rows in batches:
        inherited.count(rows)
        yield rows if change is None else change(rows)


async def record_now(
    run: Run, tally: Tally, account: Account, *, complete: bool, reason: str = "", retries: int = 0
) -> RunRecord:
    """The record of the run as it stands; a worker that is part of it is at it still."""
    now_s, mine = run.runtime.wall(), run.runtime.me.worker
    sessions = [
        replace(session, ended_at_s=now_s) if session.worker == mine else session
        for session in await read_sessions(run)
    ]
    record = run_record(
        run, tally, account, sessions, ended_at_s=now_s, complete=complete, retries=retries
    )
    return replace(record, max_cost_usd=(await limits_of(run)).max_cost_usd, reason=reason)


def table_info(run: Run) -> dict[str, str]:
    """What the tables say of themselves in their metadata."""
    return {
        "run_id": run.plan.run_id,
        "engine": run.plan.engine,
        "engine_options": json.dumps(dict(run.plan.options), sort_keys=True),
        "source": run.plan.source,
        PUT_DOWN: "true",
    }


async def merge_again(run: Run, scratch: Path, change: Change | None = None) -> RunRecord:
    """Write both tables from the checkpoints. Raises ConfigError while batches are missing."""
    await own_results(run, replacing=True)
    metas = await checkpoint_metas(run)
    missing = [batch for batch in range(run.plan.batches) if (batch, 0) not in metas]
    if missing:
        raise ConfigError(
            f"{len(missing):,} of {counted(run.plan.batches, 'batch', 'batches')}"
            f" {'is' if len(missing) == 1 else 'are'} not finished yet\n"
            "  run the same `ocrlabel run` again to finish them,"
            " or add --partial for what there is so far"
        )
    return await publish(run.round(), scratch, change=change)


def reparsed(parse: Callable[[bytes, Document], Answer], unreadable: list[str]) -> Change:
    """A change that reads every raw answer again.

    parse: the engine's; raises BadAnswer. unreadable: gets the ids of those that it could not read.
    """

    def again(row: Settled) -> Settled:
        outcome = row.outcome
        if not isinstance(outcome, Labelled) or not outcome.raw:
            return row
        sizes = tuple((page.width_px, page.height_px) for page in outcome.pages)
        try:
            answer = parse(outcome.raw, Document(b"", "", len(outcome.pages), sizes))
        except BadAnswer:
            unreadable.append(outcome.id)
            return row
        label = replace(outcome, pages=answer.pages, model_version=answer.model_version)
        return Settled(row.ref, label)

    return lambda rows: list(map(again, rows))
