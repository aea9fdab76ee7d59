"""`--retry-failed`: another round over the rows that failed, written down before it begins."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Failed, FailureClass
from ocrlabel.pipeline.merge.result_tables import overlaid
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.checkpoint import Checkpoints
from ocrlabel.pipeline.state.layout import Layout, RunKeys, number_of


@dataclass(frozen=True, slots=True)
class RetryRound:
    """The number-th retry of a run, from 1: failed_before by ordinal."""

    number: int
    failed_before: dict[int, int]

    def selection(self, plan: Plan) -> Selection:
        """The rows of the round."""
        chosen = tuple(sorted(self.failed_before))
        return Selection(plan.rows, chosen, self.failed_before)

    def batches(self, plan: Plan) -> set[int]:
        """The batches that have rows in it."""
        return {plan.batch_of(ordinal) for ordinal in self.failed_before}


async def retry_round(
    world: World,
    layout: Layout,
    plan: Plan,
    checkpoints: Checkpoints,
    classes: Collection[str],
    *,
    merged: int,
) -> RetryRound | None:
    """The unfinished retry round, else a new one; None when nothing failed in these classes.

    No class means every failure that is not in quarantine. merged: the last round that is part
    of the tables; a later one is unfinished even when all its batches are done.
    """
    wanted = _checked(classes)
    places = set(await checkpoints.survey())
    latest = await _latest(world, layout, plan)
    if latest is not None:
        missing = {(batch, latest.number) for batch in latest.batches(plan)} - places
        if missing or latest.number > merged:
            return latest
    failed = await _failed_rows(plan, checkpoints, places, wanted)
    if not failed:
        return None
    earlier = latest.failed_before if latest is not None else {}
    number = latest.number + 1 if latest is not None else 1
    chosen = RetryRound(number, {ordinal: earlier.get(ordinal, 0) + 1 for ordinal in failed})
    key = f"{layout.of_run(plan.run_id).retries}{number:02d}.json"
    body = json.dumps({"failed_before": chosen.failed_before}).encode()
    if await world.store.put_if_absent(key, body):
        return chosen
    return await _latest(world, layout, plan)


def _checked(classes: Collection[str]) -> frozenset[str]:
    known = {one.value for one in FailureClass}
    for name in classes:
        if name not in known:
            raise ConfigError(
                f"--retry-failed {name}: there is no such class of failure\n"
                f"  known are {', '.join(sorted(known))}"
            )
    return frozenset(classes) or frozenset(known - {FailureClass.QUARANTINED.value})


async def rounds_begun(world: World, keys: RunKeys) -> int:
    """How many retry rounds of a run were begun, finished ones included."""
    listed = world.store.list(keys.retries)
    return max([number_of(stored.key) async for stored in listed], default=0)


async def _latest(world: World, layout: Layout, plan: Plan) -> RetryRound | None:
    keys = layout.of_run(plan.run_id)
    number = await rounds_begun(world, keys)
    if not number:
        return None
    found = json.loads(await world.store.get(f"{keys.retries}{number:02d}.json"))
    before = {int(ordinal): int(runs) for ordinal, runs in found["failed_before"].items()}
    return RetryRound(number, before)


async def _failed_rows(
    plan: Plan,
    checkpoints: Checkpoints,
    places: set[tuple[int, int]],
    wanted: frozenset[str],
) -> list[int]:
    failed: list[int] = []
    for batch in range(plan.batches):
        rows = await checkpoints.read(batch)
        for retry in sorted(retry for at, retry in places if at == batch and retry):
            rows = overlaid(rows, await checkpoints.read(batch, retry))
        failed += [
            row.ref.ordinal
            for row in rows
            if isinstance(row.outcome, Failed) and row.outcome.failure.value in wanted
        ]
    return failed
