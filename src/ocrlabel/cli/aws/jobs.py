"""`ocrlabel aws submit`, `status`, `logs`, `explain`, `cancel` and `download`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws.progress import progress_of
from ocrlabel.cli.aws.wiring import JobEngine, Shell, open_in_bucket, stamp, tell
from ocrlabel.errors import OcrLabelError

if TYPE_CHECKING:
    from ocrlabel.aws.config_env import AwsConfig
    from ocrlabel.aws.explain import Explanation
    from ocrlabel.aws.logs import Line
    from ocrlabel.aws.queues import Job
    from ocrlabel.aws.session import Aws
    from ocrlabel.aws.sizing import Sizing

DOCUMENTED_RPS = 3.0
JobId = Annotated[str, typer.Argument(help="The job's id, as submit prints it.")]


class JobFailed(OcrLabelError):
    """The job that was watched did not succeed."""


def submit(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Its table is data/processed/DATASET.parquet.")],
    workers: Annotated[int | None, typer.Option(help="Default: as many as help.")] = None,
    engine: Annotated[JobEngine, typer.Option(help="rapidocr needs no key.")] = "upstage",
    rps: Annotated[float | None, typer.Option(help="Requests/s of the whole fleet.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="USD that OCR may cost.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows of a checkpoint.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="At most so many at once.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, and pay again.")] = False,
    ec2: Annotated[bool, typer.Option("--ec2", help="On the EC2 Spot queue.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Submit one job for a dataset: an array where several workers help.

    For example:

        ocrlabel aws submit baseline_train --max-cost 10 --watch

        ocrlabel aws submit baseline_train --resume

        ocrlabel aws submit big --engine rapidocr --ec2 --workers 40
    """
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    from ocrlabel.aws import submit as jobs

    sizing = sizing_of(aws, rows_of(config, dataset), engine, rps, workers)
    tell(f"{sizing.workers} worker(s), about {_minutes(sizing.seconds)}: {sizing.why}")
    settings = jobs.JobSettings(
        dataset=dataset,
        resume=resume,
        fresh=fresh,
        batch_size=batch_size,
        concurrency=concurrency,
        engine=None if engine == "upstage" else engine,
        rps=rps,
        max_cost_usd=max_cost,
    )
    job_id = jobs.submit(aws, jobs.request(settings, sizing, stamp=stamp(), on_ec2=ec2))
    typer.echo(job_id)
    if watch:
        _watch(aws, config, job_id, dataset)


def status(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Also how far this dataset is.")] = "",
    job: Annotated[str, typer.Option(help="Only this job.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
) -> None:
    """Say what Batch is doing, and how far a dataset is.

    For example:

        ocrlabel aws status baseline_train

        ocrlabel aws status baseline_train --job 1b6a... --watch
    """
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    from ocrlabel.aws import names
    from ocrlabel.aws.queues import ACTIVE, describe, jobs_in
    from ocrlabel.aws.watch import line_of

    if job and watch:
        _watch(aws, config, job, dataset)
        return
    queues = (names.QUEUE, names.ec2_name(names.QUEUE))
    found = [each for queue in queues for each in jobs_in(aws, queue, ACTIVE)]
    for each in describe(aws, [job] if job else [other.id for other in found]):
        typer.echo(f"{each.id}  {each.name}  {line_of(each, '')}")
    if not found and not job:
        typer.echo("no job is waiting or running")
    if dataset:
        line = progress_of(config, dataset)()
        typer.echo(f"{dataset}: {line or 'nothing saved yet'}")


def logs(
    context: typer.Context,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
) -> None:
    """Print a job's log, each line once.

    For example:

        ocrlabel aws logs 1b6a... --follow
    """
    shell: Shell = context.obj
    from ocrlabel.aws.logs import read

    read(shell.aws(), job, _print_line, follow=follow)


def explain(context: typer.Context, job: JobId) -> None:
    """Say why a job is where it is, and what to do.

    For example:

        ocrlabel aws explain 1b6a...
    """
    shell: Shell = context.obj
    _explain(shell.aws(), job)


def cancel(
    context: typer.Context,
    job: JobId,
    reason: Annotated[str, typer.Option(help="Kept with the job.")] = "stopped by ocrlabel",
) -> None:
    """Stop a job, or a whole array; what it has done is saved.

    For example:

        ocrlabel aws cancel 1b6a...
    """
    shell: Shell = context.obj
    from ocrlabel.aws.submit import cancel as stop

    stop(shell.aws(), job, reason)
    typer.echo(f"{job} is being stopped; `ocrlabel aws submit DATASET --resume` goes on later")


def download(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    to: Annotated[Path, typer.Option(help="The folder.")] = Path(),
) -> None:
    """Fetch a dataset's labels, failures, numbers and report.

    For example:

        ocrlabel aws download baseline_train --to results/
    """
    shell: Shell = context.obj
    from ocrlabel.aws.download import download as fetch

    for path in fetch(shell.aws(), shell.config().s3_bucket, dataset, to):
        typer.echo(str(path))


def _watch(aws: Aws, config: AwsConfig, job_id: str, dataset: str) -> None:
    from ocrlabel.aws.watch import watch

    progress = progress_of(config, dataset) if dataset else str
    job = watch(aws, job_id, progress, tell)
    if job.status != "SUCCEEDED":
        _explain(aws, job_id)
        raise JobFailed(f"job {job_id} failed: see above")
    typer.echo(
        f"{job_id} succeeded; fetch the labels: ocrlabel aws download {dataset or 'DATASET'}"
    )


def _explain(aws: Aws, job_id: str) -> None:
    from ocrlabel.aws.explained import explained
    from ocrlabel.aws.queues import known

    job = known(aws, job_id)
    show_explanation(job, explained(aws, job))


def show_explanation(job: Job, explanation: Explanation) -> None:
    """What happened, what to do, and the end of the log."""
    typer.echo(f"{job.name} ({job.id}): {explanation.what}")
    if explanation.remedy:
        typer.echo(f"what to do: {explanation.remedy}")
    for line in explanation.log:
        typer.echo(f"  | {line}")


def rows_of(config: AwsConfig, dataset: str) -> int:
    """The rows of a dataset's table in the bucket. Raises ConfigError where there is none."""
    from ocrlabel.aws.input_table import read_table, table_key

    object_key = table_key(dataset)
    with open_in_bucket(config.s3_bucket, object_key, config.aws_region) as source:
        return read_table(source, f"s3://{config.s3_bucket}/{object_key}").rows


def sizing_of(aws: Aws, rows: int, engine: str, rps: float | None, workers: int | None) -> Sizing:
    """How many workers for how long."""
    from ocrlabel.aws import sizing
    from ocrlabel.aws.stack import look_stack

    if engine == "upstage":
        return sizing.for_service(rows, requests_per_s=rps or DOCUMENTED_RPS, workers=workers)
    stack = look_stack(aws.client("cloudformation"))
    vcpus = int(stack.parameters.get("MaxVcpusFargate", "64")) if stack else 64
    return sizing.for_local(rows, max_workers=max(1, vcpus // 2), workers=workers)


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def _print_line(line: Line) -> None:
    at = datetime.fromtimestamp(line.at_s, tz=UTC).strftime("%H:%M:%S")
    worker = "" if line.worker is None else f"[{line.worker}] "
    typer.echo(f"{at} {worker}{line.text}")
