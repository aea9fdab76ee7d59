"""The story of a run: agree on the plan, read what is left, merge, say how it went."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.engines.base import Engine
from ocrlabel.errors import Interrupted, OcrLabelError, RunMismatch, StoreUnavailable
from ocrlabel.labels import ImageRef
from ocrlabel.options import BATCH_ROWS, Options
from ocrlabel.pipeline.counters import Counters
from ocrlabel.pipeline.events import AllSettled, BatchSaved, Notice, Started
from ocrlabel.pipeline.join_plan import agree, clear_replaced
from ocrlabel.pipeline.leases.scheduler import Claims
from ocrlabel.pipeline.merge.merge import clear_journals, finish
from ocrlabel.pipeline.merge.partial import Result, say_unfinished, write_partial
from ocrlabel.pipeline.merge.run_record import Finished, labels_are_there, read_record
from ocrlabel.pipeline.merge.settle_dead import settle_for_the_dead, used_by_worker
from ocrlabel.pipeline.plan import Plan, Replaced, refuse_if_replaced, watch
from ocrlabel.pipeline.preflight import refuse_without_images
from ocrlabel.pipeline.requests.image_reader import Reader, Reuse
from ocrlabel.pipeline.requests.request import Exchange, Line, Paid
from ocrlabel.pipeline.requests.task_pool import Crew
from ocrlabel.pipeline.retry_rounds import retry_round
from ocrlabel.pipeline.run_context import Dataset, Tools, tools_for
from ocrlabel.pipeline.runtime import Draining, Stop, World
from ocrlabel.pipeline.selection import Selection, select
from ocrlabel.pipeline.state.journal import JournalWriter, Views
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.pipeline.survey import Survey, survey
from ocrlabel.pipeline.workers.heartbeat import Heartbeats
from ocrlabel.pipeline.workers.heartbeat_loop import Pulse
from ocrlabel.pipeline.workers.limits import limits_of, say_limits
from ocrlabel.wording import counted, usd

__all__ = ["Result", "run"]

_CHANGE = "change or lift it by"


async def run(
    world: World,
    layout: Layout,
    dataset: Dataset,
    engine: Engine,
    options: Options,
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
    options: Options,
    *,
    stop: Stop,
    scratch: Path,
    reuse: Reuse | None,
) -> Result:
    counters = Counters(world.emit, stop)
    world = replace(world, emit=counters)
    plan = await agree(world, layout, _wanted(world, layout, dataset, engine, options), options)
    await clear_replaced(world, layout, plan)
    keys, given = layout.of_run(plan.run_id), options
    options = (await limits_of(world, keys)).hold_for(given)
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
    before = await read_record(world, layout, plan)
    if before is not None and before.complete:
        # run.json has their account: what a crash left of them must not be counted again
        retries = int(before.told["retries"])
        await clear_journals(tools, retry=retries)
        already = await labels_are_there(world, layout)
        if not already:
            before = await finish(tools, scratch, retry=retries)
        if options.retry_failed is None:
            return _result(layout, before, already=already)
    else:
        before = None
    tools = replace(tools, known_limits=await say_limits(world, keys, given))
    _say_what_holds(world, given, options)
    selection = select(plan.rows, limit=options.limit, sample=options.sample, seed=options.seed)
    found = await survey(world, plan, tools.checkpoints, tools.keys(0), selection)
    world.emit(_started(tools, found, selection))
    if found.tally.labelled + found.tally.failed == 0:
        await refuse_without_images(dataset)
    await engine.start()
    try:
        return await _rounds(tools, selection, found, before, scratch)
    finally:
        await engine.close()


async def _rounds(
    tools: Tools, selection: Selection, found: Survey, before: Finished | None, scratch: Path
) -> Result:
    """The run's own round, and the retry round that was asked for."""
    options = tools.options
    if before is None:
        if not selection.everything(tools.plan.rows):
            asked_for = f"{selection.count():,} of {counted(tools.plan.rows, 'row')}"
            tools.world.emit(Notice("part", f"{asked_for}, as --limit and --sample ask for"))
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
            selection = again.selection(tools.plan)
            tools.world.emit(replace(_started(tools, found, selection), done=0, failed=0))
            await _work(tools, selection, batches, retry=again.number)
            before = await finish(tools, scratch, retry=again.number)
    return _result(tools.layout, before)


