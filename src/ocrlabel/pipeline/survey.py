"""How far a run is, read from the store alone: when a run begins, for status, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ocrlabel.labels import Attempt, Tally
from ocrlabel.pipeline.budget.account import (
    Account,
    account_from_json,
    add_tallies,
    of_attempts,
    of_outcomes,
    tally_from_json,
    tally_of,
)
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.checkpoint import Checkpoints
from ocrlabel.pipeline.state.journal import BatchView, refresh
from ocrlabel.pipeline.state.layout import RunKeys


@dataclass(frozen=True, slots=True)
class Survey:
    """Counts of what is saved. open_batches: those with no checkpoint.

    done, failed: of the rows that were asked about. Of a batch of which only a part was asked
    about a checkpoint does not tell how many of them failed: they count as labelled.
    """

    tally: Tally
    account: Account
    done: int = 0
    failed: int = 0
    open_batches: tuple[int, ...] = ()


async def survey(
    world: World,
    plan: Plan,
    checkpoints: Checkpoints,
    keys: RunKeys,
    selection: Selection | None = None,
    *,
    saw: Callable[[str, Sequence[Attempt]], None] | None = None,
) -> Survey:
    """Read the footers of all checkpoints and the journals of the batches that have none.

    selection: the rows that are asked about; None means all. saw: is given every image key of the
    journals, and what was asked for it.

    An image that is in two batches may count twice until it is settled in both.
    """
    metas = await checkpoints.survey()
    tally, account = Tally(), Account()
    selection = selection or Selection(plan.rows)
    done = failed = 0
    for (batch, retry), meta in metas.items():
        account += account_from_json(meta["account"])
        if retry == 0:
            of_batch = tally_from_json(meta["tally"])
            tally = add_tallies(tally, of_batch)
            asked_about = len(selection.within(plan.batch_range(batch)))
            done += asked_about
            failed += of_batch.failed if asked_about == of_batch.rows else 0
        else:
            again = tally_from_json(meta["tally"])
            tally = _with_retried(tally, again)
            failed -= again.labelled
    unfinished = tuple(batch for batch in range(plan.batches) if (batch, 0) not in metas)
    started = await _batches_with_journal(world, keys)
    for batch in unfinished:
        if batch in started:
            view = BatchView()
            await refresh(world, keys, batch, view)
            if saw is not None:
                for key, attempts in view.tried.items():
                    saw(key, attempts)
            outcomes = [view.with_all_attempts(one) for one in view.outcomes.values()]
            tally = add_tallies(tally, tally_of(outcomes))
            wanted = set(selection.within(plan.batch_range(batch)))
            of_selection = tally_of(one for one in outcomes if one.ordinal in wanted)
            done += of_selection.rows
            failed += of_selection.failed
            account += of_outcomes(outcomes)
            # what was asked and has no outcome yet: it is asked again, and may have been billed
            for key in view.tried.keys() - view.by_key.keys():
                account += of_attempts(view.tried[key], cause="unanswered")
    whole = Tally(
        rows=plan.rows,
        labelled=tally.labelled,
        failed=tally.failed,
        pages=tally.pages,
        words=tally.words,
        failures=tally.failures,
    )
    return Survey(whole, account, done, failed, unfinished)


def _with_retried(tally: Tally, again: Tally) -> Tally:
    """A retry round's rows had all failed before: its labels move from one side to the other."""
    return Tally(
        rows=tally.rows,
        labelled=tally.labelled + again.labelled,
        failed=tally.failed - again.labelled,
        pages=tally.pages + again.pages,
        words=tally.words + again.words,
        failures=tally.failures,
    )


async def _batches_with_journal(world: World, keys: RunKeys) -> set[int]:
    prefix = keys.journals
    found = set()
    async for stored in world.store.list(prefix):
        found.add(int(stored.key.removeprefix(prefix).partition("/")[0]))
    return found
