"""Settling for dead workers: what each has used, counted from its claims and attempts.

The pages granted to a worker that died count in full against the cap until this count proves that
less was used. So it is made when the cap seems to be reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import pages_spent
from ocrlabel.pipeline.budget.attempts import UNREADABLE, AttemptReader, KnownAttempts
from ocrlabel.pipeline.budget.budget import BudgetClient, BudgetEntry
from ocrlabel.pipeline.merge.usage import merged_rounds
from ocrlabel.pipeline.rate.fleet import MARGIN
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.journal import read_journal
from ocrlabel.pipeline.workers.heartbeat import Beat, Heartbeats


async def settle_dead_workers(
    runtime: Runtime,
    budget: BudgetClient,
    heartbeats: Heartbeats,
    recount: Callable[[], Awaitable[dict[str, int]]],
) -> bool:
    """Settle for workers that hold grants and have ended; whether more may be left now.

    A worker of another host is only known to have ended once it was silent for its duration, so
    this waits for that long where it must, and no longer.
    """
    began_s = runtime.clock()
    at_first = found = await budget.holders()
    while at_first.keys() <= found.keys():
        if not found:
            return False
        beats = {beat.owner.worker: beat for beat in await heartbeats.look()}
        gone = [
            entry
            for worker, entry in found.items()
            if _has_ended(entry, beats.get(worker), runtime, heartbeats)
        ]
        if gone:
            used = await recount()
            if UNREADABLE in used:
                return False  # whose request that was is not known: all they hold stays spent
            await budget.settle_for(gone, used)
            return True
        held_s = [one.duration_s for one in (*found.values(), *map(beats.get, found)) if one]
        if runtime.clock() - began_s > max(held_s) * 1.5:
            return False  # they are alive, and spend what they hold themselves
        await runtime.sleep(min(1.0, heartbeats.duration_s / 4))
        found = await budget.holders()
    return True  # one of them has settled by itself


def _has_ended(
    entry: BudgetEntry, beat: Beat | None, runtime: Runtime, heartbeats: Heartbeats
) -> bool:
    """Whether a holder is gone; its newest entry is a sign of life, as a heartbeat is.

    It counts by itself before the first heartbeat of a worker, and in its later rounds.
    """
    if beat is not None and runtime.certainly_dead(beat.owner):
        return True
    if beat is not None and heartbeats.lives(beat):
        return False
    return runtime.clock() >= entry.since_s + entry.duration_s * MARGIN


async def used_by_worker(run: Run) -> dict[str, int]:
    """Pages that every worker was billed for, or may have been, in all rounds of the run."""
    used: Counter[str] = Counter()
    for number in range(1 + await rounds_begun(run)):
        used += await _used_in_round(run.round(number))
    for usage in (await merged_rounds(run)).values():
        # of the rounds that are merged, claims and journals are cleared away
        used += Counter(usage.pages_by_worker)
    return dict(used)


async def _used_in_round(round_: Round) -> Counter[str]:
    """The same of one round: attempts are numbered from 1 in each.

    Read in the order in which things move on: a claim gets an attempt in a journal, and a journal
    becomes a checkpoint. What moves meanwhile is seen in its later place.
    """
    known = KnownAttempts()
    used: Counter[str] = Counter()

    def count(key: str, attempts: tuple[Attempt, ...]) -> None:
        fresh = [one for one in attempts if (key, one.number) not in known]
        known.add(key, fresh)
        for one in fresh:
            used[one.worker] += pages_spent(one)

    reader = AttemptReader(round_)
    listed = await reader.listed()
    for batch in range(round_.run.plan.batches):
        for key, attempts in (await read_journal(round_, batch)).tried.items():
            count(key, attempts)
    for batch, number in await checkpoint_metas(round_.run):
        if number == round_.number:
            for row in await Checkpoints(round_).read(batch):
                count(row.outcome.key, row.outcome.attempts)
    async for one in reader.unanswered(listed, known):
        used[one.worker] += pages_spent(one)
    return used