async def _work(tools: Tools, selection: Selection, batches: Sequence[int], *, retry: int) -> None:
    """One round; when it ends early, run.json says why and how far it came.

    Not so when the run was replaced: run.json is the new one's then.
    """
    still_holds = partial(refuse_if_replaced, tools.world, tools.layout, tools.plan)
    try:
        await still_holds()  # nothing is paid for a run that nobody will look at
        await work_round(tools, selection, batches, retry=retry)
        with contextlib.suppress(StoreUnavailable):  # the merge waits for the store
            await still_holds()
    except Replaced:
        raise
    except OcrLabelError as error:
        await say_unfinished(tools, str(error))
        raise
    finally:
        if tools.purse is not None:
            with contextlib.suppress(StoreUnavailable):
                await tools.purse.settle()
    if tools.stop.draining:
        await say_unfinished(tools, tools.stop.reason)
        raise Interrupted(tools.stop.reason)
    tools.world.emit(AllSettled())


async def _without_checkpoint(tools: Tools, batches: set[int], retry: int) -> list[int]:
    metas = await tools.checkpoints.survey()
    return sorted(batch for batch in batches if (batch, retry) not in metas)


def _wanted(
    world: World, layout: Layout, dataset: Dataset, engine: Engine, options: Options
) -> Plan:
    return Plan(
        run_id=world.token()[:12],
        dataset=layout.dataset,
        source=dataset.describe(),
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        engine=engine.name,
        options=dict(engine.options),
        batch_rows=options.batch_size or BATCH_ROWS,
        created_at_s=world.wall(),
        job=options.job,
    )


def _say_what_holds(world: World, given: Options, options: Options) -> None:
    """Limits that hold though this start did not name them, or named others."""
    if options.max_cost is not None and options.max_cost != given.max_cost:
        cap = f"the cap of {usd(options.max_cost)}"
        world.emit(Notice("cap", f"{cap} that this run has still holds: {_CHANGE} --max-cost"))
    if options.rps is not None and options.rps != given.rps:
        rate = f"the rate of {options.rps:g} requests/s"
        world.emit(Notice("rate", f"{rate} that this run has still holds: {_CHANGE} --rps"))


def _started(tools: Tools, found: Survey, selection: Selection) -> Started:
    return Started(
        rows=selection.count(),
        done=found.done,
        failed=found.failed,
        engine=tools.engine.name,
        price_per_page_usd=tools.engine.price_per_page_usd,
        spent_pages=found.account.spent_pages,
    )


def _result(layout: Layout, finished: Finished, *, already: bool = False) -> Result:
    return Result(finished.told, layout.labels_key, layout.failures_key, already=already)


