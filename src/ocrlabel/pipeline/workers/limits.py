"""The limits of a run, rate and budget: the newest word of any start or `ocrlabel set` holds.

A log of numbered objects, so that a cap holds for whoever goes on with a run, after any death, and
for every worker of a fleet alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field

from ocrlabel.errors import RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.codec import Codec, Damaged
from ocrlabel.pipeline.state.layout import newest_number
from ocrlabel.storage.base import NotStored

NAMES = {"rps": "rps", "max_cost_usd": "max_cost"}
"""What an entry of the log calls an option."""


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """What one entry says. values: by name; None lifts a limit. job: the Batch job that says it.

    unreadable: where the entry is, and why it cannot be read.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    job: str = ""
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What holds as of the entry `newest`. jobs: the Batch jobs that have said theirs.

    unreadable: the limits that an entry may have changed which cannot be read, and which it is.
    """

    newest: int = 0
    rps: float | None = None
    max_cost_usd: float | None = None
    jobs: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def after(self, number: int, change: LimitsChange) -> RunLimits:
        """With the next entry of the log."""
        jobs = self.jobs | ({change.job} if change.job else set())
        unreadable = {name: at for name, at in self.unreadable.items() if name not in change.values}
        if change.unreadable:
            unreadable = dict.fromkeys(NAMES, change.unreadable)
        return replace(self, newest=number, jobs=jobs, unreadable=unreadable, **change.values)

    def said_by(self, options: Options) -> LimitsChange:
        """What a start adds to the log; no values when it says nothing, or nothing new.

        A retry of a Batch job, or another child of its array, repeats what the job said when it
        began: what was changed since stays.
        """
        if options.job in self.jobs:
            return LimitsChange()
        given = {name: getattr(options, option) for name, option in NAMES.items()}
        lifted = {name for name, option in NAMES.items() if option in options.lifted}
        said = {name: at for name, at in given.items() if at is not None or name in lifted}
        if options.job and said:
            return LimitsChange(said, options.job)
        news = {
            name: value
            for name, value in said.items()
            if value != getattr(self, name) or name in self.unreadable
        }
        return LimitsChange(news)

    def hold_for(self, options: Options) -> Options:
        """The options of a start as they hold from here on. Raises RunMismatch."""
        then = self.after(self.newest, self.said_by(options))
        for unreadable in then.unreadable.values():
            raise not_known(unreadable)
        return replace(options, rps=then.rps, max_cost=then.max_cost_usd)


def not_known(unreadable: str) -> RunMismatch:
    """The error for a limit that may have been changed to nobody knows what: none is lifted."""
    return RunMismatch(
        f"{unreadable}: which rate and which cap hold is not known\n"
        "  bring it back from a backup; or say both again, with --max-cost and --rps:"
        " `none` and `auto` are values too, and `ocrlabel set` takes them as well"
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry as it is read: only what it names was changed."""

    rps: Annotated[float, Field(gt=0, lt=math.inf)] | Literal["not named"] | None = "not named"
    max_cost_usd: Annotated[float, Field(ge=0, lt=math.inf)] | Literal["not named"] | None = (
        "not named"
    )
    job: str = ""


_ENTRY = Codec(_Entry)


def in_words(values: Mapping[str, float | None]) -> str:
    """As they would be given: --rps auto, --max-cost 20."""
    lifted = {"rps": "auto", "max_cost_usd": "none"}
    return ", ".join(
        f"--{NAMES[name].replace('_', '-')} {lifted[name] if value is None else f'{value:g}'}"
        for name, value in values.items()
    )


async def limits_of(run: Run) -> RunLimits:
    """What holds for a run now."""
    limits = RunLimits()
    for number, change in await changes_since(run, 0):
        limits = limits.after(number, change)
    return limits


async def changes_since(run: Run, known: int) -> list[tuple[int, LimitsChange]]:
    """The entries behind `known`, with their numbers, in order."""
    newest = await newest_number(run.runtime, run.keys.limits)
    return [(number, await _change(run, number)) for number in range(known + 1, newest + 1)]


async def change_limits(run: Run, values: Mapping[str, float | None]) -> None:
    """Append a change that every worker takes over with its next heartbeat."""
    change = LimitsChange(values)
    while not await _append(run, (await limits_of(run)).newest + 1, change):
        pass


async def say_limits(run: Run, options: Options) -> int:
    """Write down what a start says, unless another worker of the same job just has.

    Returns the number of the newest entry: what it says, this start knows.
    """
    while (said := (limits := await limits_of(run)).said_by(options)).values:
        if await _append(run, limits.newest + 1, said):
            return limits.newest + 1
    return limits.newest


async def take_over_limits(run: Run, before: Run) -> None:
    """Begin the log of a run with what holds in the one before. Raises RunMismatch."""
    limits = await limits_of(before)
    for unreadable in limits.unreadable.values():
        raise not_known(unreadable)
    values = {name: getattr(limits, name) for name in NAMES}
    if named := {name: value for name, value in values.items() if value is not None}:
        await _append(run, 1, LimitsChange(named))


async def _append(run: Run, number: int, change: LimitsChange) -> bool:
    """Write an entry; False when somebody else has written that number."""
    # in the order in which they were named, as ever
    job = {"job": change.job} if change.job else {}
    data = json.dumps({**change.values, **job, "nonce": run.runtime.token()}).encode()
    return await run.runtime.store.put_if_absent(run.keys.limit(number), data)


async def _change(run: Run, number: int) -> LimitsChange:
    key = run.keys.limit(number)
    try:
        entry = _ENTRY.read(await run.runtime.store.get(key))
    except NotStored:
        raise RunMismatch(
            f"{run.runtime.where(key)} is gone, and what was said after it is there\n"
            "  bring it back from a backup, or move away those of higher numbers beside it"
        ) from None
    except Damaged as error:
        return LimitsChange(unreadable=f"{run.runtime.where(key)} cannot be read ({error})")
    named = {name: getattr(entry, name) for name in NAMES}
    values = {name: value for name, value in named.items() if value != "not named"}
    return LimitsChange(values, entry.job)
