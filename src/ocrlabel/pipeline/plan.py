"""What a run is: decided once, written down once, and matched by everyone who joins or resumes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from ocrlabel.errors import RunMismatch, StoreUnavailable
from ocrlabel.options import BATCH_ROWS, SLICE_ROWS
from ocrlabel.pipeline.runtime import World
from ocrlabel.pipeline.state.layout import Layout
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

PLAN_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's identity. fresh: it was begun with `--fresh`.

    `replaces` are the run ids that `--fresh` put aside, `replaced_jobs` the jobs that began them.
    """

    run_id: str
    dataset: str
    source: str
    fingerprint: str
    rows: int
    engine: str
    options: Mapping[str, str] = field(default_factory=dict)
    batch_rows: int = BATCH_ROWS
    slice_rows: int = SLICE_ROWS
    created_at_s: float = 0.0
    replaces: tuple[str, ...] = ()
    replaced_jobs: tuple[str, ...] = ()
    job: str = ""
    fresh: bool = False
    format: int = PLAN_FORMAT

    @property
    def batches(self) -> int:
        """How many batches the rows make."""
        return -(-self.rows // self.batch_rows)

    def batch_range(self, batch: int) -> range:
        """The ordinals of one batch."""
        start = batch * self.batch_rows
        return range(start, min(start + self.batch_rows, self.rows))

    def slices(self, batch: int) -> Iterator[tuple[int, range]]:
        """The slices of one batch: (number, ordinals)."""
        rows = self.batch_range(batch)
        for number, start in enumerate(range(rows.start, rows.stop, self.slice_rows)):
            yield number, range(start, min(start + self.slice_rows, rows.stop))

    def batch_of(self, ordinal: int) -> int:
        """The batch that a row belongs to."""
        return ordinal // self.batch_rows


def encode_plan(plan: Plan) -> bytes:
    """The plan as the bytes of plan.json."""
    return json.dumps(asdict(plan), ensure_ascii=False, indent=1, sort_keys=True).encode()


def decode_plan(data: bytes, *, where: str) -> Plan:
    """The plan in plan.json. Raises RunMismatch when another version wrote it."""
    try:
        found = json.loads(data)
        known = {k: found[k] for k in Plan.__dataclass_fields__ if k in found}
        lists = {name: tuple(found.get(name, ())) for name in ("replaces", "replaced_jobs")}
        plan = Plan(**known | lists)
    except (ValueError, TypeError, AttributeError) as error:
        raise RunMismatch(
            f"{where} is not a plan of ocrlabel ({error})\n"
            "  put the file back as it was to go on with its run,"
            " or write to another --output (or --checkpoint-prefix)"
        ) from error
    if plan.format != PLAN_FORMAT:
        raise RunMismatch(
            f"{where} was written by another version of ocrlabel (format {plan.format})\n"
            "  finish the run with that version,"
            " or write to another --output (or --checkpoint-prefix)"
        )
    return plan


def differences(there: Plan, here: Plan) -> list[str]:
    """What makes two plans different runs, as lines for a reader; empty when they match."""
    lines = [
        f"{name}: there {theirs}, here {ours}"
        for name, theirs, ours in (
            ("rows", there.rows, here.rows),
            ("engine", there.engine, here.engine),
        )
        if theirs != ours
    ]
    if there.fingerprint != here.fingerprint:
        lines.insert(0, f"input: there {_short(there)}, here {_short(here)}")
    if there.engine == here.engine:
        lines += [
            f"{there.engine} option {name}: there {there.options.get(name, 'unset')},"
            f" here {here.options.get(name, 'unset')}"
            for name in sorted({*there.options, *here.options})
            if there.options.get(name) != here.options.get(name)
        ]
    return lines


def _short(plan: Plan) -> str:
    return f"{plan.source} (sha256 {plan.fingerprint[:12]}…)"


def refuse_other(there: Plan, here: Plan, *, where: str) -> None:
    """Raise RunMismatch, with both ways on, when the plan that is there is another run's."""
    if lines := differences(there, here):
        listed = "\n".join(f"  {line}" for line in lines)
        raise RunMismatch(
            f"{where} belongs to another run\n{listed}\n"
            "  write to another --output (or --checkpoint-prefix); with --reuse-from and the labels"
            " table of the earlier run it pays only for images that are new (of an unfinished run:"
            " `ocrlabel merge` its input as it was, with --partial, writes one)\n"
            f"  or add --fresh to do {counted(here.rows, 'row')} again"
        )


class Replaced(RunMismatch):
    """Another start with `--fresh` has put its run in the place of this worker's."""


async def written_plan(world: World, layout: Layout) -> Plan | None:
    """The plan in plan.json, None when there is none. It may have successors."""
    return await _plan_at(world, layout.plan_key)


async def newest(world: World, layout: Layout, plan: Plan) -> Plan:
    """The last successor of a plan; the plan itself when nothing has replaced it."""
    while (later := await _plan_at(world, layout.successor_key(plan.run_id))) is not None:
        plan = later
    return plan


async def succeed(world: World, layout: Layout, there: Plan, wanted: Plan) -> Plan:
    """Replace a run. Returns what holds then: `wanted`, or the plan of whoever was first."""
    plan = replace(
        wanted,
        replaces=(*there.replaces, there.run_id),
        replaced_jobs=(*there.replaced_jobs, there.job),
    )
    # the switch: from here on the old run's workers write where nobody looks
    await world.store.put_if_absent(layout.successor_key(there.run_id), encode_plan(plan))
    return await newest(world, layout, there)


async def write_down(world: World, layout: Layout, plan: Plan) -> None:
    """Bring plan.json up to a plan, unless it names that or a later one."""
    written = await written_plan(world, layout)
    if written is None or written.run_id in plan.replaces:
        await world.store.put(layout.plan_key, encode_plan(plan))


async def refuse_if_replaced(world: World, layout: Layout, plan: Plan) -> None:
    """Raise Replaced when the plan that a worker began with holds no more."""
    later = await newest(world, layout, plan)
    if later.run_id != plan.run_id:
        raise Replaced(
            f"{world.store.url.rstrip('/')}/{layout.prefix}/{layout.dataset} was begun anew"
            f" meanwhile: run {later.run_id} replaced run {plan.run_id}, which stops here\n"
            "  start this worker again without --fresh to go on with the new run"
        )


async def watch(world: World, layout: Layout, plan: Plan, *, every_s: float) -> None:
    """Look again and again, until it is cancelled. Raises Replaced."""
    while True:
        await world.sleep(every_s)
        with contextlib.suppress(StoreUnavailable):  # the next look tells
            await refuse_if_replaced(world, layout, plan)


async def _plan_at(world: World, key: str) -> Plan | None:
    try:
        data = await world.store.get(key)
    except NotStored:
        return None
    return decode_plan(data, where=f"{world.store.url.rstrip('/')}/{key}")
