"""The limits of a run, rate and budget: the newest word of any start or `ocrlabel set` holds.

A log of numbered objects, so that a cap holds for whoever goes on with a run, after any death, and
for every worker of a fleet alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.layout import RunKeys, number_of

NAMES = {"rps": "rps", "max_cost_usd": "max_cost"}
"""What an entry of the log calls an option."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds as of the entry `newest`. jobs: the Batch jobs that have said theirs."""

    newest: int = 0
    rps: float | None = None
    max_cost_usd: float | None = None
    jobs: frozenset[str] = frozenset()

    def after(self, number: int, change: Mapping[str, Any]) -> Limits:
        """With the next entry of the log."""
        said = {name: change[name] for name in NAMES if name in change}
        jobs = self.jobs | ({change["job"]} if change.get("job") else set())
        return replace(self, newest=number, jobs=jobs, **said)

    def said_by(self, options: Options) -> dict[str, Any]:
        """What a start adds to the log: {} when it says nothing, or nothing new.

        A retry of a Batch job, or another child of its array, repeats what the job said when it
        began: what was changed since stays.
        """
        if options.job in self.jobs:
            return {}
        given = {name: getattr(options, option) for name, option in NAMES.items()}
        lifted = {name for name, option in NAMES.items() if option in options.lifted}
        said = {name: at for name, at in given.items() if at is not None or name in lifted}
        if options.job and said:
            return said | {"job": options.job}
        return {name: value for name, value in said.items() if value != getattr(self, name)}

    def hold_for(self, options: Options) -> Options:
        """The options of a start as they hold from here on."""
        then = self.after(self.newest, self.said_by(options))
        return replace(options, rps=then.rps, max_cost=then.max_cost_usd)


async def changes_since(
    world: World, keys: RunKeys, known: int
) -> list[tuple[int, dict[str, Any]]]:
    """The entries behind `known`, with their numbers, in order."""
    listed = world.store.list(keys.limits)
    newest = max([number_of(stored.key) async for stored in listed], default=0)
    return [
        (number, json.loads(await world.store.get(keys.limit(number))))
        for number in range(known + 1, newest + 1)
    ]


async def limits_of(world: World, keys: RunKeys) -> Limits:
    """What holds for a run now."""
    limits = Limits()
    for number, change in await changes_since(world, keys, 0):
        limits = limits.after(number, change)
    return limits


async def change_limits(world: World, keys: RunKeys, changes: Mapping[str, Any]) -> None:
    """Append a change that every worker takes over with its next heartbeat."""
    body = json.dumps(dict(changes) | {"nonce": world.token()}).encode()
    while True:
        number = (await limits_of(world, keys)).newest + 1
        if await world.store.put_if_absent(keys.limit(number), body):
            return


async def say_limits(world: World, keys: RunKeys, options: Options) -> int:
    """Write down what a start says, unless another worker of the same job just has.

    Returns the number of the newest entry: what it says, this start knows.
    """
    while said := (limits := await limits_of(world, keys)).said_by(options):
        body = json.dumps(said | {"nonce": world.token()}).encode()
        if await world.store.put_if_absent(keys.limit(limits.newest + 1), body):
            return limits.newest + 1
    return limits.newest
