"""What a run is: decided once, written down once, and matched by everyone who joins or resumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from ocrlabel.errors import RunMismatch
from ocrlabel.options import BATCH_ROWS, SLICE_ROWS
from ocrlabel.pipeline.budget.account import Account
from ocrlabel.pipeline.state.codec import Codec, Damaged
from ocrlabel.wording import counted

PLAN_FORMAT = 1
GROWN_FORMAT = 2
"""Of a plan that has grown: an earlier version would pay for all its answers again."""
OF_THE_PLAN: Mapping[str, frozenset[str]] = {"rapidocr": frozenset({"runtime", "hangul"})}
"""Options of an engine in which machines may differ where both have one: who joins works as the
plan says."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Out of which runs one has grown, its predecessor last; and all that they were billed."""

    run_ids: tuple[str, ...]
    paid: Account = field(default_factory=Account)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's identity. fresh: it was begun with `--fresh`. grown: None, but after `--grow`.

    `replaces` are the run ids that were put aside, `replaced_jobs` the jobs that began them.
    """

    run_id: str
    dataset: str
    source: str
    fingerprint: str
    rows: Annotated[int, Field(ge=0)]
    engine: str
    options: Mapping[str, str] = field(default_factory=dict)
    batch_rows: Annotated[int, Field(gt=0)] = BATCH_ROWS
    slice_rows: Annotated[int, Field(gt=0)] = SLICE_ROWS
    created_at_s: float = 0.0
    replaces: tuple[str, ...] = ()
    replaced_jobs: tuple[str, ...] = ()
    job: str = ""
    fresh: bool = False
    grown: Grown | None = None
    format: int = PLAN_FORMAT

    @property
    def paid_before(self) -> Account:
        """What the runs asked for out of which this one has grown."""
        return self.grown.paid if self.grown else Account()

    @property
    def carries(self) -> tuple[str, ...]:
        """The runs whose answers are this one's too."""
        return self.grown.run_ids if self.grown else ()

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


_PLAN = Codec(Plan, optional=("grown",), indent=1, sort_keys=True, ensure_ascii=False)


def encode_plan(plan: Plan) -> bytes:
    """The plan as the bytes of plan.json."""
    return _PLAN.encode(plan)


def decode_plan(data: bytes, *, where: str) -> Plan:
    """The plan in plan.json. Raises RunMismatch when another version wrote it."""
    try:
        plan = _PLAN.read(data)
    except Damaged as error:
        raise RunMismatch(
            f"{where} is not a plan of ocrlabel ({error})\n"
            "  put the file back as it was to go on with its run; or write to another --output"
            " (or --checkpoint-prefix): with --reuse-from and a labels table of that run it pays"
            " only for what is not in it"
        ) from error
    if plan.format not in {PLAN_FORMAT, GROWN_FORMAT}:
        raise RunMismatch(
            f"{where} was written by another version of ocrlabel (format {plan.format})\n"
            "  finish the run with that version,"
            " or write to another --output (or --checkpoint-prefix)"
        )
    return plan


def refuse_other(there: Plan, here: Plan, *, where: str, change: str = "") -> None:
    """Raise RunMismatch, with all ways on, when the plan that is there is another run's.

    change: of an input that has grown, what differs and the way on, in lines.
    """
    if lines := differences(there, here):
        listed = "\n".join(f"  {line}" for line in lines)
        raise RunMismatch(
            f"{where} belongs to another run\n{listed}\n{change}"
            "  or write to another --output (or --checkpoint-prefix),"
            f" or add --fresh to do {counted(here.rows, 'row')} again"
        )


def has_grown(there: Plan, here: Plan) -> bool:
    """Whether nothing but the input differs."""
    return there.fingerprint != here.fingerprint and not differences(
        replace(there, fingerprint=here.fingerprint, rows=here.rows), here
    )


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
        both = there.options.keys() & here.options.keys()
        may_differ = both & OF_THE_PLAN.get(here.engine, frozenset())
        lines += [
            f"{there.engine} option {name}: there {there.options.get(name, 'unset')},"
            f" here {here.options.get(name, 'unset')}"
            for name in sorted({*there.options, *here.options} - may_differ)
            if there.options.get(name) != here.options.get(name)
        ]
    return lines


def _short(plan: Plan) -> str:
    return f"{plan.source} (sha256 {plan.fingerprint[:12]}…)"
