"""What each worker of a run has used, counted from its asks and attempts.

The answer to a worker that died with money granted to it: the grant counts in full until this
count proves that less was used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.merging.merge import KnownAttempts
from ocrlabel.pipeline.money.account import pages_at_risk, pages_charged
from ocrlabel.pipeline.money.asks import Asks
from ocrlabel.pipeline.money.budget import Purse
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.saved.journal import BatchView, refresh
from ocrlabel.pipeline.workers.heartbeats import Heartbeats
from ocrlabel.pipeline.world import World


async def used_by_worker(
    world: World, plan: Plan, checkpoints: Checkpoints, keys: RunKeys, asks: Asks
) -> dict[str, int]:
    """Pages that every worker was billed for, or may have been, in one round."""
    known = KnownAttempts()
    used: Counter[str] = Counter()

    def count(key: str, attempts: tuple[Attempt, ...]) -> None:
        fresh = [one for one in attempts if (key, one.number) not in known]
        known.add(key, fresh)
        for one in fresh:
            used[one.worker] += pages_charged(one) + pages_at_risk(one)

    finished = {batch for batch, retry in await checkpoints.survey() if retry == 0}
    for batch in range(plan.batches):
        if batch in finished:
            for row in await checkpoints.read(batch):
                count(row.outcome.key, row.outcome.attempts)
        view = BatchView()
        await refresh(world, keys, batch, view)
        for key, attempts in view.tried.items():
            count(key, attempts)
    for listed in await asks.listed():
        if (listed.key, listed.number) not in known and (ask := await asks.read(listed)):
            used[ask.owner.worker] += ask.pages
    return dict(used)


async def settle_for_the_dead(
    world: World,
    purse: Purse,
    heartbeats: Heartbeats,
    recount: Callable[[], Awaitable[dict[str, int]]],
) -> bool:
    """Settle for workers that hold grants and have ended; whether there were any.

    A worker of another host is only known to have ended once it was silent for its duration, so
    this waits for that long where it must, and no longer.
    """
    began_s = world.clock()
    while holders := await purse.unsettled():
        beats = {beat.owner.worker: beat for beat in await heartbeats.look()}
        living = {
            worker for worker in holders if worker in beats and heartbeats.lives(beats[worker])
        }
        if dead := holders - living:
            used = await recount()
            await purse.settle_for({worker: used.get(worker, 0) for worker in dead})
            return True
        longest_s = max(beats[worker].duration_s for worker in living) * 1.5
        if world.clock() - began_s > longest_s:
            return False  # they are alive, and spend what they hold themselves
        await world.sleep(min(1.0, heartbeats.duration_s / 4))
    return False
