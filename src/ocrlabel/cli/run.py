"""`ocrlabel run`, the runner of a bucket, `merge` and `reparse`: what makes the tables.

The first two end alike: the labels, then a report, a table of the result on standard output, and
an exit status that says whether more rows failed than allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.cli import clocks
from ocrlabel.cli.exit_codes import end_within, run_async
from ocrlabel.cli.settings import DryRun, Verbose, Yes, from_environment, open_store, option, taking
from ocrlabel.errors import ConfigError, Incomplete, OcrLabelError
from ocrlabel.options import WHAT, Front, Options
from ocrlabel.pipeline.state.layout import of_dataset
from ocrlabel.storage.folder import scratch_folder
from ocrlabel.wording import counted, duration, grown, listed, percent, usd

if TYPE_CHECKING:
    from ocrlabel.cli.progress import Display
    from ocrlabel.cli.settings import Keys
    from ocrlabel.cli.wiring import Labelling, Place
    from ocrlabel.pipeline.merge.merge import Change

_PAUSE_S = 10.0
_Source = Annotated[str, typer.Argument(help="The input of the run, as given to `run`.")]


@taking(Front.RUN)
def run(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a glob, one image, or a table (parquet, CSV, JSONL); s3:// works too.",
            show_default=False,
        ),
    ],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    verbose: Verbose = False,
    **given: Any,
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
    from ocrlabel.cli.estimate import tell_estimate
    from ocrlabel.cli.wiring import place_of

    keys = from_environment()
    options = Options.of(keys.variables, **given)
    place = place_of(source, options, keys)
    if dry_run:
        run_async(tell_estimate(source, place, options, keys))
        return
    if options.fresh and not yes:
        there = f"the run behind {place.shown(place.layout.labels_key)}"
        question = f"--fresh puts {there} aside and pays for every page again. Go on?"
        if not sys.stdin.isatty():
            raise ConfigError(f"{question}\n  add --yes to say so without being asked")
        typer.confirm(question, abort=True)
    _label(source, place, options, keys, verbose=verbose)


@taking(Front.RUNNER)
def bucket_run(**given: Any) -> None:
    """Label a dataset of a bucket; all state is in the bucket, so any machine can go on.

    A retry of the same Batch job, and the children of an array job, go on by themselves. An
    unfinished run of another job is only gone on with when --resume says so.

    For example:

        S3_BUCKET=b python -m runners.batch_pseudo_labels_aws --dataset-name train

        python -m runners.batch_pseudo_labels_aws --dataset-name train --resume
    """
    from ocrlabel.cli.wiring import Place

    keys = from_environment()
    # "id" of "id:index": a retry and an array's children share it
    job = keys.get("AWS_BATCH_JOB_ID").partition(":")[0]
    options = Options.of(
        keys.variables,
        front=Front.RUNNER,
        defaults={"resume": False, "job": job, "log": "json" if job else "auto"},
        **given,
    )
    bucket, dataset = options.s3_bucket, options.dataset_name
    if not bucket or not dataset:
        missing = "--s3-bucket (or S3_BUCKET)" if not bucket else "--dataset-name (or DATASET_NAME)"
        raise ConfigError(f"{missing} is not given")
    root = f"s3://{bucket}"
    layout = of_dataset(
        dataset, labels_key=options.output_s3_key or "", prefix=options.checkpoint_prefix
    )
    place = Place(open_store(root, keys), layout, root)
    source = f"{root}/{options.input_s3_key or f'data/processed/{dataset}.parquet'}"
    _label(source, place, options, keys)


def _label(
    source: str, place: Place, options: Options, keys: Keys, *, verbose: bool = False
) -> None:
    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.wiring import label_dataset

    display = display_for(options.log, clocks.boot_s, clocks.wall_s, sys.stderr, verbose=verbose)
    labelling = label_dataset(source, place, options, keys, display, end_within=end_within)
    try:
        with display:
            done = run_async(labelling)
    except OcrLabelError as error:
        _tell_what_there_is(error, source, place, options, display)
        raise
    report_at = run_async(write_report_at_end(source, done, options, display))
    for name, value in result_rows(done, report_at):
        print(f"{name:<18}{value}")
    raise_if_incomplete(source, done, options.max_failures)


def _tell_what_there_is(
    error: OcrLabelError, source: str, place: Place, options: Options, display: Display
) -> None:
    """Add to the last words where the partial tables are, or the command that makes them."""
    from ocrlabel.cli.wiring import Labelling
    from ocrlabel.pipeline.merge.partial import HandedOver
    from ocrlabel.pipeline.run import Result

    there = error.handed_over
    if not isinstance(there, HandedOver):
        return
    if there.record is None:
        command = merge_command(source, place, options)
        error.add_note(f"  tables of what there is so far:\n    {command}")
        return
    keys = place.layout.partial_labels_key, place.layout.partial_failures_key
    done = Labelling(Result(there.record, *keys, partial=True, early=True), place)
    writing = write_report_at_end(source, done, options, display)
    report_at = None
    with contextlib.suppress(TimeoutError):
        in_time = asyncio.wait_for(writing, max(0.0, there.until_s - clocks.boot_s()))
        report_at = run_async(in_time)
    shown = ", ".join([done.labels, done.failures, *filter(None, [report_at])])
    error.add_note(f"  so far, {counted(there.record.labelled, 'row')} labelled: {shown}")


def merge_command(source: str, place: Place, options: Options) -> str:
    """The command that makes tables of what there is so far."""
    words = ["ocrlabel", "merge", source, "--output", place.shown(place.layout.labels_key)]
    for root in options.image_root:
        words += ["--image-root", root]
    for name in ("image_column", "id_column", "checkpoint_prefix"):
        if (value := getattr(options, name)) not in {None, getattr(Options(), name)}:
            words += [f"--{name.replace('_', '-')}", value]
    return shlex.join([*words, "--partial"])


async def write_report_at_end(
    source: str, done: Labelling, options: Options, display: Display
) -> str | None:
    """Where the report was written; None, and a line that says why, where it was not.

    No image leaves a bucket, or goes into one: there the report holds numbers only.
    """
    if not options.report or done.result.already:
        return None
    if find_spec("jinja2") is None:
        display.say("no report: in the clone, pip install '.[report]' to have one")
        return None
    try:
        if done.place.is_local:
            return await asyncio.to_thread(_beside_the_table, source, done, options)
        return await _into_the_bucket(done)
    except (OcrLabelError, OSError) as error:
        # the labels are there; a report can be made at any time
        display.say(f"no report was written: {error}")
        return None


def _beside_the_table(source: str, done: Labelling, options: Options) -> str:
    from ocrlabel.export.images import LabelledImages, where_a_run_looked
    from ocrlabel.report.write import write_report

    root, is_local = Path(done.place.root), not source.startswith("s3://")
    write_report(
        root / done.result.labels_key,
        root / done.result.failures_key,
        done.result.record.as_json(),
        root / done.report_key,
        images=LabelledImages(where_a_run_looked(source, options.image_root)) if is_local else None,
    )
    return done.place.shown(done.report_key)


async def _into_the_bucket(done: Labelling) -> str:
    from ocrlabel.report.write import write_report

    store = done.place.store
    with scratch_folder() as folder:
        labels, failures = folder / "labels.parquet", folder / "failures.parquet"
        await store.download(done.result.labels_key, labels)
        await store.download(done.result.failures_key, failures)
        page = folder / "report.html"
        await asyncio.to_thread(write_report, labels, failures, done.result.record.as_json(), page)
        await store.upload(done.report_key, page)
    return done.place.shown(done.report_key)


def result_rows(done: Labelling, report_at: str | None) -> list[tuple[str, str]]:
    """The table that a run ends with: state, counts, cost, time, and where everything lies."""
    record, place = done.result.record.as_json(), done.place
    failed, growth = record["failed"], record.get("growth", {})
    corrected, left = growth.get("corrected", 0), growth.get("corrections_left", 0)
    carried = f"{counted(corrected, 'page')} carried" + (f", {left:,} left out" if left else "")
    rows = {
        "state": _state(done),
        "labelled": f"{record['labelled']:,} of {counted(record['rows'], 'image')}",
        "failed": f"{failed:,} ({_classes(record['failures'])})" if failed else "",
        "retry": done.result.retry,
        "not reached": f"{record['not_reached']:,}" if record["not_reached"] else "",
        "grown": grown(growth) if "growth" in record else "",
        "corrections": carried if corrected or left else "",
        "found": f"{counted(record['words'], 'word')} on {counted(record['pages'], 'page')}",
        **_cost_rows(record),
        "time": "" if done.result.already else _time(record),
        "labels table": done.labels,
        "failures table": done.failures if failed else "",
        "account": place.shown(place.layout.run_key),
        "report": report_at or "",
    }
    return [(name, value) for name, value in rows.items() if value]


def _time(record: Mapping[str, Any]) -> str:
    """The time at work; and from the first start to the end, where there were pauses."""
    whole_s = record["ended_at_s"] - record["created_at_s"]
    active_s = record.get("active_s", whole_s)
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


def _cost_rows(record: Mapping[str, Any]) -> dict[str, str]:
    if not record["price_per_page_usd"]:
        return {}
    account = record["account"]
    at_risk = sum(account["at_risk_pages"].values())
    wasted = sum(account["wasted_pages"].values())
    line = f"{counted(account['billed_pages'], 'page')}, {usd(record['billed_usd'])} without VAT"
    if before := record.get("growth", {}).get("billed_pages_before"):
        line += f"; {before:,} of them before it grew"
    if wasted:
        line += f"; {wasted:,} of them in no label"
    perhaps = f"{counted(at_risk, 'page')}, {usd(record['at_risk_usd'])}" if at_risk else ""
    rate = f", {record['requests_per_s']:.2f}/s" if record["requests_per_s"] else ""
    sent = sum(n for name, n in account["requests"].items() if name != "unsent")
    requests = f"{sent:,}{rate} ({_classes(account['requests'])})" if sent else ""
    return {"billed": line, "perhaps billed": perhaps, "requests": requests}


def raise_if_incomplete(source: str, done: Labelling, most_share: float) -> None:
    """Exit 6 when more rows failed than --max-failures allows."""
    from ocrlabel.dataset.labels_table import read_failures
    from ocrlabel.dataset.sources import is_table

    record = done.result.record.as_json()
    if done.result.partial or record["failed"] <= most_share * record["rows"]:
        return
    passing, lasting = Counter[str](), Counter[str]()
    with done.place.store.open(done.result.failures_key) as table:
        for row in read_failures(table):
            (passing if row.retryable else lasting)[row.failure_class] += 1
    raise Incomplete(
        f"{record['failed']:,} of {counted(record['rows'], 'row')} failed,"
        f" more than {percent(most_share, 0)}; see {done.failures}\n"
        + what_helps(passing, lasting, from_a_table=is_table(source))
        + f"  to accept them: --max-failures {math.ceil(100 * record['failed'] / record['rows'])}%"
    )


def what_helps(
    passing: Mapping[str, int], lasting: Mapping[str, int], *, from_a_table: bool
) -> str:
    """Lines of advice, by failures that may pass and others, each counted by class.

    A table names files that may be mended under it; a folder with other files is another input.
    """
    lines = ""
    if passing:
        lines += (
            f"  {listed(passing)} may yet succeed:"
            f" the same command with --retry-failed {','.join(sorted(passing))}\n"
        )
    if not lasting:
        return lines
    lines += f"  {listed(lasting)} will fail again as the files are: mend them, then "
    if from_a_table:
        return f"{lines}the same command with --retry-failed {','.join(sorted(lasting))}\n"
    return f"{lines}the same command with --grow, which labels only what is new\n"


@taking(Front.RUN)
def merge(
    source: _Source,
    *,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Write what there is so far, marked incomplete.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    **given: Any,
) -> None:
    """Make the tables again from the checkpoints, without asking an engine for anything.

    It takes the options of `run`, so that the same words after `merge` name the same run.

    For example:

        ocrlabel merge images/ --output labels.parquet

        ocrlabel merge images/ --output labels.parquet --partial
    """
    from ocrlabel.cli.wiring import merge_place, place_of

    keys = from_environment()
    options = Options.of(keys.variables, **given)
    place = place_of(source, options, keys)
    result = run_async(merge_place(source, place, options, keys, partial=partial))
    print(f"labels table    {place.shown(result.labels_key)}")
    print(f"failures table  {place.shown(result.failures_key)}")
    record = result.record
    left = f", {record.not_reached:,} not reached" if record.not_reached else ""
    print(f"rows            {record.labelled:,} labelled, {record.failed:,} failed{left}")


def reparse(
    source: _Source,
    *,
    output: Annotated[str | None, option("output")] = None,
    image_column: Annotated[str | None, option("image_column")] = None,
    id_column: Annotated[str | None, option("id_column")] = None,
    engine_option: Annotated[list[str] | None, option("engine_option")] = None,
) -> None:
    """Make the labels again from the raw answers in the checkpoints; nothing is sent or paid.

    For example:

        ocrlabel reparse receipts/ --output labels.parquet
    """
    from ocrlabel.cli.wiring import merge_place, place_of
    from ocrlabel.engines.plugins import parser_of
    from ocrlabel.pipeline.merge.merge import reparsed

    keys = from_environment()
    options = Options.of(
        keys.variables,
        output=output,
        image_column=image_column,
        id_column=id_column,
        engine_option=engine_option or None,
    )
    place = place_of(source, options, keys)
    unreadable: list[str] = []

    def change(engine: str) -> Change:
        return reparsed(parser_of(engine, options.engine_options), unreadable)

    result = run_async(merge_place(source, place, options, keys, change=change))
    print(f"labels table    {place.shown(result.labels_key)}")
    print(f"rows            {result.record.labelled:,} labelled")
    if left := list(dict.fromkeys(unreadable)):
        shown = ", ".join(left[:5])
        print(f"left as it was  {len(left):,} answers that could not be read: {shown}")
