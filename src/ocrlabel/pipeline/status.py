"""How a run stands, from the store alone: while it runs, and after; from any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Attempt, AttemptResult, Tally
from ocrlabel.pipeline.budget.account import Account, of_attempts, pages_at_risk
from ocrlabel.pipeline.budget.attempts import Asks
from ocrlabel.pipeline.join_plan import existing_plan
from ocrlabel.pipeline.merge.partial import A_PART
from ocrlabel.pipeline.merge.run_record import Finished, read_record
from ocrlabel.pipeline.merge.usage import KnownAttempts
from ocrlabel.pipeline.outcome import never_answered
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.checkpoint import Checkpoints
from ocrlabel.pipeline.state.layout import Layout, RunKeys
from ocrlabel.pipeline.survey import Survey, survey
from ocrlabel.pipeline.workers.heartbeat import (
    Beat,
    Heartbeats,
    Presence,
    active_s,
    attend,
    presence,
    session_of,
    silence_s,
)

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
    said: Mapping[str, Any]
    perhaps_billed_pages: int = 0

    @property
    def stopped(self) -> str:
        """Why it ended before the work did, "" where it did not."""
        return str(self.said.get("stopped", "")) if self.presence is Presence.ENDED else ""

    @property
    def requests_per_s(self) -> float | None:
        """Over the last minute before its newest heartbeat; None before its first request."""
        if (lately := self.said.get("lately")) is None:
            return None
        watched_s = max(float(self.said["at_s"]) - float(lately["since_s"]), 1.0)
        return float(lately["requests"]) / watched_s


Workers: TypeAlias = tuple[WorkerStatus, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A run as it stands. told: run.json where there is one.

    account: requests of lost workers are in it. active_s: seconds in which a worker was at it.
    images_per_s: of the workers at it; None where there is none. steady: enough was seen to judge
    by how long the rest takes.
    """

    plan: Plan
    tally: Tally
    account: Account
    workers: Workers
    told: Mapping[str, Any] | None
    active_s: float = 0.0
    images_per_s: float | None = None
    steady: bool = False

    @property
    def complete(self) -> bool:
        """Merged, every row in one of the two tables."""
        return self.told is not None and bool(self.told["complete"])

    @property
    def a_part_was_asked_for(self) -> bool:
        """It did all that it was asked to, which was not every row (`--limit`, `--sample`)."""
        if self.told is None or self.told.get("reason") != A_PART:
            return False
        return bool(self.told["not_reached"] == self.tally.not_reached)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the present rate."""
        if self.complete or not self.images_per_s or not self.steady:
            return None
        return self.tally.not_reached / self.images_per_s


async def read_status(world: World, layout: Layout, *, watch_s: float) -> Status:
    """Look at a run. While workers are at it, it is looked at twice, watch_s apart, for the rate.

    Raises ConfigError when there is no run.
    """
    plan = await existing_plan(world, layout)
    if plan is None:
        where = f"{world.store.url.rstrip('/')}/{layout.plan_key}"
        raise ConfigError(
            f"there is no run here: {where} does not exist\n"
            "  name the labels table that the run writes: ocrlabel status labels.parquet"
        )
    keys = layout.of_run(plan.run_id)
    checkpoints = Checkpoints(world, layout, plan)
    heartbeats = Heartbeats(world, keys, duration_s=60.0)

    def workers(perhaps: Mapping[str, int]) -> Workers:
        return tuple(_worker(beat, heartbeats, world, perhaps) for beat in beats)

    if (record := await read_record(world, layout, plan)) is not None and record.complete:
        beats = await heartbeats.look()
        return _finished(plan, record, workers({}))
    beats = await attend(world, heartbeats)
    there = workers({})
    lost = {one.worker for one in there if one.presence is Presence.LOST}
    if not any(one.presence is Presence.WORKING for one in there):
        found, perhaps = await survey_with_lost(world, plan, checkpoints, keys, lost)
        # again: journals that were cleared meanwhile are counted in it
        if (record := await read_record(world, layout, plan)) is not None and record.complete:
            return _finished(plan, record, there)
        told = record.told if record is not None else None
        return Status(plan, found.tally, found.account, workers(perhaps), told, _active_s(beats))
    first = await survey(world, plan, checkpoints, keys)
    began_s = world.clock()
    await world.sleep(watch_s)
    found, perhaps = await survey_with_lost(world, plan, checkpoints, keys, lost)
    done = found.tally.labelled + found.tally.failed - first.tally.labelled - first.tally.failed
    watched_s = max(world.clock() - began_s, 1e-3)
    beats = await heartbeats.look()
    there = workers(perhaps)
    if (record := await read_record(world, layout, plan)) is not None and record.complete:
        return _finished(plan, record, there)
    if done < _ENOUGH_ROWS:
        # too few to judge by: what the workers at it did since they began tells more
        working = {one.worker for one in there if one.presence is Presence.WORKING}
        living = [beat for beat in beats if beat.owner.worker in working]
        done, watched_s = max((done, watched_s), _since_they_began(living))
    return Status(
        plan,
        found.tally,
        found.account,
        there,
        record.told if record is not None else None,
        _active_s(beats),
        images_per_s=done / watched_s,
        steady=done >= _ENOUGH_ROWS,
    )


def _finished(plan: Plan, record: Finished, workers: Workers) -> Status:
    told = record.told
    tally = Tally(*(told[name] for name in Tally.__dataclass_fields__))
    account = Account(**told["account"])
    return Status(plan, tally, account, workers, told, told.get("active_s", 0.0))


def _since_they_began(living: Sequence[Beat]) -> tuple[int, float]:
    """Rows that these workers did, and the seconds in which one of them was at it."""
    done = sum(beat.said.get("labelled", 0) + beat.said.get("failed", 0) for beat in living)
    return done, max(_active_s(living), 1e-3)


def _active_s(beats: Sequence[Beat]) -> float:
    sessions = (session_of(beat.owner.worker, beat.said) for beat in beats)
    return active_s(session for session in sessions if session is not None)


def _worker(
    beat: Beat, heartbeats: Heartbeats, world: World, perhaps: Mapping[str, int]
) -> WorkerStatus:
    return WorkerStatus(
        worker=beat.owner.worker,
        presence=presence(beat, heartbeats, world),
        silent_s=silence_s(beat, world),
        said=beat.said,
        perhaps_billed_pages=perhaps.get(beat.owner.worker, 0),
    )


async def survey_with_lost(
    world: World, plan: Plan, checkpoints: Checkpoints, keys: RunKeys, lost: Collection[str]
) -> tuple[Survey, Mapping[str, int]]:
    """A survey whose account has the unanswered requests of lost workers in it.

    And by worker, lost or not, the pages that were perhaps billed without an answer. Read in the
    order in which things move on: an ask gets an attempt in a journal, a journal becomes a
    checkpoint.
    """
    asks = Asks(world, keys, send_within_s=0.0, request_timeout_s=0.0, margin_s=0.0)
    listed = await asks.listed() if lost else []
    if not listed:  # nobody is lost, or the engine costs nothing
        return await survey(world, plan, checkpoints, keys), {}
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

    found = await survey(world, plan, checkpoints, keys, saw=saw)
    for batch in sorted(set(range(plan.batches)) - set(found.open_batches)):
        for key, attempts in await checkpoints.attempts(batch):
            saw(key, attempts)
    unanswered = [
        never_answered(ask)
        for one in listed
        if (one.key, one.number) not in ended and (ask := await asks.read(one)) is not None
    ]
    of_lost = [one for one in unanswered if one.worker in lost]
    for one in of_lost:
        pages[one.worker] += pages_at_risk(one)
    account = found.account + of_attempts(of_lost, cause="unanswered")
    return replace(found, account=account), pages
