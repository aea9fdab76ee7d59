"""`ocrlabel run`: label a dataset, or go on with it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.errors import ConfigError, Incomplete, OcrLabelError
from ocrlabel.wording import counted, duration, usd

if TYPE_CHECKING:
    from ocrlabel.cli.progress import Display
    from ocrlabel.cli.settings import Keys, Settings
    from ocrlabel.cli.wiring import Labelling, Place
    from ocrlabel.report.pages import ImageReader

Source = Annotated[
    str,
    typer.Argument(
        help="A folder, a glob, one image, or a table (parquet, CSV, JSONL); s3:// works too.",
        show_default=False,
    ),
]
_PACE, _OUT = "Pace and money", "Output"
_PAUSE_S = 10.0
_WILD = "*?["


def option(help_: str, *names: str, panel: str = "What to do", **more: Any) -> Any:
    """An option of `run`; unset means OCRLABEL_<NAME>, then the default."""
    return typer.Option(*names, help=help_, rich_help_panel=panel, show_default=False, **more)


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
    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.wiring import label_dataset, place_of

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

    return asyncio.run(write_report_at_end(source, done, settings, display))


def _option(help_: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, show_default=False)


def bucket_run(
    *,
    s3_bucket: Annotated[str | None, _option("The bucket, or S3_BUCKET.")] = None,
    dataset_name: Annotated[
        str | None, _option("The dataset, or DATASET_NAME: baseline_train, say.")
    ] = None,
    input_s3_key: Annotated[
        str | None, _option("Or INPUT_S3_KEY; data/processed/{dataset}.parquet by default.")
    ] = None,
    output_s3_key: Annotated[
        str | None,
        _option("Or OUTPUT_S3_KEY; data/processed/{dataset}_pseudo_labels.parquet by default."),
    ] = None,
    checkpoint_prefix: Annotated[
        str | None, _option("Or CHECKPOINT_PREFIX; checkpoints by default.")
    ] = None,
    batch_size: Annotated[int | None, _option("Rows of a checkpoint; 500 by default.")] = None,
    concurrency: Annotated[
        int | None, _option("The most requests under way; by default as the rate needs.")
    ] = None,
    resume: Annotated[
        bool, _option("Go on with a run that another job began.", "--resume")
    ] = False,
    fresh: Annotated[bool, _option("Pay for every page again.", "--fresh")] = False,
    engine: Annotated[str | None, _option("upstage, rapidocr or tesseract.")] = None,
    rps: Annotated[str | None, _option("Requests/s of the whole fleet, or auto.")] = None,
    max_cost: Annotated[str | None, _option("The run's cap in US dollars, or none.")] = None,
    max_failures: Annotated[str | None, _option("Exit 6 above this share; 5%.")] = None,
    image_root: Annotated[
        list[str] | None, _option("Where image paths start: a folder, s3://bucket/prefix.")
    ] = None,
    retry_failed: Annotated[
        str | None, _option("After a finished run: try failed rows again; all, or classes.")
    ] = None,
    limit: Annotated[int | None, _option("Only the first rows.")] = None,
    log: Annotated[str | None, _option("auto, bar, lines, json or quiet.")] = None,
) -> None:
    """Label a dataset of a bucket; all state is in the bucket, so any machine can go on.

    A retry of the same Batch job, and the children of an array job, go on by themselves. An
    unfinished run of another job is only gone on with when --resume says so.

    For example:

        S3_BUCKET=b python -m runners.batch_pseudo_labels_aws --dataset-name train

        python -m runners.batch_pseudo_labels_aws --dataset-name train --resume
    """
    from ocrlabel.cli.settings import Settings, from_environment

    keys = from_environment()
    bucket = s3_bucket or keys.get("S3_BUCKET")
    dataset = dataset_name or keys.get("DATASET_NAME")
    if not bucket or not dataset:
        missing = "--s3-bucket (or S3_BUCKET)" if not bucket else "--dataset-name (or DATASET_NAME)"
        raise ConfigError(f"{missing} is not given")
    in_batch = bool(keys.get("AWS_BATCH_JOB_ID"))
    settings = Settings.of(
        dataset_name=dataset,
        checkpoint_prefix=checkpoint_prefix or keys.get("CHECKPOINT_PREFIX") or None,
        batch_size=batch_size or keys.get("BATCH_SIZE") or None,
        concurrency=concurrency or keys.get("CONCURRENCY") or None,
        fresh=fresh or None,
        engine=engine,
        rps=rps,
        max_cost=max_cost,
        max_failures=max_failures,
        image_root=tuple(image_root) if image_root else None,
        retry_failed=retry_failed,
        limit=limit,
        log=log or ("json" if in_batch else None),
    )
    input_key = input_s3_key or keys.get("INPUT_S3_KEY") or f"data/processed/{dataset}.parquet"
    place = _place(bucket, output_s3_key or keys.get("OUTPUT_S3_KEY"), settings, keys)
    _label(f"s3://{bucket}/{input_key}", place, settings, keys, resume=resume)


def _place(bucket: str, output_key: str, settings: Settings, keys: Keys) -> Place:
    from ocrlabel.cli.wiring import Place, open_store
    from ocrlabel.pipeline.state.layout import of_dataset

    layout = of_dataset(
        settings.dataset_name or "", labels_key=output_key, prefix=settings.checkpoint_prefix
    )
    root = f"s3://{bucket}"
    return Place(open_store(root, keys), layout, root)


def _label(source: str, place: Place, settings: Settings, keys: Keys, *, resume: bool) -> None:
    from ocrlabel.cli import clocks
    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.wiring import label_dataset

    display = display_for(settings.log, clocks.boot_s, clocks.wall_s, sys.stderr)
    with display:
        done = asyncio.run(
            label_dataset(
                source,
                place,
                settings,
                keys,
                display,
                job=batch_job(keys.get("AWS_BATCH_JOB_ID")),
                join=resume,
            )
        )
        report_at = asyncio.run(write_report_at_end(source, done, settings, display))
    tell_result(done, report_at)
    raise_if_incomplete(done, settings.max_failures)


def batch_job(job_id: str) -> str:
    """The job that a retry and an array's children share: "id" of "id:index"."""
    return job_id.partition(":")[0]


