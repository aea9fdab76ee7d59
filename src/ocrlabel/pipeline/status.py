"""How a run stands, from the store alone: while it runs, and after; from any machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Attempt, AttemptResult, Tally
from ocrlabel.pipeline.budget.account import Account, of_attempts, pages_at_risk
from ocrlabel.pipeline.budget.attempts import AttemptReader, KnownAttempts
from ocrlabel.pipeline.budget.budget import CAP_REACHED
from ocrlabel.pipeline.merge.partial import A_PART
from ocrlabel.pipeline.merge.run_record import RunRecord, read_record
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.progress import RunProgress, read_progress, told_of_retry
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.retry_rounds import rounds_begun
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.pipeline.state.checkpoint import Checkpoints, checkpoint_metas
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.pipeline.state.rescue import find_rescued
from ocrlabel.pipeline.workers.heartbeat import (
    Beat,
    Heartbeats,
    Presence,
    WorkerReport,
    active_s,
    sessions_of,
)
from ocrlabel.pipeline.workers.limits import RunLimits, limits_of

_ENOUGH_ROWS = 5
"""Fewer say nothing about how long the rest takes."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, as its newest heartbeat tells. silent_s: for how long nothing came from it.

    perhaps_billed_pages: of requests whose answers nobody lived to save; known of a run that is
    not finished and has lost a worker.
    """

    worker: str
    presence: Presence
    silent_s: float
    said: WorkerReport
    perhaps_billed_pages: int = 0

    @property
    def stopped(self) -> str:
        """Why it ended before the work did, "" where it did not."""
        return self.said.stopped if self.presence is Presence.ENDED else ""

    @property
    def requests_per_s(self) -> float | None:
        """Over the last minute before its newest heartbeat; None before its first request."""
        if (lately := self.said.lately) is None:
            return None
        return lately.requests / max(self.said.at_s - lately.since_s, 1.0)


Workers: TypeAlias = tuple[WorkerStatus, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A run as it stands. record: run.json where there is one.

    account: requests of lost workers are in it. active_s: seconds in which a worker was at it.
    images_per_s: of the workers at it; None where there is none. steady: enough was seen to judge
    by how long the rest takes. rescued: what lies in rescue files of this machine, in words.
    retried: of a retry round that is in no table yet; the tally is that of the tables then.
    """

    plan: Plan
    tally: Tally
    account: Account
    workers: Workers
    record: RunRecord | None
    active_s: float = 0.0
    images_per_s: float | None = None
    steady: bool = False
    limits: RunLimits = field(default_factory=RunLimits)
    rescued: tuple[str, ...] = ()
    retried: Tally | None = None

    @property
    def complete(self) -> bool:
        """Merged, every row in one of the two tables, and none of them is being tried again."""
        return self.record is not None and self.record.complete and self.retried is None

    @property
    def retry(self) -> str:
        """Of that retry round, in words."""
        return "" if self.retried is None else told_of_retry(self.retried)

    @property
    def left(self) -> int:
        """Rows that are still to be done, of the retry round where there is one."""
        return (self.retried or self.tally).not_reached

    @property
    def a_part_was_asked_for(self) -> bool:
        """It did all that it was asked to, which was not every row (`--limit`, `--sample`)."""
        if self.record is None or self.record.reason != A_PART:
            return False
        return self.record.not_reached == self.tally.not_reached

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the present rate."""
        if self.complete or not self.images_per_s or not self.steady:
            return None
        return min(self.left, self._rows_in_cap) / self.images_per_s

    @property
    def cap_comes_first(self) -> bool:
        """Whether the cap will be reached before the last row."""
        return self._rows_in_cap < self.left

    @property
    def stopped_at_cap(self) -> bool:
        """Whether the cap ended it, and was not raised since."""
        if self.record is None or not self.record.reason.startswith(CAP_REACHED):
            return False
        cap_usd, then_usd = self.limits.max_cost_usd, self.record.max_cost_usd
        return cap_usd is not None and then_usd is not None and cap_usd <= then_usd

    @property
    def _rows_in_cap(self) -> float:
        price_usd = self.record.price_per_page_usd if self.record is not None else 0.0
        if self.limits.max_cost_usd is None or not price_usd:
            return math.inf
        pages = self.limits.max_cost_usd / price_usd - self.account.spent_pages
        per_row = RunProgress(
            self.tally, self.account, paid_before=self.plan.paid_before
        ).pages_per_row
        return max(0.0, pages) / per_row if per_row else math.inf


async def read_status(runtime: Runtime, layout: Layout, *, watch_s: float) -> Status:
    """Look at a run. While workers are at it, it is looked at twice, watch_s apart, for the rate.

    Raises ConfigError when there is no run.
    """
    run = await find_run(runtime, layout)
    if run is None:
        raise ConfigError(
            f"there is no run here: {runtime.where(layout.plan_key)} does not exist\n"
            "  name the labels table that a run was given as --output: ocrlabel status TABLE"
        )
    found = await _read_status(run, watch_s=watch_s)
    record = found.record
    merged_round = record.retries if record is not None and record.complete else -1
    files = await find_rescued(run, merged_round=merged_round)
    left = "not in the store yet: the next start on this machine takes it in"
    rescued = tuple(one.note or f"{one.answers} in {one.path}, {left}" for one in files)
    return replace(found, limits=await limits_of(run), rescued=rescued)


async def _read_status(run: Run, *, watch_s: float) -> Status:
    runtime = run.runtime
    heartbeats = Heartbeats(run)

    def workers(perhaps: Mapping[str, int]) -> Workers:
        return tuple(
            WorkerStatus(
                worker=(worker := beat.owner.worker),
                presence=heartbeats.presence(beat),
                silent_s=heartbeats.silence_s(beat),
                said=beat.said,
                perhaps_billed_pages=perhaps.get(worker, 0),
            )
            for beat in beats
        )

    async def finished() -> RunRecord | None:
        record = await read_record(run)
        merged = record is not None and record.has_merged(await rounds_begun(run))
        return record if merged else None

    if record := await finished():
        beats = await heartbeats.look()
        return _finished(run.plan, record, workers({}))
    beats = await heartbeats.look_until_sure()
    there = workers({})
    lost = {one.worker for one in there if one.presence is Presence.LOST}
    if not any(one.presence is Presence.WORKING for one in there):
        found, perhaps = await progress_with_lost(run, lost)
        # again: journals that were cleared meanwhile are counted in it
        if record := await finished():
            return _finished(run.plan, record, there)
        return await _unfinished(run, found, workers(perhaps), _active_s(beats))
    first = await read_progress(run)
    began_s = runtime.clock()
    await runtime.sleep(watch_s)
    found, perhaps = await progress_with_lost(run, lost)
    done = found.settled - first.settled
    watched_s = max(runtime.clock() - began_s, 1e-3)
    beats = await heartbeats.look()
    there = workers(perhaps)
    if record := await finished():
        return _finished(run.plan, record, there)
    if done < _ENOUGH_ROWS:
        # too few to judge by: what the workers at it did since they began tells more
        working = {one.worker for one in there if one.presence is Presence.WORKING}
        living = [beat for beat in beats if beat.owner.worker in working]
        rows = sum(beat.said.labelled + beat.said.failed for beat in living)
        done, watched_s = max((done, watched_s), (rows, max(_active_s(living), 1e-3)))
    status = await _unfinished(run, found, there, _active_s(beats))
    return replace(status, images_per_s=done / watched_s, steady=done >= _ENOUGH_ROWS)


async def _unfinished(run: Run, found: RunProgress, workers: Workers, worked_s: float) -> Status:
    record = await read_record(run)
    status = Status(run.plan, found.tally, found.account, workers, record, worked_s)
    if record is None or not record.complete:
        return status
    return replace(status, tally=record.tally, retried=found.retried)


def _finished(plan: Plan, record: RunRecord, workers: Workers) -> Status:
    return Status(plan, record.tally, record.account, workers, record, record.active_s or 0.0)


def _active_s(beats: Sequence[Beat]) -> float:
    return active_s(sessions_of((beat.owner.worker, beat.said) for beat in beats))


async def progress_with_lost(
    run: Run, lost: Collection[str]
) -> tuple[RunProgress, Mapping[str, int]]:
    """The progress of a run, with the unanswered requests of lost workers in its account.

    And by worker, lost or not, the pages that were perhaps billed without an answer. Read in the
    order in which things move on: a claim gets an attempt in a journal, a journal becomes a
    checkpoint.
    """
    newest = run.round(await rounds_begun(run))
    reader = AttemptReader(newest)
    listed = await reader.listed() if lost else []
    if not listed:  # nobody is lost, or the engine costs nothing
        return await read_progress(run), {}
    ended = KnownAttempts()
    pages: Counter[str] = Counter()
    unknown: set[tuple[str, int]] = set()

    def saw(key: str, attempts: Sequence[Attempt]) -> None:
        ended.add(key, attempts)
        for one in attempts:
            # of an image that is in two batches, both tell of it
            if one.result is AttemptResult.UNKNOWN and (key, one.number) not in unknown:
                unknown.add((key, one.number))
                pages[one.worker] += pages_at_risk(one)

    found = await read_progress(run, saw=saw)
    for batch in [batch for batch, of in await checkpoint_metas(run) if of == newest.number]:
        for key, attempts in await Checkpoints(newest).attempts(batch):
            saw(key, attempts)
    unanswered = reader.unanswered(listed, ended)
    of_lost = [one async for one in unanswered if one.worker in lost]
    for one in of_lost:
        pages[one.worker] += pages_at_risk(one)
    account = found.account + of_attempts(of_lost, cause="unanswered")
    return replace(found, account=account), pages
