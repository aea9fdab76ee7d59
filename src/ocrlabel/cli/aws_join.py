"""Before a job is submitted: what its worker would find of an earlier run of the dataset, and do.

A machine that is started to say "was done before", or that it must not go on, costs money and
minutes. Only what is sure from the bucket is said here; what is not, the worker looks at itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ocrlabel.aws.jobs import LABELS
from ocrlabel.aws.names import AwsConfig
from ocrlabel.aws.ready import table_key
from ocrlabel.aws.session import Aws, translated
from ocrlabel.cli.aws_wiring import in_bucket, tell
from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.wiring import Labelling, Place, make_runtime, place_of_output
from ocrlabel.errors import RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline import growth, join_plan, plan, progress, replacement, retry_rounds
from ocrlabel.pipeline.merge.run_record import is_complete, read_record, tables_are_there
from ocrlabel.pipeline.run import Result
from ocrlabel.pipeline.run_context import Run

_OF_A_NEW_JOB = "not submitted yet"


def place_of_dataset(config: AwsConfig, dataset: str, options: Options) -> Place:
    """Where the workers of a dataset keep its run."""
    labels = f"s3://{config.s3_bucket}/data/processed/{dataset}{LABELS}"
    return place_of_output(labels, options, in_bucket(config))


def done_before(
    aws: Aws, config: AwsConfig, dataset: str, options: Options, engine: str, rows: int
) -> Labelling | None:
    """The finished run, where a worker would have nothing to do; None where it would work.

    rows: of the input. Raises RunMismatch where a worker would.
    """

    def written_at_s() -> float:
        key = table_key(dataset)
        with translated(f"look at s3://{config.s3_bucket}/{key}"):
            answer = aws.client("s3").head_object(Bucket=config.s3_bucket, Key=key)
        return float(answer["LastModified"].timestamp())

    place = place_of_dataset(config, dataset, options)
    return run_async(look(place, options, engine, rows, written_at_s, tell))


async def look(
    place: Place,
    options: Options,
    engine: str,
    rows: int,
    written_at_s: Callable[[], float],
    tell: Callable[[str], None],
) -> Labelling | None:
    """The same of any place. written_at_s: when the input was, in Unix s by the store's clock."""
    classes = retry_rounds.checked_classes(options.retry_failed or ())
    there = await _joined(place, options, engine, rows)
    record = await read_record(there) if there else None
    if there is None or record is None or not record.complete:
        return None
    merged = record.has_merged(await retry_rounds.rounds_begun(there))
    retried = options.retry_failed is not None
    # with --grow a worker also reads what has as many rows as before: images may have changed
    if options.grow or (retried and not (merged and classes.isdisjoint(record.failures))):
        return None
    if written_at_s() > there.plan.created_at_s:
        tell("the input was written again since its run began: a worker looks if it is the same")
        return None
    if not await tables_are_there(there):
        return None  # a worker writes them again
    retry = "" if merged else progress.told_of_retry((await progress.read_progress(there)).retried)
    keys = place.layout.labels_key, place.layout.failures_key
    return Labelling(Result(record, *keys, already=True, retry=retry), place)


async def _joined(place: Place, options: Options, engine: str, rows: int) -> Run | None:
    """The run that a worker would go on with, None where it would begin one."""
    there = await replacement.find_run(make_runtime(place.store, lambda _: None), place.layout)
    if there is None or options.fresh:
        return None
    change = growth.way_on() if rows != there.plan.rows else ""
    here = replace(there.plan, engine=engine, rows=rows, job=_OF_A_NEW_JOB)
    as_may_be = replace(here, rows=there.plan.rows) if options.grow else here
    try:
        plan.refuse_other(
            there.plan, as_may_be, where=place.shown(place.layout.root), change=change
        )
        if not (options.resume or options.grow or await is_complete(there)):
            join_plan.refuse_unfinished(there)
    except RunMismatch:
        # last, for it reads all that is saved
        if await join_plan.binds_nobody(there, replace(there, plan=here, options=options)):
            return None
        raise
    return there
