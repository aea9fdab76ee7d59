"""The end of a run: merged once, under a lease, by whoever sees the last batch done.

Tables first, then run.json, then the lease is closed, and only then are journals and asks cleared
away: a crash anywhere in between leaves something that the next worker can do again.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.leases.lease import Lease, Leases
from ocrlabel.pipeline.leases.standing import Closed, Free, LeaseState
from ocrlabel.pipeline.merging.publish import publish
from ocrlabel.pipeline.merging.record import Finished, labels_are_there, read_record
from ocrlabel.pipeline.reading.outage import Outage
from ocrlabel.pipeline.saved.clearing import delete_below
from ocrlabel.pipeline.tools import Tools

MERGE = "merge"
"""The name of the lease under which tables and run.json are written."""

_LOOK_S = 0.5
_STORE_PAUSE_S = 5.0


async def finish(tools: Tools, scratch: Path, *, retry: int) -> Finished:
    """Merge, or wait until somebody else has. Raises Draining when asked to stop meanwhile.

    A store that does not answer is waited for, for as long as an outage may last.
    """
    leases, outage = tools.leases(retry), Outage()
    while True:
        try:
            found = await _found_or_merged(tools, leases, scratch, retry=retry)
        except StoreUnavailable as error:
            if outage.failed(tools.world.clock()):
                tools.world.emit(Notice("store", f"{error}; waiting for it"))
            if outage.tried_for_s >= tools.options.give_up_after_s:
                raise
            await tools.stop.nap(tools.world.sleep, _STORE_PAUSE_S)
        else:
            if found is not None:
                return found
            outage.over()
            await tools.stop.nap(tools.world.sleep, _LOOK_S)


async def _found_or_merged(
    tools: Tools, leases: Leases, scratch: Path, *, retry: int
) -> Finished | None:
    """The merged run; None while somebody else is at it."""
    match await leases.look(MERGE):
        case Closed():
            found = await _merged(tools, retry=retry)
            if found is None:
                # somebody deleted what was written: it is made again from the checkpoints
                return await publish(tools, scratch, retry=retry)
            # whoever closed it may have died, or lost the store, before he cleared up
            await clear_journals(tools, retry=retry)
            return found
        case Free() as free:
            lease = await leases.claim(MERGE, free)
            if lease is not None:
                return await _merge_under(tools, leases, lease, scratch, retry=retry)
        case _:
            pass
    return None


async def _merged(tools: Tools, *, retry: int) -> Finished | None:
    """What is written of a run whose round was merged; None when something of it is gone."""
    found = await read_record(tools.world, tools.layout, tools.plan)
    if found is None or not found.complete or int(found.told["retries"]) < retry:
        return None
    return found if await labels_are_there(tools.world, tools.layout) else None


async def _merge_under(
    tools: Tools, leases: Leases, lease: Lease, scratch: Path, *, retry: int
) -> Finished:
    async def keep() -> None:
        while not lease.lost:
            await tools.world.sleep(leases.duration_s / 3)
            with contextlib.suppress(StoreUnavailable):  # the next try renews it, or it expires
                await leases.renew(lease)

    keeping = asyncio.ensure_future(keep())
    try:
        found = await publish(tools, scratch, retry=retry)
        await leases.give_back(lease, LeaseState.CLOSED)
    except StoreUnavailable:
        with contextlib.suppress(StoreUnavailable):  # then it expires
            await leases.give_back(lease, LeaseState.RELEASED)
        raise
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    await clear_journals(tools, retry=retry)
    return found


async def clear_journals(tools: Tools, *, retry: int) -> None:
    """Delete what the tables and run.json have taken over: journals and asks of a round."""
    keys = tools.keys(retry)
    for prefix in (keys.journals, keys.asks):
        await delete_below(tools.world, prefix)
