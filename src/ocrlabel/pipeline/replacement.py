"""Which run holds: the one in plan.json, or the last that `--fresh` put in its place.

A run's replacement is put if absent under that run's id and never deleted, so of workers that
begin afresh at once one makes it and all find it. Readers begin at plan.json and follow the
replacements, so an old plan there does no harm. Workers of the old run write where nobody looks;
they look for a replacement before they send, every third of a lease and before they merge.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ocrlabel.errors import RunMismatch, StoreUnavailable
from ocrlabel.pipeline.plan import Plan, decode_plan, encode_plan
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.storage.base import NotStored


class Replaced(RunMismatch):
    """Another start with `--fresh` has put its run in the place of this worker's."""


async def find_run(runtime: Runtime, layout: Layout) -> Run | None:
    """The run that holds, None where there is none yet."""
    plan = await _plan_at(runtime, layout.plan_key)
    return None if plan is None else await newest(Run(runtime, layout, plan))


async def newest(run: Run) -> Run:
    """The last replacement of a run; the run itself when nothing has replaced it."""
    seen = {run.plan.run_id}
    while later := await _plan_at(run.runtime, key := run.layout.successor_key(run.plan.run_id)):
        if later.run_id in seen:
            raise RunMismatch(
                f"{run.runtime.where(key)} names run {later.run_id}, which it is said to replace\n"
                "  bring it back from a backup, or move it away if nothing was begun anew here"
            )
        seen.add(later.run_id)
        run = replace(run, plan=later)
    return run


async def put_in_place_of(there: Run, wanted: Run) -> Run:
    """Replace a run. Returns the one that holds then: `wanted`, or that of whoever was first."""
    plan = replace(
        wanted.plan,
        replaces=(*there.plan.replaces, there.plan.run_id),
        replaced_jobs=(*there.plan.replaced_jobs, there.plan.job),
    )
    # the switch: from here on the old run's workers write where nobody looks
    key = there.layout.successor_key(there.plan.run_id)
    await there.runtime.store.put_if_absent(key, encode_plan(plan))
    return await newest(there)


async def bring_plan_up_to(run: Run) -> None:
    """Write plan.json anew, unless it names this run or a later one."""
    written = await _plan_at(run.runtime, run.layout.plan_key)
    if written is None or written.run_id in run.plan.replaces:
        await run.runtime.store.put(run.layout.plan_key, encode_plan(run.plan))


async def refuse_if_replaced(run: Run) -> None:
    """Raise Replaced when the run that a worker works on holds no more."""
    later, run_id = (await newest(run)).plan.run_id, run.plan.run_id
    if later != run_id:
        raise Replaced(
            f"{run.runtime.where(run.layout.root)} was begun anew"
            f" meanwhile: run {later} replaced run {run_id}, which stops here\n"
            "  start this worker again without --fresh to go on with the new run"
        )


async def watch_for_replacement(run: Run) -> None:
    """Look again and again, until it is cancelled. Raises Replaced."""
    while True:
        await run.runtime.sleep(run.options.lease_s / 3)
        with contextlib.suppress(StoreUnavailable):  # the next look tells
            await refuse_if_replaced(run)


async def _plan_at(runtime: Runtime, key: str) -> Plan | None:
    try:
        data = await runtime.store.get(key)
    except NotStored:
        return None
    return decode_plan(data, where=runtime.where(key))
