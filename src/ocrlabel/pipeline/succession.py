"""Which run holds: plan.json names one, and every `--fresh` gives it a successor.

A successor is an object named after the run that it replaces, put if absent and never deleted: of
workers that begin afresh at once one makes it, and all find it. plan.json is only where readers
begin. An old plan there, left by a worker that died or put back by one that slept, leads them to
the newest all the same.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ocrlabel.errors import RunMismatch, StoreUnavailable
from ocrlabel.pipeline.layout import Layout
from ocrlabel.pipeline.plan import Plan, decode_plan, encode_plan
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import NotStored


class Replaced(RunMismatch):
    """Another start with `--fresh` has put its run in the place of this worker's."""


async def written_plan(world: World, layout: Layout) -> Plan | None:
    """The plan in plan.json, None when there is none. It may have successors."""
    return await _plan_at(world, layout.plan_key)


async def newest(world: World, layout: Layout, plan: Plan) -> Plan:
    """The last successor of a plan; the plan itself when nothing has replaced it."""
    while (later := await _plan_at(world, layout.successor_key(plan.run_id))) is not None:
        plan = later
    return plan


async def succeed(world: World, layout: Layout, there: Plan, wanted: Plan) -> Plan:
    """Replace a run. Returns what holds then: `wanted`, or the plan of whoever was first."""
    plan = replace(
        wanted,
        replaces=(*there.replaces, there.run_id),
        replaced_jobs=(*there.replaced_jobs, there.job),
    )
    # the switch: from here on the old run's workers write where nobody looks
    await world.store.put_if_absent(layout.successor_key(there.run_id), encode_plan(plan))
    return await newest(world, layout, there)


async def write_down(world: World, layout: Layout, plan: Plan) -> None:
    """Bring plan.json up to a plan, unless it names that or a later one."""
    written = await written_plan(world, layout)
    if written is None or written.run_id in plan.replaces:
        await world.store.put(layout.plan_key, encode_plan(plan))


async def refuse_if_replaced(world: World, layout: Layout, plan: Plan) -> None:
    """Raise Replaced when the plan that a worker began with holds no more."""
    later = await newest(world, layout, plan)
    if later.run_id != plan.run_id:
        raise Replaced(
            f"{world.store.url.rstrip('/')}/{layout.prefix}/{layout.dataset} was begun anew"
            f" meanwhile: run {later.run_id} replaced run {plan.run_id}, which stops here\n"
            "  start this worker again without --fresh to go on with the new run"
        )


async def watch(world: World, layout: Layout, plan: Plan, *, every_s: float) -> None:
    """Look again and again, until it is cancelled. Raises Replaced."""
    while True:
        await world.sleep(every_s)
        with contextlib.suppress(StoreUnavailable):  # the next look tells
            await refuse_if_replaced(world, layout, plan)


async def _plan_at(world: World, key: str) -> Plan | None:
    try:
        data = await world.store.get(key)
    except NotStored:
        return None
    return decode_plan(data, where=f"{world.store.url.rstrip('/')}/{key}")
