"""The run from Python: what the command does, as two functions and a value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from ocrlabel.cli import clocks
from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.progress import display_for
from ocrlabel.cli.run import write_report_at_end
from ocrlabel.cli.settings import from_environment
from ocrlabel.cli.wiring import Chosen, label_dataset, place_of
from ocrlabel.engine import Engine
from ocrlabel.engines.plugins import checked
from ocrlabel.errors import ConfigError
from ocrlabel.keywords import Keywords
from ocrlabel.options import EngineName, Front, Options, described


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What a run did. Paths are local paths or s3:// addresses; record is run.json.

    complete: every input row is in one of the two tables. partial: rows were left out by sample
    or limit, and the paths name the tables of what there is so far. report_path: None where no
    report was written (report=False, its extra is missing, or the run was done before).
    """

    rows: int
    labelled: int
    failed: int
    pages: int
    words: int
    complete: bool
    partial: bool
    already_done: bool
    labels_path: str
    failures_path: str
    report_path: str | None
    record: Mapping[str, Any] = field(repr=False)

    @property
    def failures(self) -> Mapping[str, int]:
        """Failed rows by class."""
        return dict(self.record["failures"])

    @property
    def cost(self) -> float:
        """What was billed, in US dollars without VAT; record["at_risk_usd"]: perhaps as well."""
        return float(self.record["billed_usd"])


def label(
    source: str | Path,
    *,
    engine: EngineName | Engine | None = None,
    output: str | Path = "labels.parquet",
    progress: bool = True,
    **options: Unpack[Keywords],
) -> LabelResult:
    """Label a dataset, or go on with it. Works in a notebook too, where a loop runs already.

    source: a folder, a glob, an image, a table, or s3://... . engine: a name ("rapidocr"), or an
    object of one's own (`ocrlabel.engine`): it runs in this process, so that a crash of it is the
    process's. options: those of `ocrlabel run` (max_cost=5.0, image_root=("data/",), sample=20,
    ...); docs/options.md.
    Raises OcrLabelError: ConfigError for what can be mended, Interrupted, BudgetReached and
    EngineUnusable for a run that stopped early with everything saved; the same call goes on.
    Rows that failed do not raise: look at `failed` and `failures`.
    """
    return run_async(
        label_async(source, engine=engine, output=output, progress=progress, **options)
    )


async def label_async(
    source: str | Path,
    *,
    engine: EngineName | Engine | None = None,
    output: str | Path = "labels.parquet",
    progress: bool = True,
    **options: Unpack[Keywords],
) -> LabelResult:
    """`label` for code that runs in an event loop."""
    for name in options:
        if name in described() and (why := described()[name].option.lacks.get(Front.PYTHON)):
            raise ConfigError(f"{name} is no keyword of ocrlabel.label: {why}")
    keys = from_environment()
    of_ones_own = None
    if engine is not None and not isinstance(engine, str):
        made = checked(engine)
        of_ones_own = Chosen(made, f"engine {made.name} (as given)")
    wanted = Options.of(
        keys.variables,
        front=Front.PYTHON,
        engine=engine if of_ones_own is None else None,
        output=str(output),
        log=None if progress else "quiet",
        **options,
    )
    if of_ones_own is not None and (wanted.engine_option or wanted.language):
        raise ConfigError("engine_option and language are for an engine by name, not for an object")
    place = place_of(str(source), wanted, keys)
    with display_for(wanted.log, clocks.boot_s, clocks.wall_s, sys.stderr) as display:
        done = await label_dataset(str(source), place, wanted, keys, display, chosen=of_ones_own)
        report_at = await write_report_at_end(str(source), done, wanted, display)
    record = done.result.record.as_json()
    return LabelResult(
        rows=record["rows"],
        labelled=record["labelled"],
        failed=record["failed"],
        pages=record["pages"],
        words=record["words"],
        complete=record["complete"],
        partial=done.result.partial,
        already_done=done.result.already,
        labels_path=done.labels,
        failures_path=done.failures,
        report_path=report_at,
        record=record,
    )
