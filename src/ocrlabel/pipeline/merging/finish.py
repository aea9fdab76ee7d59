"""The end of a run: merged once, under a lease, by whoever sees the last batch done.

Tables first, then run.json, then the lease is closed, and only then are journals and asks cleared
away: a crash anywhere in between leaves something that the next worker can do again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.errors import StoreUnavailable
from ocrlabel.labels import Tally
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.leases.lease import Lease, Leases
from ocrlabel.pipeline.leases.standing import Closed, Free, LeaseState
from ocrlabel.pipeline.merging.beyond import Beyond, KnownAttempts, beyond_checkpoints
from ocrlabel.pipeline.merging.merge import finished_rows, write_tables
from ocrlabel.pipeline.merging.record import (
    Finished,
    RunRecord,
    encode_record,
    labels_are_there,
    read_record,
)
from ocrlabel.pipeline.money.account import Account, account_from_json
from ocrlabel.pipeline.reading.outage import Outage
from ocrlabel.pipeline.saved.clearing import delete_below
from ocrlabel.pipeline.tools import Tools
from ocrlabel.pipeline.workers.limits import Limits, limits_of
from ocrlabel.pipeline.workers.sessions import Session, read_sessions

Change: TypeAlias = Callable[[Sequence[Settled]], list[Settled]]
"""What every batch passes through on its way into the tables."""

MERGE = "merge"
"""The name of the lease under which tables and run.json are written."""

_LOOK_S = 0.5
_STORE_PAUSE_S = 5.0


async def finish(tools: Tools, scratch: Path, *, retry: int) -> Finished:
    """Merge, or wait until somebody else has. Raises Draining when asked to stop meanwhile.

    A store that does not answer is waited for, for as long as an outage may last.
    """
    leases, outage = tools.leases(retry), Outage()
    while True:
        try:
            return await _finish(tools, leases, scratch, retry=retry)
        except StoreUnavailable as error:
            if outage.failed(tools.world.clock()):
                tools.world.emit(Notice("store", f"{error}; waiting for it"))
            if outage.tried_for_s >= tools.options.give_up_after_s:
                raise
            await tools.stop.nap(tools.world.sleep, _STORE_PAUSE_S)


async def _finish(tools: Tools, leases: Leases, scratch: Path, *, retry: int) -> Finished:
    while True:
        match await leases.look(MERGE):
            case Closed():
                found = await read_record(tools.world, tools.layout, tools.plan)
                if (
                    found is not None
                    and found.complete
                    and await labels_are_there(tools.world, tools.layout)
                ):
                    # whoever closed it may have died, or lost the store, before he cleared up
                    await clear_journals(tools, retry=retry)
                    return found
                # somebody deleted what was written: it is made again from the checkpoints
                return await _merge(tools, scratch, retry=retry)
            case Free() as free:
                lease = await leases.claim(MERGE, free)
                if lease is not None:
                    return await _merge_under(tools, leases, lease, scratch, retry=retry)
            case _:
                await tools.stop.nap(tools.world.sleep, _LOOK_S)


async def _merge_under(
    tools: Tools, leases: Leases, lease: Lease, scratch: Path, *, retry: int
) -> Finished:
    async def keep() -> None:
        while not lease.lost:
            await tools.world.sleep(leases.duration_s / 3)
            with contextlib.suppress(StoreUnavailable):  # the next try renews it, or it expires
                await leases.renew(lease)

    keeping = asyncio.ensure_future(keep())
    try:
        found = await _merge(tools, scratch, retry=retry)
        await leases.give_back(lease, LeaseState.CLOSED)
    except StoreUnavailable:
        with contextlib.suppress(StoreUnavailable):  # then it expires
            await leases.give_back(lease, LeaseState.RELEASED)
        raise
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    await clear_journals(tools, retry=retry)
    return found


async def remerge(tools: Tools, scratch: Path, change: Change | None) -> Finished:
    """Write tables and run.json of a finished run again, with every row passed through change."""
    there = await read_record(tools.world, tools.layout, tools.plan)
    retry = int(there.told["retries"]) if there is not None else 0
    return await _merge(tools, scratch, retry=retry, change=change)


async def _merge(
    tools: Tools, scratch: Path, *, retry: int, change: Change | None = None
) -> Finished:
    """Write tables and run.json. Doing it twice gives the same tables."""
    metas = await tools.checkpoints.survey()
    known = KnownAttempts()

    def saw(of_retry: int, rows: Sequence[Settled]) -> None:
        if of_retry == retry:
            for row in rows:
                known.add(row.outcome.key, row.outcome.attempts)

    labels_path, failures_path = scratch / "labels.parquet", scratch / "failures.parquet"
    tally = await write_tables(
        _changed(finished_rows(tools.plan, tools.checkpoints, metas, saw), change),
        table_info(tools),
        labels_path=labels_path,
        failures_path=failures_path,
    )
    earlier = await read_record(tools.world, tools.layout, tools.plan)
    beyond = Beyond()
    if earlier is not None and earlier.complete:
        # their asks and journals are cleared away: run.json is the only one to know
        beyond += earlier.beyond
    if earlier is None or not earlier.complete or int(earlier.told["retries"]) < retry:
        # else whoever wrote it has counted this round, even if he died before he cleared it away
        beyond += await beyond_checkpoints(
            tools.world,
            tools.keys(retry),
            tools.asks(retry),
            {batch: meta["journal_objects"] for (batch, of), meta in metas.items() if of == retry},
            known,
        )
    account = beyond.account
    for meta in metas.values():
        account += account_from_json(meta["account"])
    store = tools.world.store
    await store.upload(tools.layout.labels_key, labels_path)
    await store.upload(tools.layout.failures_key, failures_path)
    sessions = await sessions_of_run(tools)
    limits = await limits_of(tools.world, tools.keys(0))
    record = run_record(tools, tally, account, sessions, limits, retries=retry, complete=True)
    data = encode_record(record, beyond=beyond)
    await store.put(tools.layout.run_key, data)
    await store.delete([tools.layout.partial_labels_key, tools.layout.partial_failures_key])
    if len(account.model_versions) > 1:
        versions = ", ".join(sorted(account.model_versions))
        tools.world.emit(Notice("model_version", f"the model changed midway: {versions}"))
    return Finished(json.loads(data))


async def _changed(
    batches: AsyncIterator[list[Settled]], change: Change | None
) -> AsyncIterator[Sequence[Settled]]:
    async for rows in batches:
        yield rows if change is None else change(rows)


def run_record(
    tools: Tools,
    tally: Tally,
    account: Account,
    sessions: Sequence[Session],
    limits: Limits,
    *,
    retries: int,
    complete: bool,
    reason: str = "",
) -> RunRecord:
    """run.json's content for the run as it stands."""
    return RunRecord(
        plan=tools.plan,
        tally=tally,
        account=account,
        sessions=sessions,
        complete=complete,
        reason=reason,
        ended_at_s=tools.world.wall(),
        retries=retries,
        price_per_page_usd=tools.engine.price_per_page_usd,
        max_cost_usd=limits.max_cost_usd,
        max_failures_share=tools.options.max_failures_share,
    )


async def sessions_of_run(tools: Tools) -> list[Session]:
    """When workers were at it; this one, if it is one of them, still is."""
    return [
        replace(session, ended_at_s=tools.world.wall())
        if session.worker == tools.world.me.worker
        else session
        for session in await read_sessions(tools.world, tools.keys(0))
    ]


def table_info(tools: Tools) -> dict[str, str]:
    """What the tables say of themselves in their metadata."""
    return {
        "run_id": tools.plan.run_id,
        "engine": tools.plan.engine,
        "engine_options": json.dumps(dict(tools.plan.options), sort_keys=True),
        "source": tools.plan.source,
    }


async def clear_journals(tools: Tools, *, retry: int) -> None:
    """Delete what the tables and run.json have taken over: journals and asks of a round."""
    keys = tools.keys(retry)
    for prefix in (keys.journals, keys.asks):
        await delete_below(tools.world, prefix)
