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
from ocrlabel.pipeline.merge.usage import merged_rounds
from ocrlabel.pipeline.retry_rounds import read_retry, rounds_begun
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.checkpoint import checkpoint_metas
from ocrlabel.pipeline.state.journal import journal_objects, read_journal
from ocrlabel.wording import counted


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Counts of what is saved. open_batches: those with no checkpoint.

    done, failed: of the rows that were asked about. Of a batch of which only a part was asked
    about a checkpoint does not tell how many of them failed: they count as labelled. paid_before:
    what of the account is that of the runs out of which this one has grown. round_number: the
    newest that was begun; retried: of its rows, where it is a retry.
    """

    tally: Tally
    account: Account
    done: int = 0
    failed: int = 0
    open_batches: tuple[int, ...] = ()
    paid_before: Account = field(default_factory=Account)
    round_number: int = 0
    retried: Tally = field(default_factory=Tally)

    @property
    def settled(self) -> int:
        """How many rows have an outcome, those that were tried again twice."""
        return sum(one.labelled + one.failed for one in (self.tally, self.retried))

    @property
    def pages_per_row(self) -> float:
        """Pages that a row may be expected to cost: as those did that are labelled, else one."""
        billed = self.account.billed_pages - self.paid_before.billed_pages
        return billed / self.tally.labelled if self.tally.labelled else 1.0


async def read_progress(
    run: Run,
    selection: Selection | None = None,
    *,
    saw: Callable[[str, Sequence[Attempt]], None] = lambda *_: None,
) -> RunProgress:
    """Read the footers of all checkpoints and the journals of the batches that have none.

    selection: the rows that are asked about; None means all. saw: is given every image key of the
    journals, and what was asked for it.

    An image that is in two batches may count twice until it is settled in both.
    """
    plan = run.plan
    newest, merged = run.round(await rounds_begun(run)), await merged_rounds(run)
    metas = await checkpoint_metas(run)
    tally, retried = Tally(), Tally()
    account = sum((usage.account for usage in merged.values()), plan.paid_before)
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
            if round_number == newest.number:
                retried = add_tallies(retried, meta.tally)
    unfinished = tuple(batch for batch in range(plan.batches) if (batch, 0) not in metas)
    for batch in sorted(await journal_objects(newest)):
        if (batch, newest.number) in metas:
            continue
        journal = await read_journal(newest, batch)
        outcomes = [*journal.settled().values()]
        if newest.number:
            retried = add_tallies(retried, tally_of(outcomes))
            tally = _with_retried(tally, tally_of(outcomes))
        else:
            tally = add_tallies(tally, tally_of(outcomes))
            wanted = set(selection.within(plan.batch_range(batch)))
            of_selection = tally_of(one for one in outcomes if one.ordinal in wanted)
            done += of_selection.rows
            failed += of_selection.failed
        account += of_outcomes(outcomes)
        for key, attempts in journal.tried.items():
            saw(key, attempts)
            if key not in journal.by_key:  # it is asked again, and may have been billed
                account += of_attempts(attempts, cause="unanswered")
    if chosen := await read_retry(run, newest.number):
        retried = replace(retried, rows=len(chosen.failed_before))
    return RunProgress(
        replace(tally, rows=plan.rows),
        account,
        done,
        failed,
        unfinished,
        plan.paid_before,
        newest.number,
        retried,
    )


def told_of_retry(retried: Tally) -> str:
    """How far a retry round is that is in no table yet, for a reader."""
    done = retried.labelled + retried.failed
    return (
        f"{done:,} of {counted(retried.rows, 'row')} tried again, {retried.labelled:,} labelled:"
        f" not in the tables yet; --retry-failed does the other {retried.not_reached:,}"
    )


def _with_retried(tally: Tally, again: Tally) -> Tally:
    """A retry round's rows had all failed before: its labels move from one side to the other."""
    return replace(
        tally,
        labelled=tally.labelled + again.labelled,
        failed=tally.failed - again.labelled,
        pages=tally.pages + again.pages,
        words=tally.words + again.words,
    )
