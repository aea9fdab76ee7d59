"""What each worker of a run has used, counted from its asks and attempts.

The answer to a worker that died with money granted to it: the grant counts in full until this
count proves that less was used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import pages_at_risk, pages_charged
from ocrlabel.pipeline.budget.attempts import Asks
from ocrlabel.pipeline.budget.budget import Entry, Purse
from ocrlabel.pipeline.merge.merge import merged_rounds
from ocrlabel.pipeline.merge.usage import KnownAttempts
from ocrlabel.pipeline.rate.fleet import MARGIN
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Tools
from ocrlabel.pipeline.runtime import World, certainly_dead
from ocrlabel.pipeline.state.journal import BatchView, refresh
from ocrlabel.pipeline.workers.heartbeat import Beat, Heartbeats


async def used_by_worker(tools: Tools) -> dict[str, int]:
    """Pages that every worker was billed for, or may have been, in all rounds of the run."""
    used: Counter[str] = Counter()
    for retry in range(1 + await rounds_begun(tools.world, tools.keys(0))):
        if (asks := tools.asks(retry)) is not None:
            used += await _used_in_round(tools, asks, retry)
    for beyond in (await merged_rounds(tools.world, tools.keys(0))).values():
        # of the rounds that are merged, asks and journals are cleared away
        used += Counter(beyond.pages_by_worker)
    return dict(used)


async def _used_in_round(tools: Tools, asks: Asks, retry: int) -> Counter[str]:
    """The same of one round: attempts are numbered from 1 in each.

    Read in the order in which things move on: an ask gets an attempt in a journal, and a journal
    becomes a checkpoint. What moves meanwhile is seen in its later place.
    """
    known = KnownAttempts()
    used: Counter[str] = Counter()

    def count(key: str, attempts: tuple[Attempt, ...]) -> None:
        fresh = [one for one in attempts if (key, one.number) not in known]
        known.add(key, fresh)
        for one in fresh:
            used[one.worker] += pages_charged(one) + pages_at_risk(one)

    listed = await asks.listed()
    for batch in range(tools.plan.batches):
        view = BatchView()
        await refresh(tools.world, tools.keys(retry), batch, view)
        for key, attempts in view.tried.items():
            count(key, attempts)
    for batch, of_retry in await tools.checkpoints.survey():
        if of_retry == retry:
            for row in await tools.checkpoints.read(batch, retry):
                count(row.outcome.key, row.outcome.attempts)
    for one in listed:
        if (one.key, one.number) not in known and (ask := await asks.read(one)) is not None:
            used[ask.owner.worker] += ask.pages
    return used


async def settle_for_the_dead(
    world: World,
    purse: Purse,
    heartbeats: Heartbeats,
    recount: Callable[[], Awaitable[dict[str, int]]],
) -> bool:
    """Settle for workers that hold grants and have ended; whether more may be left now.

    A worker of another host is only known to have ended once it was silent for its duration, so
    this waits for that long where it must, and no longer.
    """
    began_s = world.clock()
    at_first = found = await purse.holders()
    while at_first.keys() <= found.keys():
        if not found:
            return False
        beats = {beat.owner.worker: beat for beat in await heartbeats.look()}
        gone = [
            entry
            for worker, entry in found.items()
            if _has_ended(entry, beats.get(worker), world, heartbeats)
        ]
        if gone:
            await purse.settle_for(gone, await recount())
            return True
        if world.clock() - began_s > max(_silent_s(found, beats)) * 1.5:
            return False  # they are alive, and spend what they hold themselves
        await world.sleep(min(1.0, heartbeats.duration_s / 4))
        found = await purse.holders()
    return True  # one of them has settled by itself


def _has_ended(entry: Entry, beat: Beat | None, world: World, heartbeats: Heartbeats) -> bool:
    """Whether a holder is gone; its newest entry is a sign of life, as a heartbeat is.

    It counts by itself before the first heartbeat of a worker, and in its later rounds.
    """
    if beat is not None and certainly_dead(beat.owner, world.me, world.alive):
        return True
    if beat is not None and heartbeats.lives(beat):
        return False
    return world.clock() >= entry.since_s + entry.duration_s * MARGIN


def _silent_s(entries: Mapping[str, Entry], beats: Mapping[str, Beat]) -> Iterator[float]:
    for worker, entry in entries.items():
        yield max(entry.duration_s, beats[worker].duration_s if worker in beats else 0.0)
