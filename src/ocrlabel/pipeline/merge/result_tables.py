"""From finished batches to the two tables, in input order, one batch in memory at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.dataset.labels_table import FailuresWriter, LabelRow, LabelsWriter, label_rows
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Labelled, Tally
from ocrlabel.pipeline.budget.account import add_tallies, tally_of
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.checkpoint import Checkpoints

Saw: TypeAlias = Callable[[int, Sequence[Settled]], None]
"""Is given the rows of each checkpoint that is read, with the number of its round."""


async def write_tables(
    batches: AsyncIterator[Sequence[Settled]],
    info: Mapping[str, str],
    *,
    labels_path: Path,
    failures_path: Path,
    correct: Callable[[LabelRow], LabelRow] = lambda row: row,
) -> Tally:
    """Write both tables; the files are whole when this returns, and absent when it raises.

    correct: what every page passes through on its way.
    """
    tally = Tally()
    with LabelsWriter(labels_path, info) as labels, FailuresWriter(failures_path, info) as failures:

        def add(rows: Sequence[Settled]) -> None:
            for row in rows:
                if isinstance(row.outcome, Labelled):
                    for page in label_rows(row.ref, row.outcome):
                        labels.add(correct(page))
                else:
                    failures.add_outcome(row.ref, row.outcome)

        async for rows in batches:
            await asyncio.to_thread(add, rows)
            tally = add_tallies(tally, tally_of(row.outcome for row in rows))
    return tally


async def finished_rows(
    run: Run, places: Iterable[tuple[int, int]], saw: Saw | None = None
) -> AsyncIterator[list[Settled]]:
    """The rows of every batch, in order, with those of its retry rounds in their places.

    places: (batch, round) of every checkpoint. Raises RunMismatch when a checkpoint is gone or
    does not hold exactly the rows of its batch.
    """
    rounds_of = rounds_by_batch(places)
    for batch in range(run.plan.batches):
        if 0 not in rounds_of[batch]:
            raise _wrong(batch, "is gone")
        rows = await saved_rows(run, batch, rounds_of[batch], saw)
        if [row.ref.ordinal for row in rows] != list(run.plan.batch_range(batch)):
            raise _wrong(batch, "does not hold the rows of that batch")
        yield rows


def rounds_by_batch(places: Iterable[tuple[int, int]]) -> defaultdict[int, list[int]]:
    """The rounds that have a checkpoint of a batch, in order, by batch."""
    rounds_of = defaultdict(list)
    for batch, number in sorted(places):
        rounds_of[batch].append(number)
    return rounds_of


async def saved_rows(
    run: Run, batch: int, rounds: Iterable[int], saw: Saw | None = None
) -> list[Settled]:
    """The rows of one batch, as its checkpoints of these rounds have them."""
    rows: list[Settled] = []
    for number in rounds:
        read = await Checkpoints(run.round(number)).read(batch)
        if saw is not None:
            saw(number, read)
        rows = overlaid(rows, read) if number else read
    return rows


def overlaid(base: Sequence[Settled], again: Sequence[Settled]) -> list[Settled]:
    """A batch's rows with those of a retry round in their places."""
    newer = {row.ref.ordinal: row for row in again}
    return [newer.get(row.ref.ordinal, row) for row in base]


def _wrong(batch: int, what: str) -> RunMismatch:
    return RunMismatch(
        f"the checkpoint of batch {batch} {what}\n"
        "  bring it back from a backup; without one, another --output with --reuse-from and the"
        " labels table, where there is one, pays only for what is not in it"
    )
