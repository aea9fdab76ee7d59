"""What a run is: decided once, written down once, and matched by everyone who joins or resumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ocrlabel.errors import RunMismatch
from ocrlabel.options import BATCH_ROWS, SLICE_ROWS
from ocrlabel.pipeline.state.codec import Codec, Damaged
from ocrlabel.wording import counted

PLAN_FORMAT = 1
OF_THE_PLAN: Mapping[str, frozenset[str]] = {"rapidocr": frozenset({"runtime", "hangul"})}
"""Options of an engine in which machines may differ where both have one: who joins works as the
plan says."""


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


_PLAN = Codec(Plan, indent=1, sort_keys=True, ensure_ascii=False)


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
    if plan.format != PLAN_FORMAT:
        raise RunMismatch(
            f"{where} was written by another version of ocrlabel (format {plan.format})\n"
            "  finish the run with that version,"
            " or write to another --output (or --checkpoint-prefix)"
        )
    return plan


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
