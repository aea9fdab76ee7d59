"""What a round asked for and no checkpoint tells: answers that came late, requests without an end.

It is counted once, when the round is merged, and kept with the mark that says so: journals and
claims, which tell of it, are deleted then.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import Account, of_attempts, pages_spent
from ocrlabel.pipeline.budget.attempts import AttemptReader, KnownAttempts
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.state.codec import Codec, read_or_tell
from ocrlabel.pipeline.state.journal import journal_objects, read_journal
from ocrlabel.pipeline.state.layout import number_of, stored_under
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
    late = await _late_attempts(round_, in_checkpoints, known)
    for key, attempts in late:
        known.add(key, attempts)
    usage = usage_of([one for _, attempts in late for one in attempts], cause="late")
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
) -> list[tuple[str, list[Attempt]]]:
    late = []
    for batch, count in sorted((await journal_objects(round_)).items()):
        if count > in_checkpoints.get(batch, 0):
            for key, attempts in (await read_journal(round_, batch)).tried.items():
                fresh = [one for one in attempts if (key, one.number) not in known]
                if fresh:
                    late.append((key, fresh))
    return late
