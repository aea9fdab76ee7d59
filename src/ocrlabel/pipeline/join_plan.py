"""Joining a run: the first to come writes the plan, everybody else must match it.

`--fresh` replaces a run once, however many workers begin so at once: the others go on with the run
that one of them has put in its place. So does `--grow`, for an input that has grown: of workers
that saw different inputs one replaces the run, and the others are refused.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import NoReturn

from ocrlabel.engine import Engine
from ocrlabel.errors import ConfigError, RunMismatch
from ocrlabel.pipeline.budget.attempts import AttemptReader, KnownAttempts
from ocrlabel.pipeline.growth import (
    carry_over,
    grown_out_of,
    has_changed,
    look_at_input,
    refuse_other_run,
)
from ocrlabel.pipeline.merge.ownership import (
    delete_results_of_replaced,
    own_results,
    refuse_to_begin_afresh,
)
from ocrlabel.pipeline.merge.run_record import is_complete
from ocrlabel.pipeline.plan import differences, encode_plan, refuse_other
from ocrlabel.pipeline.progress import read_progress
from ocrlabel.pipeline.replacement import (
    Replaced,
    bring_plan_up_to,
    find_run,
    newest,
    put_in_place_of,
)
from ocrlabel.pipeline.run_context import Run, RunInput
from ocrlabel.pipeline.state.checkpoint import clear_replaced_checkpoints, delete_below
from ocrlabel.pipeline.state.layout import stored_under
from ocrlabel.pipeline.workers.heartbeat import Heartbeats
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

_AT_ONCE_S = 300.0
"""How long after its beginning a fresh run still is what another start with `--fresh` wants."""


async def join_plan(wanted: Run, engine: Engine, dataset: RunInput) -> Run:
    """The run that holds: `wanted` where there was none. Raises RunMismatch for another one."""
    runtime, layout, options = wanted.runtime, wanted.layout, wanted.options
    wanted = replace(wanted, plan=replace(wanted.plan, fresh=options.fresh))
    there = await _existing(wanted)
    raced = there is None
    if there is None:
        there = await _begin(wanted)
        if there is wanted:
            return wanted
    # a retry of the job that began the run, and its array's other children, go on with it
    same_job = bool(options.job) and there.plan.job == options.job
    if not raced:
        there = await _replaced(there, wanted, dataset, same_job=same_job)
    if there.plan.replaces:
        await bring_plan_up_to(there)
        there = await newest(there)  # this worker may have slept through more
    if there.plan.run_id == wanted.plan.run_id:
        return there
    where = runtime.where(layout.root)
    await refuse_other_run(there, wanted.plan, dataset, where=where)
    if join := getattr(engine, "join", None):  # where machines may differ: OF_THE_PLAN
        join(there.plan.options)
    may_join = options.resume or options.fresh or options.grow or same_job
    if not may_join and not await is_complete(there):
        refuse_unfinished(there)
    if options.batch_size not in {None, there.plan.batch_rows}:
        batches = f"batches of {counted(there.plan.batch_rows, 'row')}"
        runtime.tell("batch_size", f"this run was planned with {batches}; it keeps them")
    return there


def refuse_unfinished(there: Run) -> NoReturn:
    """Raise RunMismatch: nobody said that a run of another job is to be gone on with."""
    raise RunMismatch(
        f"{there.runtime.where(there.layout.root)} holds an unfinished run that another job began\n"
        "  add --resume to go on with it and pay only for what is left,"
        f" or --fresh to pay for {counted(there.plan.rows, 'row')} again"
    )


async def _replaced(there: Run, wanted: Run, dataset: RunInput, *, same_job: bool) -> Run:
    """What holds after this start: the run there, where nothing says that it be replaced."""
    if wanted.options.fresh and not same_job:
        return await _begin_afresh(there, wanted)
    if await binds_nobody(there, wanted):
        wanted.runtime.tell("replaced", "an earlier start stored nothing; this one replaces it")
        return await put_in_place_of(there, wanted)
    grown_already = same_job and there.plan.grown  # by another child of the array
    may_grow = wanted.options.grow and not grown_already
    if may_grow and await has_changed(there, wanted.plan, dataset):
        return await _grow(there, wanted, dataset)
    return there


async def _begin(wanted: Run) -> Run:
    """Write the plan where there is none; the run that holds when somebody else was first."""
    key = wanted.layout.plan_key
    try:
        await own_results(wanted, replacing=True)
    except RunMismatch:
        # the plan again: another worker may have begun and ended meanwhile
        if await _existing(wanted) is None:
            raise
    if await wanted.runtime.store.put_if_absent(key, encode_plan(wanted.plan)):
        return wanted
    there = await _existing(wanted)
    if there is None:
        raise RunMismatch(f"{key} came and went: is somebody deleting it?")
    return there


async def binds_nobody(there: Run, wanted: Run) -> bool:
    """Whether what is there is another run in which nothing was done.

    It has no label, no page was or may have been billed, and nobody is at it.
    """
    same_batches = wanted.options.batch_size in {None, there.plan.batch_rows}
    same = same_batches and there.plan.job == wanted.plan.job
    if there.plan.grown:
        return False  # it has all that the runs before it were answered
    if (same and not differences(there.plan, wanted.plan)) or await is_complete(there):
        return False
    known = KnownAttempts()
    try:
        found = await read_progress(there, saw=known.add)
    except RunMismatch:
        return False  # something is there, and it cannot be read
    if found.tally.labelled or found.account.spent_pages:
        return False
    reader = AttemptReader(there.round())
    if [one async for one in reader.unanswered(await reader.listed(), known)]:
        return False
    return not await Heartbeats(there).others_alive()


async def _existing(wanted: Run) -> Run | None:
    """The run that holds, as this start would work on it."""
    found = await find_run(wanted.runtime, wanted.layout)
    return None if found is None else replace(wanted, plan=found.plan)


async def _begin_afresh(there: Run, wanted: Run) -> Run:
    """Put a new run in place of the one that is there, or find the one that another start put."""
    options = wanted.options
    if options.job and options.job in there.plan.replaced_jobs:
        raise RunMismatch(
            f"the run that this job began was itself replaced by a start with --fresh, run"
            f" {there.plan.run_id}\n  submit again: with --resume to go on with that one,"
            f" with --fresh to pay for {counted(wanted.plan.rows, 'row')} once more"
        )
    if not await _has_just_begun(there, wanted):
        with contextlib.suppress(Replaced):
            await refuse_to_begin_afresh(there)
        await _refuse_while_others_work(there, "--fresh")
        there = await put_in_place_of(there, wanted)
    if there.plan.run_id != wanted.plan.run_id:
        text = "another start has just begun this run afresh; going on with that"
        wanted.runtime.tell("fresh", text)
    return there


async def _has_just_begun(there: Run, wanted: Run) -> bool:
    """Whether the run is as new as one that we would begin, and somebody is about to work on it.

    So that of a fleet whose workers are all started with `--fresh`, within a few minutes, the
    first one begins anew and the others join. A run that is finished or left again is replaced.
    """
    options = wanted.options
    age_s = abs(wanted.runtime.wall() - there.plan.created_at_s)
    other_batches = options.batch_size not in {None, there.plan.batch_rows}
    same_job = there.plan.job == options.job
    alike = same_job and not other_batches and not differences(there.plan, wanted.plan)
    if not alike or age_s > _AT_ONCE_S:
        return False
    heartbeats = Heartbeats(there)
    beats = await heartbeats.look()
    if not beats and not heartbeats.used:
        return True  # nothing was done in it yet
    return there.plan.fresh and any(heartbeats.lives(beat) for beat in beats)


async def _grow(there: Run, wanted: Run, dataset: RunInput) -> Run:
    """Put a run over the input as it is now in place of the one there, with all its answers.

    Or find the one that another start put. Raises RunMismatch where rows are gone and that was not
    said.
    """
    try:
        change = await look_at_input(there, dataset)
        if change.gone_rows and not wanted.options.drop_gone:
            where, shown = there.runtime.where(there.layout.root), change.lines + change.way
            refuse_other(there.plan, wanted.plan, where=where, change=shown)
        grown = grown_out_of(there, wanted)
        await own_results(grown, replacing=True)
        while True:
            await _refuse_while_others_work(there, "--grow", change.lines)
            beats = await _heartbeats(there)
            grown = await carry_over(there, grown, change)
            if await _heartbeats(there) == beats:  # nobody did anything there meanwhile
                return await put_in_place_of(there, grown)
    except (NotStored, RunMismatch):
        later = await newest(there)
        if later.plan.run_id == there.plan.run_id:
            raise
        return later  # another start has put it, and cleared away what was being carried


async def _heartbeats(run: Run) -> list[str]:
    return [stored.key async for stored in stored_under(run.runtime, run.keys.workers)]


async def _refuse_while_others_work(there: Run, flag: str, about: str = "") -> None:
    runtime, lease_s = there.runtime, there.options.lease_s
    heartbeats = Heartbeats(there)
    working = await heartbeats.others_alive()
    waited_from_s = runtime.clock()
    while working and runtime.clock() - waited_from_s <= max(b.duration_s for b in working) * 1.3:
        others = counted(len(working), "worker")
        runtime.tell("waiting", f"{others} may still be at it; waiting to see if not")
        await runtime.sleep(min(5.0, lease_s / 4))
        working = await heartbeats.others_alive()
    if working:
        names = ", ".join(beat.owner.worker for beat in working[:3])
        way = f"leave out {flag} to join them" if flag == "--fresh" else "wait until they are done"
        raise (ConfigError if flag == "--fresh" else RunMismatch)(
            f"{flag} is refused while workers of the present run are alive ({names})\n{about}"
            f"  stop them first, or {way}, or write to another --output"
        )


async def clear_replaced(run: Run) -> None:
    """Delete what replaced runs left: leases, journals, attempts, heartbeats, batches, results."""
    for run_id in run.plan.replaces:
        await delete_below(run.runtime, run.layout.of_run(run_id).everything)
    # whoever has a heartbeat has cleared away before, and may have made what has these names now
    if not run.plan.replaces or await _heartbeats(run):
        return
    await clear_replaced_checkpoints(run)
    if not run.plan.grown:  # else the old tables stay until the new ones take their places
        await delete_results_of_replaced(run)
