"""One round of work: a worker with everything it needs, from its first claim to its last word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import ImageRef
from ocrlabel.pipeline.events import BatchSaved
from ocrlabel.pipeline.leases.claims import Claims
from ocrlabel.pipeline.merging.recount import settle_for_the_dead, used_by_worker
from ocrlabel.pipeline.pulse import Pulse
from ocrlabel.pipeline.rate.line import Line
from ocrlabel.pipeline.reading.crew import Crew
from ocrlabel.pipeline.reading.exchange import Exchange
from ocrlabel.pipeline.reading.paid import Paid
from ocrlabel.pipeline.reading.reader import Reader
from ocrlabel.pipeline.saved.journal import JournalWriter
from ocrlabel.pipeline.saved.views import Views
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.succession import watch
from ocrlabel.pipeline.tools import Tools
from ocrlabel.pipeline.workers.heartbeats import Heartbeats


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
        world, keys, give_up_after_s=tools.options.give_up_after_s, wrote=views.wrote
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
