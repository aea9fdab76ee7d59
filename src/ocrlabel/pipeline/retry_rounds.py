"""`--retry-failed`: another round over the rows that failed, written down before it begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Failed, FailureClass
from ocrlabel.pipeline.merge.result_tables import finished_rows
from ocrlabel.pipeline.merge.run_record import read_record
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.checkpoint import checkpoint_metas
from ocrlabel.pipeline.state.codec import Codec, read_or_tell
from ocrlabel.pipeline.state.journal import read_journal
from ocrlabel.pipeline.state.layout import newest_number


@dataclass(frozen=True, slots=True)
class RetryRound:
    """The number-th retry of a run, from 1, which its key tells, and not what is stored.

    failed_before: of every row of it, by ordinal, how many runs in a row failed on it.
    """

    failed_before: Mapping[int, int]
    number: int = 0

    def selection(self, plan: Plan) -> Selection:
        """The rows of the round."""
        chosen = tuple(sorted(self.failed_before))
        return Selection(plan.rows, chosen, self.failed_before)

    def batches(self, plan: Plan) -> set[int]:
        """The batches that have rows in it."""
        return {plan.batch_of(ordinal) for ordinal in self.failed_before}


_ROUND = Codec(RetryRound, optional=("number",))
_AGAIN = "its rows are chosen once more, from those that failed"


async def retry_round(
    run: Run, classes: Collection[str], *, merged: int, begin: bool = True
) -> RetryRound | None:
    """The unfinished retry round, else a new one; None when nothing failed in these classes.

    No class means every failure that is not in quarantine. merged: the last round that is part
    of the tables; a later one is unfinished even when all its batches are done. begin: else a new
    round is not written down.
    """
    wanted = checked_classes(classes)
    places = set(await checkpoint_metas(run))
    begun = await rounds_begun(run)
    latest = await read_retry(run, begun)
    if latest is not None:
        missing = {(batch, latest.number) for batch in latest.batches(run.plan)} - places
        if missing or latest.number > merged:
            return latest
    failed = [
        row.ref.ordinal
        async for rows in finished_rows(run, places)
        for row in rows
        if isinstance(row.outcome, Failed) and row.outcome.failure.value in wanted
    ]
    # one that cannot be read is written again: of its rows, those that it settled failed no more
    again = latest is None and begun > merged
    if not failed and not again:
        return None
    number = begun if again else begun + 1
    before = await read_retry(run, number - 1)
    earlier = before.failed_before if before is not None else {}
    chosen = RetryRound({ordinal: earlier.get(ordinal, 0) + 1 for ordinal in failed})
    key, body = run.keys.retry(number), _ROUND.encode(chosen)
    chosen = replace(chosen, number=number)
    if not begin:
        return chosen
    if again:
        await run.runtime.store.put(key, body)
    elif not await run.runtime.store.put_if_absent(key, body):
        return await read_retry(run, number)
    return chosen


async def rows_to_retry(run: Run, classes: Collection[str]) -> set[int]:
    """The rows of a finished run that another start would ask for once more."""
    record = await read_record(run)
    if record is None or not record.complete:
        return set()
    again = await retry_round(run, classes, merged=record.retries, begin=False)
    if again is None:
        return set()
    settled: set[int] = set()
    metas = await checkpoint_metas(run)
    for batch in again.batches(run.plan):
        settled |= (await read_journal(run.round(again.number), batch)).outcomes.keys()
        settled.update(run.plan.batch_range(batch) if (batch, again.number) in metas else ())
    return again.failed_before.keys() - settled


def checked_classes(classes: Collection[str]) -> frozenset[str]:
    """The classes of failures that are tried again. Raises ConfigError for one that is none."""
    known = {one.value for one in FailureClass}
    for name in classes:
        if name not in known:
            raise ConfigError(
                f"--retry-failed {name}: there is no such class of failure\n"
                f"  known are {', '.join(sorted(known))}"
            )
    return frozenset(classes) or frozenset(known - {FailureClass.QUARANTINED.value})


async def rounds_begun(run: Run) -> int:
    """How many retry rounds of a run were begun, finished ones included."""
    return await newest_number(run.runtime, run.keys.retries)


async def read_retry(run: Run, number: int) -> RetryRound | None:
    """A round that was begun; None where there is none, or it cannot be read."""
    if not number:
        return None
    found = await read_or_tell(run.runtime, run.keys.retry(number), _ROUND, _AGAIN)
    return None if found is None else replace(found, number=number)
