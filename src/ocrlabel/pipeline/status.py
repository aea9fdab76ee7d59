"""How a run stands, from the store alone: while it runs, and after; from any machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Tally
from ocrlabel.pipeline.agree import existing_plan
from ocrlabel.pipeline.layout import Layout
from ocrlabel.pipeline.merging.record import Finished, read_record
from ocrlabel.pipeline.merging.so_far import A_PART
from ocrlabel.pipeline.money.account import Account
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.saved.checkpoint import Checkpoints
from ocrlabel.pipeline.survey import survey
from ocrlabel.pipeline.workers.heartbeats import Beat, Heartbeats
from ocrlabel.pipeline.workers.sessions import active_s, session_of
from ocrlabel.pipeline.world import World

_ENOUGH_ROWS = 5
"""Fewer say nothing about how long the rest takes."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, as its newest heartbeat tells. alive: it may still be at it."""

    worker: str
    alive: bool
    ended: bool
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """A run as it stands. told: run.json where there is one.

    active_s: seconds in which a worker was at it. images_per_s: of the live workers; None where
    there is none. steady: enough was seen to judge by how long the rest takes.
    """

    plan: Plan
    tally: Tally
    account: Account
    workers: tuple[WorkerStatus, ...]
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
    """Look at a run. Live workers' heartbeats are looked at twice, watch_s apart, for the rate.

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
    beats = await heartbeats.look()
    if (record := await read_record(world, layout, plan)) is not None and record.complete:
        return _finished(plan, record, _workers(heartbeats, beats, beats))
    first = await survey(world, plan, checkpoints, keys)
    # again: journals that were cleared meanwhile are counted in it
    if (record := await read_record(world, layout, plan)) is not None and record.complete:
        return _finished(plan, record, _workers(heartbeats, beats, beats))
    if not any(heartbeats.lives(beat) for beat in beats):
        workers = _workers(heartbeats, beats, beats)
        told = record.told if record is not None else None
        return Status(plan, first.tally, first.account, workers, told, _active_s(beats))
    began_s = world.clock()
    await world.sleep(watch_s)
    found = await survey(world, plan, checkpoints, keys)
    done = found.tally.labelled + found.tally.failed - first.tally.labelled - first.tally.failed
    watched_s = max(world.clock() - began_s, 1e-3)
    later = await heartbeats.look()
    workers = _workers(heartbeats, beats, later)
    if (record := await read_record(world, layout, plan)) is not None and record.complete:
        return _finished(plan, record, workers)
    if done < _ENOUGH_ROWS:
        # too few to judge by: what the live workers did since they began tells more
        living = [beat for beat in later if heartbeats.lives(beat)]
        done, watched_s = max((done, watched_s), _since_they_began(living))
    return Status(
        plan,
        found.tally,
        found.account,
        workers,
        record.told if record is not None else None,
        _active_s(later),
        images_per_s=done / watched_s,
        steady=done >= _ENOUGH_ROWS,
    )


def _finished(plan: Plan, record: Finished, workers: tuple[WorkerStatus, ...]) -> Status:
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


def _workers(
    heartbeats: Heartbeats, before: list[Beat], now: list[Beat]
) -> tuple[WorkerStatus, ...]:
    numbers = {beat.owner.worker: beat.number for beat in before}
    return tuple(
        WorkerStatus(
            worker=beat.owner.worker,
            alive=heartbeats.lives(beat) or beat.number > numbers.get(beat.owner.worker, 0),
            ended=beat.gone,
            said=beat.said,
        )
        for beat in now
    )