def raise_if_incomplete(done: Labelling, most_share: float) -> None:
    """Exit 6 when more rows failed than --max-failures allows."""
    from ocrlabel.dataset.labels_table import read_failures
    from ocrlabel.dataset.sources import is_table

    told = done.result.record.as_json()
    if done.result.partial or told["failed"] <= most_share * told["rows"]:
        return
    passing, lasting = Counter[str](), Counter[str]()
    with done.place.store.open(done.result.failures_key) as table:
        for row in read_failures(table):
            (passing if row.retryable else lasting)[row.failure_class] += 1
    raise Incomplete(
        f"{told['failed']:,} of {counted(told['rows'], 'row')} failed,"
        f" more than {most_share:.0%}; see {done.failures}\n"
        + what_helps(
            passing,
            lasting,
            from_a_table=is_table(told["source"]),
            reusable=done.labels if done.place.is_local else "",
        )
        + f"  to accept them: --max-failures {math.ceil(100 * told['failed'] / told['rows'])}%"
    )


def what_helps(
    passing: Mapping[str, int], lasting: Mapping[str, int], *, from_a_table: bool, reusable: str
) -> str:
    """Lines of advice, by failures that may pass and others, each counted by class.

    A table names files that may be mended under it; a folder with other files is another input.
    reusable: the labels table that --reuse-from can take, "" where it cannot.
    """
    lines = ""
    if passing:
        lines += (
            f"  {_listed(passing)} may yet succeed:"
            f" the same command with --retry-failed {','.join(sorted(passing))}\n"
        )
    if not lasting:
        return lines
    lines += f"  {_listed(lasting)} will fail again as the files are: mend them, then "
    if from_a_table:
        return f"{lines}the same command with --retry-failed {','.join(sorted(lasting))}\n"
    free = f" and --reuse-from {reusable}, which labels only what is new" if reusable else ""
    return f"{lines}it is another input: another --output{free}\n"


def _listed(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(classes.items()))


def tell_result(done: Labelling, report_at: str | None) -> None:
    """Print the table on standard output."""
    for name, value in result_rows(done, report_at):
        print(f"{name:<18}{value}")


def result_rows(done: Labelling, report_at: str | None) -> list[tuple[str, str]]:
    """The table's rows."""
    told, place = done.result.record.as_json(), done.place
    rows = [("state", _state(done))]
    images = counted(told["rows"], "image")
    rows.append(("labelled", f"{told['labelled']:,} of {images}"))
    if told["failed"]:
        rows.append(("failed", f"{told['failed']:,} ({_classes(told['failures'])})"))
    if told["not_reached"]:
        rows.append(("not reached", f"{told['not_reached']:,}"))
    found = f"{counted(told['words'], 'word')} on {counted(told['pages'], 'page')}"
    rows.append(("found", found))
    rows += _cost_rows(told)
    if not done.result.already:
        rows.append(("time", _time(told)))
    rows.append(("labels table", done.labels))
    if told["failed"]:
        rows.append(("failures table", done.failures))
    rows.append(("account", place.shown(place.layout.run_key)))
    if report_at:
        rows.append(("report", report_at))
    return rows


