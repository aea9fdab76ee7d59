"""What a round asked for and no checkpoint tells: answers that came late, requests without an end.

It is counted once, when the round is merged, and kept with the mark that says so: journals and
claims, which tell of it, are deleted then.

The pages granted to a worker that died count in full against the cap until a count of its claims
and attempts proves that less was used. So that is made when the cap seems to be reached.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import Account, of_attempts, pages_spent
from ocrlabel.pipeline.budget.attempts import UNREADABLE, AttemptReader, KnownAttempts
from ocrlabel.pipeline.budget.budget import BudgetClient, BudgetEntry
from ocrlabel.pipeline.rate.fleet import MARGIN
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.codec import Codec, read_or_tell
from ocrlabel.pipeline.state.journal import journal_objects, read_journal
from ocrlabel.pipeline.state.layout import number_of, stored_under
from ocrlabel.pipeline.workers.heartbeat import Beat, Heartbeats
from ocrlabel.storage.base import NotStored


@dataclass(frozen=True, slots=True)
class UnattributedUsage:
    """What was asked for and no checkpoint tells. pages_by_worker: billed, or perhaps billed."""

    account: Account = field(default_factory=Account)
    pages_by_worker: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: UnattributedUsage) -> UnattributedUsage:
        """Both together."""
        pages = Counter(self.pages_by_worker) + Counter(other.pages_by_worker)
        return UnattributedUsage(self.account + other.account, dict(pages))


MERGED = Codec(UnattributedUsage)
_UNCOUNTED = "requests of that round which nobody answered are missing in the account"


async def merged_rounds(run: Run) -> dict[int, UnattributedUsage]:
    """What every round that is merged asked for beyond its checkpoints, by round."""
    rounds = {}
    for number in [number_of(one.key) async for one in stored_under(run.runtime, run.keys.merged)]:
        with contextlib.suppress(NotStored):  # the run was replaced and cleared meanwhile
            rounds[number] = await merged_usage(run, number) or UnattributedUsage()
    return rounds


async def merged_usage(run: Run, number: int) -> UnattributedUsage | None:
    """The same of one round; None, told, where it cannot be read. Raises NotStored."""
    return await read_or_tell(run.runtime, run.keys.merged_round(number), MERGED, _UNCOUNTED)


async def unattributed_usage(
    round_: Round, in_checkpoints: Mapping[int, int], known: KnownAttempts
) -> UnattributedUsage:
    """Count it. in_checkpoints: by batch, how many journal objects its checkpoint was made from.

    known: the attempts that the checkpoints tell of.
    """
    usage = usage_of(await _late_attempts(round_, in_checkpoints, known), cause="late")
    if not round_.run.price_per_page_usd:
        return usage
    reader = AttemptReader(round_)
    lost = [one async for one in reader.unanswered(await reader.listed(), known)]
    return usage + usage_of(lost, cause="unknown")


def usage_of(attempts: Sequence[Attempt], *, cause: str) -> UnattributedUsage:
    """What attempts that belong to no checkpoint come to."""
    pages: Counter[str] = Counter()
    for one in attempts:
        pages[one.worker] += pages_spent(one)
    return UnattributedUsage(of_attempts(attempts, cause=cause), dict(pages))


async def _late_attempts(
    round_: Round, in_checkpoints: Mapping[int, int], known: KnownAttempts
) -> list[Attempt]:
    """Those in journal objects that came after a checkpoint; from then on they are known."""
    late: list[Attempt] = []
    for batch, count in sorted((await journal_objects(round_)).items()):
        if count > in_checkpoints.get(batch, 0):
            for key, attempts in (await read_journal(round_, batch)).tried.items():
                # also in the journal of another batch that has a row of this image
                fresh = [one for one in attempts if (key, one.number) not in known]
                known.add(key, fresh)
                late += fresh
    return late


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
