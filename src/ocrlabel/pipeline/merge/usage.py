"""What a run asked for and no checkpoint tells: answers that came late, and asks without an end."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocrlabel.labels import Attempt
from ocrlabel.pipeline.budget.account import (
    Account,
    account_from_json,
    account_to_json,
    of_attempts,
    pages_at_risk,
    pages_charged,
)
from ocrlabel.pipeline.budget.attempts import Asks
from ocrlabel.pipeline.outcome import never_answered
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.journal import BatchView, refresh
from ocrlabel.pipeline.state.layout import RunKeys


class KnownAttempts:
    """Which (key, number) pairs have ended: 8 bytes each, for runs of any size."""

    def __init__(self) -> None:
        self._marks = array("q")
        self._sorted = True

    def add(self, key: str, attempts: Iterable[Attempt]) -> None:
        """Take in the attempts of one image."""
        self._marks.extend(_mark(key, attempt.number) for attempt in attempts)
        self._sorted = False

    def __contains__(self, place: tuple[str, int]) -> bool:
        if not self._sorted:
            self._marks = array("q", sorted(self._marks))
            self._sorted = True
        mark = _mark(*place)
        at = bisect_left(self._marks, mark)
        return at < len(self._marks) and self._marks[at] == mark


def _mark(key: str, number: int) -> int:
    return (int(key[:15] or "0", 16) << 2) ^ number


@dataclass(frozen=True, slots=True)
class Beyond:
    """What was asked for and no checkpoint tells. pages_by_worker: billed, or perhaps billed."""

    account: Account = field(default_factory=Account)
    pages_by_worker: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Beyond:
        """As a merged round wrote it down."""
        return Beyond(account_from_json(found["account"]), found["pages_by_worker"])

    def as_json(self) -> dict[str, Any]:
        """Plain values, to be written down once a round is merged."""
        account = account_to_json(self.account)
        return {"account": account, "pages_by_worker": dict(self.pages_by_worker)}

    def __add__(self, other: Beyond) -> Beyond:
        """Both together."""
        pages = Counter(self.pages_by_worker) + Counter(other.pages_by_worker)
        return Beyond(self.account + other.account, dict(pages))


def beyond_of(attempts: Sequence[Attempt], *, cause: str) -> Beyond:
    """What attempts that belong to no checkpoint come to."""
    pages: Counter[str] = Counter()
    for one in attempts:
        pages[one.worker] += pages_charged(one) + pages_at_risk(one)
    return Beyond(of_attempts(attempts, cause=cause), dict(pages))


async def beyond_checkpoints(
    world: World,
    keys: RunKeys,
    asks: Asks | None,
    journal_objects: Mapping[int, int],
    known: KnownAttempts,
) -> Beyond:
    """What a round asked for and no checkpoint tells: late answers, and asks without an end.

    journal_objects: by batch, how many journal objects its checkpoint was made from.
    """
    late = await _late_attempts(world, keys, journal_objects, known)
    for key, attempts in late:
        known.add(key, attempts)
    beyond = beyond_of([one for _, attempts in late for one in attempts], cause="late")
    if asks is None:
        return beyond
    lost = [
        never_answered(ask)
        for listed in await asks.listed()
        if (listed.key, listed.number) not in known and (ask := await asks.read(listed))
    ]
    return beyond + beyond_of(lost, cause="unknown")


async def _late_attempts(
    world: World, keys: RunKeys, journal_objects: Mapping[int, int], known: KnownAttempts
) -> list[tuple[str, list[Attempt]]]:
    counts: dict[int, int] = {}
    async for stored in world.store.list(keys.journals):
        batch = int(stored.key.removeprefix(keys.journals).partition("/")[0])
        counts[batch] = counts.get(batch, 0) + 1
    late = []
    for batch, count in sorted(counts.items()):
        if count > journal_objects.get(batch, 0):
            view = BatchView()
            await refresh(world, keys, batch, view)
            for key, attempts in view.tried.items():
                fresh = [one for one in attempts if (key, one.number) not in known]
                if fresh:
                    late.append((key, fresh))
    return late
