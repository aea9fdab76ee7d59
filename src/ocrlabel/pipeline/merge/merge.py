"""Writing the tables and run.json of a run, so that the newest round stands in the end.

Whoever slept while it wrote may have written over what was merged meanwhile. So a round that is
merged leaves an object of its own (`merged/{round}.json`), put if absent: it says what the round
asked for beyond its checkpoints, and every writer looks behind its last write for a later one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.engines.base import Answer
from ocrlabel.errors import BadAnswer, ConfigError, RunMismatch, StoreUnavailable
from ocrlabel.labels import Document, Labelled, Tally
from ocrlabel.pipeline.budget.account import Account, account_from_json
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.leases.leases import Closed, Free, Lease, Leases, LeaseState
from ocrlabel.pipeline.merge.result_tables import finished_rows, write_tables
from ocrlabel.pipeline.merge.run_record import (
    Finished,
    RunRecord,
    encode_record,
    labels_are_there,
    read_record,
)
from ocrlabel.pipeline.merge.usage import Beyond, KnownAttempts, beyond_checkpoints
from ocrlabel.pipeline.plan import Replaced, newest, refuse_if_replaced
from ocrlabel.pipeline.requests.outage import Outage
from ocrlabel.pipeline.run_context import Tools
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.checkpoint import Checkpoints, delete_below
from ocrlabel.pipeline.state.layout import RunKeys, number_of
from ocrlabel.pipeline.workers.heartbeat import Session, read_sessions
from ocrlabel.pipeline.workers.limits import Limits, limits_of
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

Change: TypeAlias = Callable[[Sequence[Settled]], list[Settled]]
MERGE = "merge"
_LOOK_S = 0.5
_STORE_PAUSE_S = 5.0
"""What every batch passes through on its way into the tables."""


async def publish(
    tools: Tools, scratch: Path, *, retry: int = 0, change: Change | None = None
) -> Finished:
    """Write tables and run.json of a round, or of a later one that was merged already.

    Doing it twice, or by several at once, gives the same tables.
    """
    while True:
        merged = await merged_rounds(tools.world, tools.keys(0))
        retry = max([retry, *merged])
        try:
            found = await _publish(tools, scratch, merged, retry=retry, change=change)
        except (RunMismatch, NotStored):
            await _refuse_if_replaced(tools)  # what is missing is missing because of that
            raise
        try:
            await _refuse_if_replaced(tools)
        except Replaced:
            await _make_good(tools, scratch)
            raise
        later = await merged_rounds(tools.world, tools.keys(0))
        if max(later, default=0) <= retry and await labels_are_there(tools.world, tools.layout):
            return found


async def _refuse_if_replaced(tools: Tools) -> None:
    await refuse_if_replaced(tools.world, tools.layout, tools.plan)


async def _make_good(tools: Tools, scratch: Path) -> None:
    """Take back what was written over a run that has replaced this one meanwhile."""
    plan = await newest(tools.world, tools.layout, tools.plan)
    checkpoints = Checkpoints(tools.world, tools.layout, plan)
    its = replace(tools, plan=plan, checkpoints=checkpoints)
    same_price = plan.engine == tools.plan.engine
    if same_price and await merged_rounds(tools.world, its.keys(0)):
        await publish(its, scratch)
        return
    layout = tools.layout
    await tools.world.store.delete([layout.run_key, layout.labels_key, layout.failures_key])


async def merged_rounds(world: World, keys: RunKeys) -> dict[int, Beyond]:
    """What every round that is merged asked for beyond its checkpoints, by round."""
    rounds = {}
    for number in [number_of(stored.key) async for stored in world.store.list(keys.merged)]:
        with contextlib.suppress(NotStored):  # the run was replaced and cleared meanwhile
            told = json.loads(await world.store.get(keys.merged_round(number)))
            rounds[number] = Beyond.from_json(told)
    return rounds


async def _publish(
    tools: Tools,
    scratch: Path,
    merged: Mapping[int, Beyond],
    *,
    retry: int,
    change: Change | None,
) -> Finished:
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
    rounds = dict(merged)
    if retry not in rounds:
        rounds[retry] = await _say_merged(tools, metas, known, retry=retry)
    account = sum((beyond.account for beyond in rounds.values()), Account())
    for meta in metas.values():
        account += account_from_json(meta["account"])
    await _refuse_if_replaced(tools)
    store = tools.world.store
    await store.upload(tools.layout.labels_key, labels_path)
    await store.upload(tools.layout.failures_key, failures_path)
    sessions = await sessions_of_run(tools)
    limits = await limits_of(tools.world, tools.keys(0))
    record = run_record(tools, tally, account, sessions, limits, retries=retry, complete=True)
    data = encode_record(record)
    await store.put(tools.layout.run_key, data)
    await store.delete([tools.layout.partial_labels_key, tools.layout.partial_failures_key])
    if len(account.model_versions) > 1:
        versions = ", ".join(sorted(account.model_versions))
        tools.world.emit(Notice("model_version", f"the model changed midway: {versions}"))
    return Finished(json.loads(data))


async def _say_merged(
    tools: Tools,
    metas: Mapping[tuple[int, int], Mapping[str, Any]],
    known: KnownAttempts,
    *,
    retry: int,
) -> Beyond:
    """Count what a round asked for beyond its checkpoints; who said it first is right.

    Whoever counts later may find asks and journals cleared away.
    """
    found = await beyond_checkpoints(
        tools.world,
        tools.keys(retry),
        tools.asks(retry),
        {batch: meta["journal_objects"] for (batch, of), meta in metas.items() if of == retry},
        known,
    )
    key, data = tools.keys(0).merged_round(retry), json.dumps(found.as_json()).encode()
    if await tools.world.store.put_if_absent(key, data):
        return found
    return Beyond.from_json(json.loads(await tools.world.store.get(key)))


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
        max_failures_share=tools.options.max_failures,
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


"""The name of the lease under which tables and run.json are written."""


async def finish(tools: Tools, scratch: Path, *, retry: int) -> Finished:
    """Merge, or wait until somebody else has. Raises Draining when asked to stop meanwhile.

    A store that does not answer is waited for, for as long as an outage may last.
    """
    leases, outage = tools.leases(retry), Outage()
    while True:
        try:
            found = await _found_or_merged(tools, leases, scratch, retry=retry)
        except StoreUnavailable as error:
            if outage.failed(tools.world.clock()):
                tools.world.emit(Notice("store", f"{error}; waiting for it"))
            if outage.tried_for_s >= tools.options.give_up_after:
                raise
            await tools.stop.nap(tools.world.sleep, _STORE_PAUSE_S)
        else:
            if found is not None:
                return found
            outage.over()
            await tools.stop.nap(tools.world.sleep, _LOOK_S)


async def _found_or_merged(
    tools: Tools, leases: Leases, scratch: Path, *, retry: int
) -> Finished | None:
    """The merged run; None while somebody else is at it."""
    match await leases.look(MERGE):
        case Closed():
            found = await _merged(tools, retry=retry)
            if found is None:
                # somebody deleted what was written: it is made again from the checkpoints
                return await publish(tools, scratch, retry=retry)
            # whoever closed it may have died, or lost the store, before he cleared up
            await clear_journals(tools, retry=retry)
            return found
        case Free() as free:
            lease = await leases.claim(MERGE, free)
            if lease is not None:
                return await _merge_under(tools, leases, lease, scratch, retry=retry)
        case _:
            pass
    return None


async def _merged(tools: Tools, *, retry: int) -> Finished | None:
    """What is written of a run whose round was merged; None when something of it is gone."""
    found = await read_record(tools.world, tools.layout, tools.plan)
    if found is None or not found.complete or int(found.told["retries"]) < retry:
        return None
    return found if await labels_are_there(tools.world, tools.layout) else None


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
        found = await publish(tools, scratch, retry=retry)
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


async def clear_journals(tools: Tools, *, retry: int) -> None:
    """Delete what the tables and run.json have taken over: journals and asks of a round."""
    keys = tools.keys(retry)
    for prefix in (keys.journals, keys.asks):
        await delete_below(tools.world, prefix)


async def merge_again(tools: Tools, scratch: Path, change: Change | None = None) -> Finished:
    """Write both tables from the checkpoints. Raises ConfigError while batches are missing."""
    metas = await tools.checkpoints.survey()
    missing = [batch for batch in range(tools.plan.batches) if (batch, 0) not in metas]
    if missing:
        raise ConfigError(
            f"{len(missing):,} of {counted(tools.plan.batches, 'batch', 'batches')}"
            f" {'is' if len(missing) == 1 else 'are'} not finished yet\n"
            "  run the same `ocrlabel run` again to finish them,"
            " or add --partial for what there is so far"
        )
    return await publish(tools, scratch, change=change)


def reparsed(parse: Callable[[bytes, Document], Answer]) -> tuple[Change, list[str]]:
    """A change that reads every raw answer again, and the ids of those that it could not read.

    parse: the engine's; raises BadAnswer.
    """
    unreadable: list[str] = []

    def change(rows: Sequence[Settled]) -> list[Settled]:
        return [_again(parse, row, unreadable) for row in rows]

    return change, unreadable


def _again(
    parse: Callable[[bytes, Document], Answer], row: Settled, unreadable: list[str]
) -> Settled:
    outcome = row.outcome
    if not isinstance(outcome, Labelled) or not outcome.raw:
        return row
    sizes = tuple((page.width_px, page.height_px) for page in outcome.pages)
    document = Document(b"", "", len(outcome.pages), sizes)
    try:
        answer = parse(outcome.raw, document)
    except BadAnswer:
        unreadable.append(outcome.id)
        return row
    again = replace(outcome, pages=answer.pages, model_version=answer.model_version)
    return Settled(row.ref, again)
