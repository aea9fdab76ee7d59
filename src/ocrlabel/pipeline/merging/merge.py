"""From finished batches to the tables, in input order, one batch in memory at a time."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ocrlabel.dataset.tables.checkpoint_table import Settled
from ocrlabel.dataset.tables.table import FailuresWriter, LabelsWriter
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Attempt, Labelled, Tally
from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.money.account import (
    Account,
    add_tallies,
    of_attempts,
    tally_of,
)
from ocrlabel.pipeline.money.asks import Asks
from ocrlabel.pipeline.outcomes import never_answered
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.saved.journal import BatchView, refresh
from ocrlabel.pipeline.world import World


def overlaid(base: Sequence[Settled], again: Sequence[Settled]) -> list[Settled]:
    """A batch's rows with those of a retry round in their places."""
    newer = {row.ref.ordinal: row for row in again}
    return [newer.get(row.ref.ordinal, row) for row in base]


class Tables:
    """The labels and failures tables while they are written, in a folder of scratch files."""

    def __init__(self, labels: LabelsWriter, failures: FailuresWriter) -> None:
        self._labels = labels
        self._failures = failures
        self.tally = Tally()

    def add(self, rows: Sequence[Settled]) -> None:
        """Write the rows of one batch."""
        for row in rows:
            if isinstance(row.outcome, Labelled):
                self._labels.add_outcome(row.ref, row.outcome)
            else:
                self._failures.add_outcome(row.ref, row.outcome)
        self.tally = add_tallies(self.tally, tally_of(row.outcome for row in rows))


async def finished_rows(
    plan: Plan,
    checkpoints: Checkpoints,
    places: Collection[tuple[int, int]],
    saw: Callable[[int, Sequence[Settled]], None],
) -> AsyncIterator[list[Settled]]:
    """The rows of every batch, in order, with its retry rounds laid over it.

    places: (batch, retry) of every checkpoint. saw is told each checkpoint's rows with its retry.
    Raises RunMismatch when a checkpoint is gone or does not hold exactly the rows of its batch.
    """
    retries_of: dict[int, list[int]] = {}
    for batch, retry in sorted(places):
        retries_of.setdefault(batch, []).append(retry)
    for batch in range(plan.batches):
        rows: list[Settled] = []
        if 0 not in (retries := retries_of.get(batch, [])):
            raise RunMismatch(
                f"the checkpoint of batch {batch} is gone\n"
                "  bring it back from a backup, or use --fresh to start again"
            )
        for retry in retries:
            read = await checkpoints.read(batch, retry)
            saw(retry, read)
            rows = overlaid(rows, read) if retry else read
        if [row.ref.ordinal for row in rows] != list(plan.batch_range(batch)):
            raise RunMismatch(
                f"the checkpoint of batch {batch} does not hold the rows of that batch\n"
                "  bring it back from a backup, or use --fresh to start again"
            )
        yield rows


async def write_tables(
    batches: AsyncIterator[Sequence[Settled]],
    info: Mapping[str, str],
    *,
    labels_path: Path,
    failures_path: Path,
) -> Tally:
    """Write both tables; the files are whole when this returns, and absent when it raises."""
    with LabelsWriter(labels_path, info) as labels, FailuresWriter(failures_path, info) as failures:
        tables = Tables(labels, failures)
        async for rows in batches:
            await asyncio.to_thread(tables.add, rows)
    return tables.tally


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


async def beyond_checkpoints(
    world: World,
    keys: RunKeys,
    asks: Asks | None,
    journal_objects: Mapping[int, int],
    known: KnownAttempts,
) -> Account:
    """What a round asked for and no checkpoint tells: late answers, and asks without an end.

    journal_objects: by batch, how many journal objects its checkpoint was made from.
    """
    late = await _late_attempts(world, keys, journal_objects, known)
    for key, attempts in late:
        known.add(key, attempts)
    account = of_attempts([one for _, attempts in late for one in attempts], cause="late")
    if asks is None:
        return account
    lost = [
        never_answered(ask)
        for listed in await asks.listed()
        if (listed.key, listed.number) not in known and (ask := await asks.read(listed))
    ]
    return account + of_attempts(lost, cause="unknown")


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
