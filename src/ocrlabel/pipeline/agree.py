"""Agreeing on the plan: the first to come writes it, everybody else must match it."""

from __future__ import annotations

import json
from dataclasses import replace

from ocrlabel.errors import ConfigError, RunMismatch
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.layout import Layout
from ocrlabel.pipeline.merging.record import labels_are_there, read_record
from ocrlabel.pipeline.options import RunOptions
from ocrlabel.pipeline.plan import Plan, decode_plan, encode_plan, refuse_other
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.saved.clearing import delete_below
from ocrlabel.pipeline.workers.heartbeats import Heartbeats
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted


async def existing_plan(world: World, layout: Layout) -> Plan | None:
    """The plan that is there, None when this would be the first run."""
    try:
        data = await world.store.get(layout.plan_key)
    except NotStored:
        return None
    return decode_plan(data, where=f"{world.store.url.rstrip('/')}/{layout.plan_key}")


async def agree(world: World, layout: Layout, wanted: Plan, options: RunOptions) -> Plan:
    """The plan that holds. Raises RunMismatch when another run's is there."""
    there = await existing_plan(world, layout)
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
    same_job = bool(options.job) and there.job == options.job
    if options.fresh and not same_job:
        # a retry of the job that began afresh, and its array's other children, go on with it
        return await _start_afresh(world, layout, there, wanted, options)
    where = f"{world.store.url.rstrip('/')}/{layout.prefix}/{layout.dataset}"
    refuse_other(there, wanted, where=where)
    if not options.join and not same_job and not await _is_complete(world, layout, there):
        raise RunMismatch(
            f"{where} holds an unfinished run that another job began\n"
            "  add --resume to go on with it and pay only for what is left,"
            f" or --fresh to pay for {counted(there.rows, 'row')} again"
        )
    if options.batch_rows not in {None, there.batch_rows}:
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


async def _start_afresh(
    world: World, layout: Layout, there: Plan, wanted: Plan, options: RunOptions
) -> Plan:
    """Put a new plan in place of the one that is there, then clear away what it left."""
    await _refuse_while_others_work(world, layout, there, options)
    plan = replace(wanted, replaces=(*there.replaces, there.run_id))
    # the switch: from here on the old run's workers write where nobody looks
    await world.store.put(layout.plan_key, encode_plan(plan))
    await clear_replaced(world, layout, plan)
    return plan


async def clear_replaced(world: World, layout: Layout, plan: Plan) -> None:
    """Delete what replaced runs left: leases, journals, asks, heartbeats, batches and results."""
    for run_id in plan.replaces:
        await delete_below(world, layout.of_run(run_id).everything)
    if not plan.replaces:
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


async def _refuse_while_others_work(
    world: World, layout: Layout, there: Plan, options: RunOptions
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
            "  stop them first, or write to another --output"
        )
