"""A run whose input, state and output are in one bucket: what the guide's runner does."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from ocrlabel.cli.settings import Keys, Settings
    from ocrlabel.cli.wiring import Place


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
    from ocrlabel.pipeline.layout import of_dataset

    layout = of_dataset(
        settings.dataset_name or "", labels_key=output_key, prefix=settings.checkpoint_prefix
    )
    root = f"s3://{bucket}"
    return Place(open_store(root, keys), layout, root)


def _label(source: str, place: Place, settings: Settings, keys: Keys, *, resume: bool) -> None:
    from ocrlabel.cli import clocks
    from ocrlabel.cli.incomplete import raise_if_incomplete
    from ocrlabel.cli.labelling import label_dataset
    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.report_at_end import write_report_at_end
    from ocrlabel.cli.summary import tell_result

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