def _time(told: Mapping[str, Any]) -> str:
    """How long it was worked on; beside it how long ago it began, where there were pauses."""
    whole_s = told["ended_at_s"] - told["created_at_s"]
    active_s = told.get("active_s", whole_s)
    if whole_s - active_s < _PAUSE_S:
        return duration(active_s)
    return f"{duration(active_s)} of work, {duration(whole_s)} with pauses"


def _state(done: Labelling) -> str:
    if done.result.partial:
        return "a part is done; run it again without --sample and --limit to go on"
    if done.result.already:
        return "was done before; nothing was sent"
    if failed := done.result.record.as_json()["failed"]:
        return f"every row is settled, {failed:,} without a label"
    return "done"


def _classes(failures: Mapping[str, int]) -> str:
    ordered = sorted(failures.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _cost_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not told["price_per_page_usd"]:
        return []
    account = told["account"]
    at_risk = sum(account["at_risk_pages"].values())
    wasted = sum(account["wasted_pages"].values())
    line = f"{counted(account['billed_pages'], 'page')}, {usd(told['billed_usd'])}"
    if wasted:
        line += f"; {wasted:,} of them in no label"
    rows = [("billed", line)]
    if at_risk:
        perhaps = f"{counted(at_risk, 'page')}, {usd(told['at_risk_usd'])}"
        rows.append(("perhaps billed", perhaps))
    rate = told["requests_per_s"]
    sent = sum(n for name, n in account["requests"].items() if name != "unsent")
    if not sent:
        return rows
    shown_rate = f", {rate:.2f}/s" if rate else ""
    rows.append(("requests", f"{sent:,}{shown_rate} ({_classes(account['requests'])})"))
    return rows


async def write_report_at_end(
    source: str, done: Labelling, settings: Settings, display: Display
) -> str | None:
    """Where the report was written; None, and a line that says why, where it was not.

    No image leaves a bucket, or goes into one: there the report holds numbers only.
    """
    if not settings.report or done.result.already:
        return None
    if find_spec("jinja2") is None:
        display.say("no report: pip install 'ocrlabel[report]' to have one")
        return None
    try:
        if done.place.is_local:
            return await asyncio.to_thread(_beside_the_table, source, done, settings)
        return await _into_the_bucket(done)
    except (OcrLabelError, OSError) as error:
        # the labels are there; a report can be made at any time
        display.say(f"no report was written: {error}")
        return None


def _beside_the_table(source: str, done: Labelling, settings: Settings) -> str:
    from ocrlabel.report.write import write_report

    root, layout = Path(done.place.root), done.place.layout
    write_report(
        root / done.result.labels_key,
        root / done.result.failures_key,
        done.result.record.as_json(),
        root / layout.report_key,
        images=_images(source, settings),
    )
    return done.place.shown(layout.report_key)


async def _into_the_bucket(done: Labelling) -> str:
    from ocrlabel.report.write import write_report

    store, layout = done.place.store, done.place.layout
    with tempfile.TemporaryDirectory(prefix="ocrlabel-") as folder:
        labels, failures = Path(folder) / "labels.parquet", Path(folder) / "failures.parquet"
        await store.download(done.result.labels_key, labels)
        await store.download(done.result.failures_key, failures)
        page = Path(folder) / "report.html"
        await asyncio.to_thread(write_report, labels, failures, done.result.record.as_json(), page)
        await store.upload(layout.report_key, page)
    return done.place.shown(layout.report_key)


def _images(source: str, settings: Settings) -> ImageReader | None:
    """The images of a local input, where the run found them; None for those in a bucket."""
    from ocrlabel.export.images import Images, places

    if source.startswith("s3://"):
        return None
    fixed = Path(source).expanduser()
    while any(sign in str(fixed) for sign in _WILD):
        fixed = fixed.parent
    folders = [fixed if fixed.is_dir() else fixed.parent]
    folders += [Path(root) for root in settings.image_root if Path(root).is_dir()]
    found = places(folders)
    if fixed.suffix == ".parquet":
        # a table of paths holds no images: they are in the folders
        with contextlib.suppress(OcrLabelError):
            found = [*places([fixed]), *found]
    return Images(found)
