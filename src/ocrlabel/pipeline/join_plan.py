"""Agreeing on the plan: the first to come writes it, everybody else must match it.

`--fresh` replaces a run once, however many workers begin so at once: the others go on with the run
that one of them has put in its place.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ocrlabel.errors import ConfigError, RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.merge.run_record import labels_are_there, read_record
from ocrlabel.pipeline.plan import (
    Plan,
    differences,
    encode_plan,
    newest,
    refuse_other,
    succeed,
    write_down,
    written_plan,
)
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.checkpoint import Checkpoints, delete_below
from ocrlabel.pipeline.state.layout import Layout, RunKeys
from ocrlabel.pipeline.workers.heartbeat import Heartbeats
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

_AT_ONCE_S = 300.0
"""How long after its beginning a fresh run still is what another start with `--fresh` wants."""


async def existing_plan(world: World, layout: Layout) -> Plan | None:
    """The plan that holds, None when this would be the first run."""
    written = await written_plan(world, layout)
    return None if written is None else await newest(world, layout, written)


async def agree(world: World, layout: Layout, wanted: Plan, options: Options) -> Plan:
    """The plan that holds. Raises RunMismatch when another run's is there."""
    wanted = replace(wanted, fresh=options.fresh)
    there = await existing_plan(world, layout)
    raced = there is None
    if there is None:
        # labels first, then the plan again: another worker may have begun and ended meanwhile
        foreign = not options.fresh and await labels_are_there(world, layout)
        if foreign and await existing_plan(world, layout) is None:
            raise _not_ours(world, layout)
        if await world.store.put_if_absent(layout.plan_key, encode_plan(wanted)):
            return wanted
        there = await existing_plan(world, layout)
        if there is None:
            raise RunMismatch(f"{layout.plan_key} came and went: is somebody deleting it?")
    # a retry of the job that began the run, and its array's other children, go on with it
    same_job = bool(options.job) and there.job == options.job
    if options.fresh and not same_job and not raced:
        there = await _afresh(world, layout, there, wanted, options)
    if there.replaces:
        await write_down(world, layout, there)
        there = await newest(world, layout, there)  # this worker may have slept through more
    if there.run_id == wanted.run_id:
        return there
    where = f"{world.store.url.rstrip('/')}/{layout.prefix}/{layout.dataset}"
    refuse_other(there, wanted, where=where)
    may_join = options.resume or options.fresh or same_job
    if not may_join and not await _is_complete(world, layout, there):
        raise RunMismatch(
            f"{where} holds an unfinished run that another job began\n"
            "  add --resume to go on with it and pay only for what is left,"
            f" or --fresh to pay for {counted(there.rows, 'row')} again"
        )
    if options.batch_size not in {None, there.batch_rows}:
        batches = f"batches of {counted(there.batch_rows, 'row')}"
        world.emit(Notice("batch_size", f"this run was planned with {batches}; it keeps them"))
    return there


async def _is_complete(world: World, layout: Layout, plan: Plan) -> bool:
    record = await read_record(world, layout, plan)
    return record is not None and record.complete


def _not_ours(world: World, layout: Layout) -> ConfigError:
    return ConfigError(
        f"{world.store.url.rstrip('/')}/{layout.labels_key} exists, and no run that made"
        " it is known here\n"
        "  write to another --output, move that file away, or add --fresh to replace it"
    )


async def _afresh(
    world: World, layout: Layout, there: Plan, wanted: Plan, options: Options
) -> Plan:
    """Put a new plan in place of the one that is there, or find the one that another start put."""
    if options.job and options.job in there.replaced_jobs:
        raise RunMismatch(
            f"the run that this job began was itself replaced by a start with --fresh, run"
            f" {there.run_id}\n  submit again: with --resume to go on with that one,"
            f" with --fresh to pay for {counted(wanted.rows, 'row')} once more"
        )
    if not await _has_just_begun(world, layout, there, wanted, options):
        await _refuse_while_others_work(world, layout, there, options)
        there = await succeed(world, layout, there, wanted)
    if there.run_id != wanted.run_id:
        text = "another start has just begun this run afresh; going on with that"
        world.emit(Notice("fresh", text))
    return there


async def _has_just_begun(
    world: World, layout: Layout, there: Plan, wanted: Plan, options: Options
) -> bool:
    """Whether the run is as new as one that we would begin, and somebody is about to work on it.

    So that of a fleet whose workers are all started with `--fresh`, within a few minutes, the
    first one begins anew and the others join. A run that is finished or left again is replaced.
    """
    age_s = abs(world.wall() - there.created_at_s)
    other_batches = options.batch_size not in {None, there.batch_rows}
    alike = there.job == options.job and not other_batches and not differences(there, wanted)
    if not alike or age_s > _AT_ONCE_S:
        return False
    heartbeats = Heartbeats(world, layout.of_run(there.run_id), duration_s=options.lease_s)
    beats = await heartbeats.look()
    if not beats and not heartbeats.used:
        return True  # nothing was done in it yet
    return there.fresh and any(heartbeats.lives(beat) for beat in beats)


async def clear_replaced(world: World, layout: Layout, plan: Plan) -> None:
    """Delete what replaced runs left: leases, journals, asks, heartbeats, batches and results."""
    for run_id in plan.replaces:
        await delete_below(world, layout.of_run(run_id).everything)
    if not plan.replaces or await _works(world, layout.of_run(plan.run_id)):
        return
    await Checkpoints(world, layout, plan).clear_replaced()
    try:
        told = json.loads(await world.store.get(layout.run_key))
    except (NotStored, ValueError):
        return
    if told.get("run_id") in plan.replaces:
        await world.store.delete(
            [layout.labels_key, layout.failures_key, layout.report_key, layout.run_key]
        )


async def _works(world: World, keys: RunKeys) -> bool:
    """Whether a worker of the run has got as far as its first heartbeat.

    It has cleared away before that, and under the same names may now be what the new run made.
    """
    return bool([stored async for stored in world.store.list(keys.workers)])


async def _refuse_while_others_work(
    world: World, layout: Layout, there: Plan, options: Options
) -> None:
    heartbeats = Heartbeats(world, layout.of_run(there.run_id), duration_s=options.lease_s)
    working = await heartbeats.others_alive()
    waited_from_s = world.clock()
    while working and world.clock() - waited_from_s <= max(b.duration_s for b in working) * 1.3:
        others = counted(len(working), "worker")
        world.emit(Notice("waiting", f"{others} may still be at it; waiting to see if not"))
        await world.sleep(min(5.0, options.lease_s / 4))
        working = await heartbeats.others_alive()
    if working:
        names = ", ".join(beat.owner.worker for beat in working[:3])
        raise ConfigError(
            f"--fresh is refused while workers of the present run are alive ({names})\n"
            "  stop them first, or leave out --fresh to join them, or write to another --output"
        )