async def work_round(
    tools: Tools,
    selection: Selection,
    unfinished: Sequence[int],
    *,
    retry: int = 0,
) -> None:
    """Read every selected row of the unfinished batches, with whoever else is at it.

    Returns when all of them are settled. Raises what stopped the run; by then everything that
    was answered is saved, and every lease is given back.
    """
    world, keys = tools.world, tools.keys(retry)
    views = Views(world, keys)
    journal = JournalWriter(
        world, keys, give_up_after_s=tools.options.give_up_after, wrote=views.wrote
    )

    async def refs(start: int, stop: int) -> Sequence[ImageRef]:
        return await asyncio.to_thread(tools.dataset.refs, start, stop)

    async def batch_done(batch: int) -> None:
        await _write_checkpoint(tools, selection, views, refs, batch, retry=retry)

    claims = Claims(
        world=world,
        plan=tools.plan,
        leases=tools.leases(retry),
        views=views,
        stop=tools.stop,
        selection=selection,
        refs=refs,
        batch_done=batch_done,
        unfinished=unfinished,
        retrying=retry > 0,
    )
    exchange = Exchange(
        world=world,
        engine=tools.engine,
        options=tools.options,
        stop=tools.stop,
        pool=tools.pool,
        breaker=tools.breaker,
        journal=journal,
    )
    asks = tools.asks(retry)
    paid = None
    if asks is not None and tools.purse is not None:
        line = Line(tools.pool.rate_now)
        paid = Paid(exchange=exchange, asks=asks, views=views, purse=tools.purse, line=line)
    reader = Reader(exchange=exchange, images=tools.dataset, paid=paid, reuse=tools.reuse)
    crew = Crew(
        world=world,
        claims=claims,
        reader=reader,
        options=tools.options,
        stop=tools.stop,
        hands_wanted=tools.pool.in_flight_wanted,
    )
    if tools.purse is not None and asks is not None:
        heartbeats = Heartbeats(world, keys, duration_s=tools.options.lease_s)
        tools.purse.settle_for_the_dead = partial(
            settle_for_the_dead, world, tools.purse, heartbeats, partial(used_by_worker, tools)
        )
    pulse = Pulse(
        world=world,
        keys=keys,
        pool=tools.pool,
        purse=tools.purse,
        duration_s=tools.options.lease_s,
        busy=lambda: crew.busy,
        told=tools.counters.told,
        began_at_s=tools.began_at_s,
        price_per_page_usd=tools.engine.price_per_page_usd,
        known_limits=tools.known_limits,
    )
    watching = watch(world, tools.layout, tools.plan, every_s=tools.options.lease_s / 3)
    background = (journal.run(), claims.keep(), pulse.run(), watching)
    tasks = [asyncio.ensure_future(work) for work in background]
    try:
        try:
            await _while_all_live(crew.work(), tasks)
        finally:
            journal.close()
            await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await claims.release_all()
        await pulse.end()


async def _write_checkpoint(
    tools: Tools,
    selection: Selection,
    views: Views,
    refs: Callable[[int, int], Awaitable[Sequence[ImageRef]]],
    batch: int,
    *,
    retry: int,
) -> None:
    """Make the checkpoint of a batch whose slices are all closed, unless somebody has."""
    if await tools.checkpoints.exists(batch, retry):
        views.drop(batch)
        return
    view = await views.fresh(batch)
    whole = tools.plan.batch_range(batch)
    ordinals = selection.within(whole) if retry else whole
    if missing := [ordinal for ordinal in ordinals if ordinal not in view.outcomes]:
        if await tools.checkpoints.exists(batch, retry):
            return  # it was merged, and its journal cleared, between the two looks
        raise RunMismatch(
            f"batch {batch} is closed, but the journal lacks rows {missing[:5]}\n"
            "  somebody deleted parts of it: bring them back, or use --fresh to start again"
        )
    wanted = set(ordinals)
    rows = [
        Settled(ref, view.with_all_attempts(view.outcomes[ref.ordinal]))
        for ref in await refs(whole.start, whole.stop)
        if ref.ordinal in wanted
    ]
    seen = len(view.seen)
    await tools.checkpoints.write(batch, rows, retry=retry, journal_objects=seen)
    views.drop(batch)
    tools.world.emit(BatchSaved(batch, tools.plan.batches))


async def _while_all_live(work: Awaitable[None], tasks: Sequence[asyncio.Future[None]]) -> None:
    """Do the work; a background task that ends by an error ends the work with it."""
    main = asyncio.ensure_future(work)
    try:
        await asyncio.wait({main, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not main.done():
            for task in tasks:
                if task.done():
                    task.result()
        await main
    finally:
        # whoever ends it, what was under way is written down before the journal is closed
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)
