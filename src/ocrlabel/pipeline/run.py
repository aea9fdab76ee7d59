"""The story of a run: agree on the plan, read what is left, merge, say how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.engines.base import Engine
from ocrlabel.errors import Interrupted, OcrLabelError, StoreUnavailable
from ocrlabel.pipeline.agree import agree, clear_replaced
from ocrlabel.pipeline.breaker import Breaker
from ocrlabel.pipeline.budget import Purse, cap_pages
from ocrlabel.pipeline.checkpoint import Checkpoints
from ocrlabel.pipeline.counting import Counters
from ocrlabel.pipeline.events import Notice, Started
from ocrlabel.pipeline.finish import (
    Finished,
    clear_journals,
    finish,
    labels_are_there,
    read_record,
    run_record,
    table_info,
)
from ocrlabel.pipeline.journal import BatchView, refresh
from ocrlabel.pipeline.layout import Layout
from ocrlabel.pipeline.merge import write_tables
from ocrlabel.pipeline.options import RunOptions
from ocrlabel.pipeline.plan import DEFAULT_BATCH_ROWS, Plan
from ocrlabel.pipeline.pool import RatePool
from ocrlabel.pipeline.preflight import Findable, refuse_without_images
from ocrlabel.pipeline.reading import Reuse
from ocrlabel.pipeline.record import encode_record
from ocrlabel.pipeline.retries import retry_round
from ocrlabel.pipeline.round import Input, Tools, work_round
from ocrlabel.pipeline.selection import Selection, select
from ocrlabel.pipeline.stop import Draining, Stop
from ocrlabel.pipeline.survey import Survey, survey
from ocrlabel.pipeline.world import World

_LAST_WORDS_S = 5.0


class Dataset(Input, Findable, Protocol):
    """What a run needs of its input."""


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


async def run(
    world: World,
    layout: Layout,
    dataset: Dataset,
    engine: Engine,
    options: RunOptions,
    *,
    stop: Stop,
    scratch: Path,
    reuse: Reuse | None = None,
) -> Result:
    """Label a dataset, or go on with it, alone or with other workers.

    Returns when every selected row is settled and the tables are written. Raises what stopped it
    earlier; everything that was answered is saved by then, and the same call goes on.
    """
    try:
        return await _run(
            world, layout, dataset, engine, options, stop=stop, scratch=scratch, reuse=reuse
        )
    except Draining:
        raise Interrupted(stop.reason) from None


async def _run(
    world: World,
    layout: Layout,
    dataset: Dataset,
    engine: Engine,
    options: RunOptions,
    *,
    stop: Stop,
    scratch: Path,
    reuse: Reuse | None,
) -> Result:
    counters = Counters(world.emit)
    world = replace(world, emit=counters)
    plan = await agree(world, layout, _wanted(world, layout, dataset, engine, options), options)
    await clear_replaced(world, layout, plan)
    tools = tools_for(
        world,
        layout,
        plan,
        dataset,
        engine,
        options=options,
        stop=stop,
        counters=counters,
        reuse=reuse,
    )
    before = await read_record(tools)
    if before is not None and before.complete:
        # run.json has their account: what a crash left of them must not be counted again
        retries = int(before.told["retries"])
        await clear_journals(tools, retry=retries)
        already = await labels_are_there(tools)
        if not already:
            before = await finish(tools, scratch, retry=retries)
        if options.retry_failed is None:
            return _result(layout, before, already=already)
    else:
        before = None
    _say_if_the_cap_is_gone(tools, await read_record(tools))
    found = await survey(world, plan, tools.checkpoints, tools.keys(0))
    world.emit(_started(tools, found))
    if found.tally.labelled + found.tally.failed == 0:
        await refuse_without_images(dataset)
    await engine.start()
    try:
        return await _rounds(tools, found, before, scratch)
    finally:
        await engine.close()


async def _rounds(tools: Tools, found: Survey, before: Finished | None, scratch: Path) -> Result:
    """The run's own round, and the retry round that was asked for."""
    options = tools.options
    selection = select(
        tools.plan.rows, limit=options.limit, sample=options.sample, seed=options.seed
    )
    if before is None:
        await _work(tools, selection, found.open_batches, retry=0)
        if not selection.everything(tools.plan.rows):
            return await write_partial(tools, scratch)
        before = await finish(tools, scratch, retry=0)
    if options.retry_failed is not None:
        again = await retry_round(
            tools.world,
            tools.layout,
            tools.plan,
            tools.checkpoints,
            options.retry_failed,
            merged=int(before.told["retries"]),
        )
        if again is None:
            tools.world.emit(Notice("retry", "nothing has failed that could be tried again"))
        else:
            batches = await _without_checkpoint(tools, again.batches(tools.plan), again.number)
            rows = len(again.failed_before)
            tools.world.emit(replace(_started(tools, found), rows=rows, done=0, failed=0))
            await _work(tools, again.selection(tools.plan), batches, retry=again.number)
            before = await finish(tools, scratch, retry=again.number)
    return _result(tools.layout, before)


