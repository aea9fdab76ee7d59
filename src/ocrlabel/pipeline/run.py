"""A run: join its plan, read what is left, merge, say how it went.

`docs/architecture.md` tells its six steps. `--retry-failed` does all but the first again over the
rows that failed, as another round. Whatever ends a run early, what was answered is saved by then,
and the same call goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.engine import Engine
from ocrlabel.errors import ConfigError, Interrupted, OcrLabelError, RunMismatch, StoreUnavailable
from ocrlabel.labels import ImageRef, Tally
from ocrlabel.options import BATCH_ROWS, Options
from ocrlabel.pipeline.budget.attempts import AttemptClaimer
from ocrlabel.pipeline.budget.budget import BudgetClient, cap_pages
from ocrlabel.pipeline.counters import Counters
from ocrlabel.pipeline.events import AllSettled, BatchSaved, Started
from ocrlabel.pipeline.join_plan import clear_replaced, join_plan
from ocrlabel.pipeline.leases.leases import Leases
from ocrlabel.pipeline.leases.scheduler import Scheduler
from ocrlabel.pipeline.merge.merge import clear_journals, finish, publish, record_now
from ocrlabel.pipeline.merge.ownership import (
    Standing,
    has_written,
    hold_results,
    own_results,
)
from ocrlabel.pipeline.merge.partial import hand_over, record_so_far, write_partial
from ocrlabel.pipeline.merge.run_record import RunRecord, read_record
from ocrlabel.pipeline.merge.usage import settle_dead_workers, used_by_worker
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.preflight import refuse_without_images
from ocrlabel.pipeline.progress import RunProgress, read_progress, told_of_retry
from ocrlabel.pipeline.rate.breaker import Breaker
from ocrlabel.pipeline.rate.limiter import RatePool
from ocrlabel.pipeline.replacement import Replaced, refuse_if_replaced, watch_for_replacement
from ocrlabel.pipeline.requests.image_reader import Reuse, RowReader
from ocrlabel.pipeline.requests.refusals import Refusals
from ocrlabel.pipeline.requests.request import Exchange, PaidRequests, ReadyQueue
from ocrlabel.pipeline.requests.task_pool import TaskPool
from ocrlabel.pipeline.retry_rounds import checked_classes, retry_round, rounds_begun
from ocrlabel.pipeline.run_context import Round, Run, RunInput
from ocrlabel.pipeline.runtime import AT_ONCE, CLEARING_UP_S, SAVING_S, Draining, Runtime, Stop
from ocrlabel.pipeline.selection import Selection, select
from ocrlabel.pipeline.state.carried import CarriedAnswers
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.journal import JournalCache, JournalWriter, Record
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.pipeline.state.rescue import take_in, write_rescue
from ocrlabel.pipeline.state.run_store import RunStore
from ocrlabel.pipeline.workers.heartbeat import Heartbeats
from ocrlabel.pipeline.workers.heartbeat_loop import HeartbeatLoop
from ocrlabel.pipeline.workers.limits import limits_of, say_limits
from ocrlabel.wording import counted, usd

_CHANGE = "change or lift it by"
_GOES_ON = "all that was answered is saved: run the same command again to go on"
_LAST_S = SAVING_S + 5.0
"""After the grace: the store was given up, and the rescue file written, or not."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. already: done before. partial: rows were left out; early: unasked.

    labels_key and failures_key name the tables that were written, partial ones included. retry: of
    a retry round that is in no table yet, in words.
    """

    record: RunRecord
    labels_key: str
    failures_key: str
    already: bool = False
    partial: bool = False
    early: bool = False
    retry: str = ""


async def run(
    runtime: Runtime,
    layout: Layout,
    dataset: RunInput,
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
    checked_classes(options.retry_failed or ())  # before a round is paid for
    price_usd = engine.price_per_page_usd
    counters = Counters(runtime.emit, stop, price_usd)
    runtime = replace(runtime, emit=counters, store=RunStore(runtime.store, stop))
    plan = Plan(
        run_id=runtime.token()[:12],
        dataset=layout.dataset,
        source=dataset.describe(),
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        engine=engine.name,
        options=dict(engine.options),
        batch_rows=options.batch_size or BATCH_ROWS,
        created_at_s=runtime.wall(),
        job=options.job,
    )
    wanted = Run(runtime, layout, plan, options, price_usd)
    worker = Worker(wanted, engine, dataset, stop, counters, scratch, reuse)
    try:
        return await _run(worker)
    except Draining:
        raise counters.tell_of_cut(_stopped(stop)) from None
    except OcrLabelError as error:
        counters.tell_of_cut(error)
        raise


@dataclass(slots=True)
class Worker:
    """What this process works on a run with, in all its rounds.

    run: the one that it wants, until it has joined. budget: None for engines that cost nothing.
    known_limits: the entry of the log of limits up to which the run's options hold.
    """

    run: Run
    engine: Engine
    dataset: RunInput
    stop: Stop
    counters: Counters
    scratch: Path
    reuse: Reuse | None
    carried: CarriedAnswers | None = None
    known_limits: int = 0
    pool: RatePool = field(init=False)
    breaker: Breaker = field(init=False)
    budget: BudgetClient | None = None

    async def set_to_work(self) -> None:
        """Begin, with the options as they hold for the run that it has joined."""
        if self.run.plan.grown:
            self.carried = await CarriedAnswers(self.run).open()
        engine, runtime, options = self.engine, self.run.runtime, self.run.options
        self.counters.began_at_s = runtime.wall()
        self.pool = RatePool(
            lanes=engine.lanes,
            clock=runtime.clock,
            sleep=runtime.sleep,
            rps=options.rps,
            concurrency=options.concurrency or engine.parallel,
            wall=runtime.wall,
        )
        self.breaker = Breaker(probe_timeout_s=engine.request_timeout_s + 30.0)
        if (price_usd := self.run.price_per_page_usd) > 0:
            self.budget = BudgetClient(self.run, cap=cap_pages(options.max_cost, price_usd))


async def _run(worker: Worker) -> Result:
    engine, stop, scratch, given = worker.engine, worker.stop, worker.scratch, worker.run.options
    async with stop.ending(AT_ONCE):
        before, already = await _join(worker)
        await worker.set_to_work()
    run, options = worker.run, worker.run.options
    if before is not None:
        if not already:  # somebody deleted or destroyed one: it is made again
            async with stop.ending():
                before = await publish(run.round(before.retries), scratch)
        if options.retry_failed is None:
            result = _result(run, before, already=already)
            async with stop.ending():
                if before.has_merged(await rounds_begun(run)):
                    return result
                record = await record_so_far(run, before.reason)
                retry = told_of_retry((await read_progress(run)).retried)
            return replace(result, record=record, retry=retry)
    async with stop.ending(AT_ONCE):
        worker.known_limits = await say_limits(run, given)
        _tell_limits(run, given)
        selection = select(
            run.plan.rows, limit=options.limit, sample=options.sample, seed=options.seed
        )
        found = await read_progress(run, selection)
        run.runtime.emit(_started(run, found, selection))
        if found.tally.labelled + found.tally.failed == 0:
            await refuse_without_images(worker.dataset)
    try:
        async with stop.ending(AT_ONCE):
            await engine.start()
            if before is None:
                record = await record_now(run, found.tally, found.account, complete=False)
                await hold_results(run, record)
        async with stop.ending(_LAST_S):
            if before is None:
                await _read_all(worker, run.round(), selection, found.open_batches)
                if not selection.everything(run.plan.rows):
                    async with stop.ending():
                        record = await write_partial(run, worker.dataset, scratch)
                    keys = run.layout.partial_labels_key, run.layout.partial_failures_key
                    return Result(record, *keys, partial=True)
                before = await finish(run.round(), scratch, stop)
            if options.retry_failed is not None:
                before = await _retry(worker, found, before)
            return _result(run, before)
    finally:
        await _close(engine, run.runtime, CLEARING_UP_S if stop.draining else None)


async def _close(engine: Engine, runtime: Runtime, within_s: float | None) -> None:
    try:
        async with asyncio.timeout(within_s):
            await engine.close()
    except TimeoutError:
        pass  # its processes end with this one
    except ConfigError as error:  # an engine of others: what the run came to is what counts
        runtime.tell("engine", str(error))


async def _join(worker: Worker) -> tuple[RunRecord | None, bool]:
    """Join the run: its record where it is finished, and whether its tables are there."""
    wanted = worker.run
    run = await join_plan(wanted, worker.engine, worker.dataset)
    await clear_replaced(run)
    worker.run = run = replace(run, options=(await limits_of(run)).hold_for(wanted.options))
    before = await read_record(run)
    if before is None or not before.complete:
        await take_in(run, merged_round=-1)
        await own_results(run, replacing=not await has_written(run))
        return None, False
    await take_in(run, merged_round=before.retries)
    # run.json has their account: what a crash left of them must not be counted again
    await clear_journals(run.round(before.retries))
    there = await own_results(run, keys=(run.layout.labels_key, run.layout.failures_key))
    return before, set(there.values()) <= {Standing.OURS, Standing.CORRECTED}


async def _retry(worker: Worker, found: RunProgress, before: RunRecord) -> RunRecord:
    """The retry round that was asked for."""
    run = worker.run
    again = await retry_round(run, run.options.retry_failed or (), merged=before.retries)
    if again is None:
        run.runtime.tell("retry", "nothing has failed that could be tried again")
        return before
    await own_results(run, replacing=True)  # what the retry will write over
    metas = await checkpoint_metas(run)
    batches = sorted(b for b in again.batches(run.plan) if (b, again.number) not in metas)
    selection = again.selection(run.plan)
    done = found.retried if again.number == found.round_number else Tally()
    started = _started(run, found, selection)
    run.runtime.emit(replace(started, done=done.labelled + done.failed, failed=done.failed))
    await _read_all(worker, run.round(again.number), selection, batches)
    return await finish(run.round(again.number), worker.scratch, worker.stop)


async def _read_all(
    worker: Worker, round_: Round, selection: Selection, batches: Sequence[int]
) -> None:
    """One round; when it ends early, run.json says why and how far it came, and partial tables.

    Not so when the run was replaced: run.json is the new one's then.
    """
    run, stop = worker.run, worker.stop
    if not round_.number and not selection.everything(run.plan.rows):
        asked_for = f"{selection.count():,} of {counted(run.plan.rows, 'row')}"
        run.runtime.tell("part", f"{asked_for}, as --limit and --sample ask for")
    try:
        await refuse_if_replaced(run)  # nothing is paid for a run that nobody will look at
        await read_round(worker, round_, selection, batches)
        with contextlib.suppress(StoreUnavailable):  # the merge waits for the store
            await refuse_if_replaced(run)
    except Replaced:
        raise
    except OcrLabelError as error:
        await hand_over(run, worker.dataset, worker.scratch, stop, error)
        raise
    finally:
        if worker.budget is not None:
            with contextlib.suppress(StoreUnavailable):
                await worker.budget.settle()
    if stop.draining:
        ended, until_s = Interrupted(stop.reason), stop.grace_ends_s
        await hand_over(run, worker.dataset, worker.scratch, stop, ended, until_s=until_s)
        ended.args = _stopped(stop).args
        raise ended
    run.runtime.emit(AllSettled())


def _stopped(stop: Stop) -> Interrupted:
    return Interrupted(f"{stop.reason}; {_GOES_ON}")


def _tell_limits(run: Run, given: Options) -> None:
    """Limits that hold though this start did not name them, or named others."""
    options, tell = run.options, run.runtime.tell
    if options.max_cost is not None and options.max_cost != given.max_cost:
        cap = f"the cap of {usd(options.max_cost)}"
        tell("cap", f"{cap} that this run has still holds: {_CHANGE} --max-cost")
    if options.rps is not None and options.rps != given.rps:
        rate = f"the rate of {options.rps:g} requests/s"
        tell("rate", f"{rate} that this run has still holds: {_CHANGE} --rps")


def _started(run: Run, found: RunProgress, selection: Selection) -> Started:
    return Started(
        rows=selection.count(),
        done=found.done,
        failed=found.failed,
        engine=run.plan.engine,
        price_per_page_usd=run.price_per_page_usd,
        spent_pages=found.account.spent_pages,
        pages_per_row=found.pages_per_row,
        max_cost_usd=run.options.max_cost,
    )


def _result(run: Run, record: RunRecord, *, already: bool = False) -> Result:
    return Result(record, run.layout.labels_key, run.layout.failures_key, already=already)


async def read_round(
    worker: Worker, round_: Round, selection: Selection, unfinished: Sequence[int]
) -> None:
    """Read every selected row of the unfinished batches, with whoever else is at it.

    Returns when all of them are settled. Raises what stopped the run; by then everything that
    was answered is saved, and every lease is given back.
    """
    run, options = worker.run, worker.run.options
    journals = JournalCache(round_)
    journal = JournalWriter(
        round_,
        stop=worker.stop,
        give_up_after_s=options.give_up_after,
        wrote=journals.wrote,
    )

    async def refs(start: int, stop: int) -> Sequence[ImageRef]:
        return await asyncio.to_thread(worker.dataset.refs, start, stop)

    scheduler = Scheduler(
        round=round_,
        leases=Leases(round_, duration_s=options.lease_s),
        journals=journals,
        stop=worker.stop,
        selection=selection,
        refs=refs,
        batch_done=partial(_write_checkpoint, round_, selection, journals, refs),
        unfinished=unfinished,
    )
    exchange = Exchange(
        run=run,
        engine=worker.engine,
        stop=worker.stop,
        pool=worker.pool,
        breaker=worker.breaker,
        journal=journal,
        refusals=(refusals := Refusals(runtime=run.runtime, stop=worker.stop)),
    )
    paid = None
    if worker.budget is not None:
        recount = partial(used_by_worker, run)
        worker.budget.settle_dead_workers = partial(
            settle_dead_workers, run.runtime, worker.budget, Heartbeats(run), recount
        )
        claimer = AttemptClaimer(
            round_,
            send_within_s=options.send_within_s,
            request_timeout_s=worker.engine.request_timeout_s,
            margin_s=options.lease_s / 4,
        )
        paid = PaidRequests(
            exchange=exchange,
            claimer=claimer,
            journals=journals,
            budget=worker.budget,
            queue=ReadyQueue(worker.pool.rate_now),
            take_in=partial(take_in, run, merged_round=round_.number - 1),
        )
    tasks = TaskPool(
        run=run,
        scheduler=scheduler,
        reader=RowReader(
            exchange=exchange,
            images=worker.dataset,
            paid=paid,
            reuse=worker.reuse,
            carried=worker.carried,
        ),
        stop=worker.stop,
    )
    heartbeats = HeartbeatLoop(
        run=run,
        pool=worker.pool,
        budget=worker.budget,
        busy=lambda: tasks.busy,
        report=lambda: replace(
            worker.counters.report(), trouble=exchange.trouble(), held_back=refusals.report()
        ),
        told=refusals.told,
        known_limits=worker.known_limits,
    )
    writing, *others = (
        asyncio.ensure_future(work)
        for work in (journal.run(), scheduler.keep(), heartbeats.keep(), watch_for_replacement(run))
    )
    spare = os.open(os.devnull, os.O_RDONLY)  # for the rescue file, where no handle is left
    ended: BaseException | None = None
    try:
        await _while_all_live(
            tasks.work(), [writing, *others], worker.stop, grace_s=options.grace_s
        )
    except BaseException as error:
        ended = error
        if isinstance(error, asyncio.CancelledError):  # whoever called us does not wait for a store
            worker.stop.drain("cancelled by its caller", grace_s=0.0)
        raise
    finally:
        journal.close()
        (gave_up,) = await asyncio.gather(writing, return_exceptions=True)
        os.close(spare)
        try:
            if journal.unsaved:
                await _rescue(worker, round_, journal.unsaved, [ended, gave_up])
        finally:
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await scheduler.release_all()
            await heartbeats.end()


async def _rescue(
    worker: Worker,
    round_: Round,
    unsaved: Sequence[tuple[int, Record]],
    ended_by: Sequence[BaseException | None],
) -> None:
    """Keep what the store did not take. Raises Interrupted with what was done, or emits it."""
    words = await write_rescue(round_, unsaved)
    for error in ended_by:
        if error is not None and not isinstance(error, OcrLabelError):
            worker.run.runtime.tell("rescue", words)
            return
    reasons = [worker.stop.reason, *(str(error) for error in ended_by if error is not None), words]
    raise Interrupted("\n  ".join(dict.fromkeys(filter(None, reasons))))


async def _while_all_live(
    work: Awaitable[None], others: Sequence[asyncio.Future[None]], stop: Stop, *, grace_s: float
) -> None:
    """Do the work. One of the others that fails ends it too, in order: what was sent may end."""
    main = asyncio.ensure_future(work)
    try:
        await asyncio.wait({main, *others}, return_when=asyncio.FIRST_COMPLETED)
        failed = None
        if not main.done():
            failed = next(error for one in others if one.done() and (error := one.exception()))
        if isinstance(failed, Exception):
            stop.drain(str(failed), grace_s=grace_s)
            with contextlib.suppress(Exception):  # the first cause is what is told
                await main
        if failed is not None:
            raise failed
        await main
    finally:
        # whoever ends it, what was under way is written down before the journal is closed
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)


async def _write_checkpoint(
    round_: Round,
    selection: Selection,
    journals: JournalCache,
    refs: Callable[[int, int], Awaitable[Sequence[ImageRef]]],
    batch: int,
) -> None:
    """Make the checkpoint of a batch whose slices are all closed, unless somebody has."""
    checkpoints, plan = Checkpoints(round_), round_.run.plan
    if await checkpoints.exists(batch):
        journals.drop(batch)
        return
    journal = await journals.fresh(batch)
    whole = plan.batch_range(batch)
    ordinals = selection.within(whole) if round_.number else whole
    if missing := [ordinal for ordinal in ordinals if ordinal not in journal.outcomes]:
        if await checkpoints.exists(batch):
            return  # it was merged, and its journal cleared, between the two looks
        raise RunMismatch(
            f"batch {batch} is closed, but the journal lacks rows {missing[:5]}\n"
            "  somebody deleted parts of it: bring them back; without them, another --output with"
            " --reuse-from and the labels table of this run pays only for what is not in it"
        )
    wanted, settled = set(ordinals), journal.settled()
    rows = [
        Settled(ref, settled[ref.ordinal])
        for ref in await refs(whole.start, whole.stop)
        if ref.ordinal in wanted
    ]
    await checkpoints.write(batch, rows, journal_objects=len(journal.seen))
    journals.drop(batch)
    round_.runtime.emit(BatchSaved(batch, plan.batches))
