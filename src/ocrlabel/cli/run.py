"""`ocrlabel run`: label a dataset, or go on with it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from ocrlabel.cli.labelling import Labelling
    from ocrlabel.cli.progress import Display
    from ocrlabel.cli.settings import Settings

Source = Annotated[
    str,
    typer.Argument(
        help="A folder, a glob, one image, or a table (parquet, CSV, JSONL); s3:// works too.",
        show_default=False,
    ),
]


def option(help_: str, *names: str, panel: str = "What to do", **more: Any) -> Any:
    """An option of `run`; unset means OCRLABEL_<NAME>, then the default."""
    return typer.Option(*names, help=help_, rich_help_panel=panel, show_default=False, **more)


_PACE, _OUT = "Pace and money", "Output"


def run(
    source: Source,
    *,
    output: Annotated[
        str | None, option("Where the labels table goes: labels.parquet, or s3://...", panel=_OUT)
    ] = None,
    engine: Annotated[
        str | None,
        option("upstage, rapidocr, tesseract or scripted; by default upstage with a key."),
    ] = None,
    image_root: Annotated[
        list[str] | None,
        option("A folder that image paths start from; may be given more than once."),
    ] = None,
    image_column: Annotated[
        str | None, option("The table's image column, where its name is not a usual one.")
    ] = None,
    dry_run: Annotated[
        bool, option("Say what would be done, and what it would cost; touch nothing.")
    ] = False,
    sample: Annotated[
        int | None,
        option("Label a seeded sample of this many rows first; a later run does the rest."),
    ] = None,
    seed: Annotated[int | None, option("The seed of the sample.")] = None,
    limit: Annotated[int | None, option("Only the first rows; a later run does the rest.")] = None,
    retry_failed: Annotated[
        str | None,
        option("After a finished run: try failed rows again. `all`, or classes: `timed_out,...`"),
    ] = None,
    reuse_from: Annotated[
        str | None, option("Take rows whose bytes this earlier labels table has, and pay nothing.")
    ] = None,
    fresh: Annotated[
        bool, option("Start again from nothing, and pay for every page again.")
    ] = False,
    yes: Annotated[bool, option("Do not ask before --fresh.", "--yes", "-y")] = False,
    rps: Annotated[
        str | None, option("Requests/s of all keys and workers together, or `auto`.", panel=_PACE)
    ] = None,
    concurrency: Annotated[
        int | None,
        option("The most requests under way at once; by default as needed.", panel=_PACE),
    ] = None,
    processes: Annotated[
        int | None, option("Processes that open or read images; by default the cores.", panel=_PACE)
    ] = None,
    max_cost: Annotated[
        str | None,
        option("Never spend more than this many US dollars (exit 5); or `none`.", panel=_PACE),
    ] = None,
    price_per_page: Annotated[
        float | None, option("US dollars; 0.0015 as of 2026-09-11.", panel=_PACE)
    ] = None,
    max_failures: Annotated[
        str | None, option("More failed rows than this end with exit 6: 5%, or 0.05.", panel=_PACE)
    ] = None,
    attempts: Annotated[
        int | None, option("How often an image is sent at most; 8.", panel=_PACE)
    ] = None,
    give_up_after: Annotated[
        str | None, option("How long an outage may last: 30m (exit 75).", panel=_PACE)
    ] = None,
    deadline: Annotated[
        str | None, option("Stop and save before: 6h, or a moment (exit 75).", panel=_PACE)
    ] = None,
    batch_size: Annotated[
        int | None, option("Rows of a checkpoint; 500, or what the run began with.", panel=_OUT)
    ] = None,
    checkpoint_prefix: Annotated[
        str | None, option("The folder of checkpoints beside the output.", panel=_OUT)
    ] = None,
    model: Annotated[
        str | None, option("The Upstage model: ocr, or a dated snapshot such as ocr-250904.")
    ] = None,
    report: Annotated[bool | None, option("Write the HTML report at the end.", panel=_OUT)] = None,
    log: Annotated[str | None, option("auto, bar, lines, json or quiet.", panel=_OUT)] = None,
) -> None:
    """Label a dataset; run the same command again to go on after any kind of stop.

    Every option is also a variable: --max-cost is OCRLABEL_MAX_COST.

    For example:

        ocrlabel run images/ --output labels.parquet

        ocrlabel run data/processed/baseline_train.parquet --image-root data/

        ocrlabel run receipts/ --engine upstage --max-cost 5.00

        ocrlabel run images/ --dry-run

        ocrlabel run images/ --sample 20

        ocrlabel run s3://bucket/data/processed/baseline_train.parquet
    """
    from ocrlabel.cli import clocks
    from ocrlabel.cli.estimate import tell_estimate
    from ocrlabel.cli.incomplete import raise_if_incomplete
    from ocrlabel.cli.labelling import label_dataset
    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.summary import tell_result
    from ocrlabel.cli.wiring import place_of

    settings = Settings.of(
        output=output,
        engine=engine,
        image_root=tuple(image_root) if image_root else None,
        image_column=image_column,
        sample=sample,
        seed=seed,
        limit=limit,
        retry_failed=retry_failed,
        reuse_from=reuse_from,
        fresh=fresh or None,
        rps=rps,
        concurrency=concurrency,
        processes=processes,
        max_cost=max_cost,
        price_per_page=price_per_page,
        max_failures=max_failures,
        attempts=attempts,
        give_up_after=give_up_after,
        deadline=deadline,
        batch_size=batch_size,
        checkpoint_prefix=checkpoint_prefix,
        model=model,
        report=report,
        log=log,
    )
    keys = from_environment()
    place = place_of(source, settings, keys)
    if dry_run:
        asyncio.run(tell_estimate(source, place, settings, keys))
        return
    if settings.fresh and not yes:
        _confirm_fresh(place.shown(place.layout.labels_key))
    display = display_for(settings.log, clocks.boot_s, clocks.wall_s, sys.stderr)
    with display:
        done = asyncio.run(label_dataset(source, place, settings, keys, display))
    report_at = _report(source, done, settings, display)
    tell_result(done, report_at)
    raise_if_incomplete(done, settings.max_failures)


def _confirm_fresh(labels: str) -> None:
    question = f"--fresh puts the run behind {labels} aside and pays for every page again. Go on?"
    if not sys.stdin.isatty():
        raise ConfigError(f"{question}\n  add --yes to say so without being asked")
    typer.confirm(question, abort=True)


def _report(source: str, done: Labelling, settings: Settings, display: Display) -> str | None:
    from ocrlabel.cli.report_at_end import write_report_at_end

    return asyncio.run(write_report_at_end(source, done, settings, display))
