"""How far a run is, read from the store alone: when a run begins, for status, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ocrlabel.labels import Attempt, Tally
from ocrlabel.pipeline.budget.account import (
    Account,
    add_tallies,
    of_attempts,
    of_outcomes,
    tally_of,
)
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.checkpoint import checkpoint_metas
from ocrlabel.pipeline.state.journal import journal_objects, read_journal


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Counts of what is saved. open_batches: those with no checkpoint.

    done, failed: of the rows that were asked about. Of a batch of which only a part was asked
    about a checkpoint does not tell how many of them failed: they count as labelled. paid_before:
    what of the account is that of the runs out of which this one has grown.
    """

    tally: Tally
    account: Account
    done: int = 0
    failed: int = 0
    open_batches: tuple[int, ...] = ()
    paid_before: Account = field(default_factory=Account)

    @property
    def pages_per_row(self) -> float:
        """Pages that a row may be expected to cost: as those did that are labelled, else one."""
        billed = self.account.billed_pages - self.paid_before.billed_pages
        return billed / self.tally.labelled if self.tally.labelled else 1.0


async def read_progress(
    run: Run,
    selection: Selection | None = None,
    *,
    saw: Callable[[str, Sequence[Attempt]], None] | None = None,
) -> RunProgress:
    """Read the footers of all checkpoints and the journals of the batches that have none.

    selection: the rows that are asked about; None means all. saw: is given every image key of the
    journals, and what was asked for it.

    An image that is in two batches may count twice until it is settled in both.
    """
    plan = run.plan
    metas = await checkpoint_metas(run)
    tally, account = Tally(), plan.paid_before
    selection = selection or Selection(plan.rows)
    done = failed = 0
    for (batch, round_number), meta in metas.items():
        account += meta.account
        if round_number == 0:
            tally = add_tallies(tally, meta.tally)
            asked_about = len(selection.within(plan.batch_range(batch)))
            done += asked_about
            failed += meta.tally.failed if asked_about == meta.tally.rows else 0
        else:
            tally = _with_retried(tally, meta.tally)
            failed -= meta.tally.labelled
    unfinished = tuple(batch for batch in range(plan.batches) if (batch, 0) not in metas)
    started = await journal_objects(run.round())
    for batch in unfinished:
        if batch in started:
            journal = await read_journal(run.round(), batch)
            if saw is not None:
                for key, attempts in journal.tried.items():
                    saw(key, attempts)
            outcomes = [*journal.settled().values()]
            tally = add_tallies(tally, tally_of(outcomes))
            wanted = set(selection.within(plan.batch_range(batch)))
            of_selection = tally_of(one for one in outcomes if one.ordinal in wanted)
            done += of_selection.rows
            failed += of_selection.failed
            account += of_outcomes(outcomes)
            # what was asked and has no outcome yet: it is asked again, and may have been billed
            for key in journal.tried.keys() - journal.by_key.keys():
                account += of_attempts(journal.tried[key], cause="unanswered")
    tally = replace(tally, rows=plan.rows)
    return RunProgress(tally, account, done, failed, unfinished, plan.paid_before)


def _with_retried(tally: Tally, again: Tally) -> Tally:
    """A retry round's rows had all failed before: its labels move from one side to the other."""
    return replace(
        tally,
        labelled=tally.labelled + again.labelled,
        failed=tally.failed - again.labelled,
        pages=tally.pages + again.pages,
        words=tally.words + again.words,
    )
