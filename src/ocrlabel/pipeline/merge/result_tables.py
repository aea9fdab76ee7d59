"""From finished batches to the tables, in input order, one batch in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.dataset.labels_table import FailuresWriter, LabelsWriter
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Labelled, Tally
from ocrlabel.pipeline.budget.account import add_tallies, tally_of
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.state.checkpoint import Checkpoints


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