async def _work(tools: Tools, selection: Selection, batches: Sequence[int], *, retry: int) -> None:
    """One round; when it ends early, run.json says why and how far it came."""
    try:
        await work_round(tools, selection, batches, retry=retry)
    except OcrLabelError as error:
        await _say_unfinished(tools, str(error))
        raise
    finally:
        if tools.purse is not None:
            with contextlib.suppress(StoreUnavailable):
                await tools.purse.settle()
    if tools.stop.draining:
        await _say_unfinished(tools, tools.stop.reason)
        raise Interrupted(tools.stop.reason)


async def _say_unfinished(tools: Tools, reason: str) -> None:
    """Write run.json of an unfinished run, if there is time for it."""

    async def write() -> None:
        there = await read_record(tools)
        if there is not None and there.complete:
            return
        found = await survey(tools.world, tools.plan, tools.checkpoints, tools.keys(0))
        record = run_record(
            tools, found.tally, found.account, retries=0, complete=False, reason=reason
        )
        await tools.world.store.put(tools.layout.run_key, encode_record(record, beyond={}))

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
    found = await survey(tools.world, tools.plan, tools.checkpoints, tools.keys(0))
    record = run_record(
        tools, found.tally, found.account, retries=0, complete=False, reason="a part of the rows"
    )
    data = encode_record(record, beyond={})
    await tools.world.store.put(tools.layout.run_key, data)
    told: Mapping[str, Any] = json.loads(data)
    return told


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


async def _without_checkpoint(tools: Tools, batches: set[int], retry: int) -> list[int]:
    metas = await tools.checkpoints.survey()
    return sorted(batch for batch in batches if (batch, retry) not in metas)


def _wanted(
    world: World, layout: Layout, dataset: Dataset, engine: Engine, options: RunOptions
) -> Plan:
    return Plan(
        run_id=world.token()[:12],
        dataset=layout.dataset,
        source=dataset.describe(),
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        engine=engine.name,
        options=dict(engine.options),
        batch_rows=options.batch_rows or DEFAULT_BATCH_ROWS,
        created_at_s=world.wall(),
        job=options.job,
    )


def tools_for(
    world: World,
    layout: Layout,
    plan: Plan,
    dataset: Dataset,
    engine: Engine,
    *,
    options: RunOptions,
    stop: Stop,
    counters: Counters | None = None,
    reuse: Reuse | None = None,
) -> Tools:
    """What a worker works with, put together."""
    price_usd = engine.price_per_page_usd
    cap = None if options.max_cost_usd is None else cap_pages(options.max_cost_usd, price_usd)
    return Tools(
        world=world,
        layout=layout,
        plan=plan,
        checkpoints=Checkpoints(world, layout, plan),
        engine=engine,
        dataset=dataset,
        options=options,
        stop=stop,
        pool=RatePool(
            lanes=engine.lanes,
            clock=world.clock,
            sleep=world.sleep,
            rps=options.rps,
            concurrency=options.concurrency or engine.parallel,
            wall=world.wall,
        ),
        breaker=Breaker(
            give_up_after_s=options.give_up_after_s,
            probe_timeout_s=engine.request_timeout_s + 30.0,
        ),
        purse=Purse(world, layout.of_run(plan.run_id), cap=cap, price_per_page_usd=price_usd)
        if price_usd > 0
        else None,
        counters=counters or Counters(world.emit),
        reuse=reuse,
    )


def _say_if_the_cap_is_gone(tools: Tools, before: Finished | None) -> None:
    earlier_usd = before.told.get("max_cost_usd") if before is not None else None
    if earlier_usd is not None and tools.options.max_cost_usd is None:
        tools.world.emit(
            Notice(
                "cap",
                f"the earlier cap of {earlier_usd:.2f} USD no longer holds:"
                " give --max-cost to have one",
            )
        )


def _started(tools: Tools, found: Survey) -> Started:
    return Started(
        rows=tools.plan.rows,
        done=found.tally.labelled + found.tally.failed,
        failed=found.tally.failed,
        engine=tools.engine.name,
        price_per_page_usd=tools.engine.price_per_page_usd,
        spent_pages=found.account.spent_pages,
    )


def _result(layout: Layout, finished: Finished, *, already: bool = False) -> Result:
    return Result(finished.told, layout.labels_key, layout.failures_key, already=already)
