"""Writing the tables and run.json of a run, so that the newest round stands in the end.

Whoever slept while it wrote may have written over what was merged meanwhile. So a round that is
merged leaves an object of its own (`merged/{round}.json`), put if absent: it says what the round
asked for beyond its checkpoints, and every writer looks behind its last write for a later one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Tally
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.layout import RunKeys, number_of
from ocrlabel.pipeline.merging.beyond import Beyond, KnownAttempts, beyond_checkpoints
from ocrlabel.pipeline.merging.merge import finished_rows, write_tables
from ocrlabel.pipeline.merging.record import Finished, RunRecord, encode_record, labels_are_there
from ocrlabel.pipeline.money.account import Account, account_from_json
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.succession import Replaced, newest, refuse_if_replaced
from ocrlabel.pipeline.tools import Tools
from ocrlabel.pipeline.workers.limits import Limits, limits_of
from ocrlabel.pipeline.workers.sessions import Session, read_sessions
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import NotStored

Change: TypeAlias = Callable[[Sequence[Settled]], list[Settled]]
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
