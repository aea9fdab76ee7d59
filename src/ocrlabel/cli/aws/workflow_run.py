"""`ocrlabel aws workflow check`, `submit`, `follow` and `stop`: the job, from form to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws import workflow_step as step
from ocrlabel.cli.aws.jobs import JobFailed, rows_of, show_explanation, sizing_of
from ocrlabel.cli.aws.wiring import Shell, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrlabel.aws.config_env import AwsConfig
    from ocrlabel.aws.cost import CostLine
    from ocrlabel.aws.session import Aws
    from ocrlabel.aws.sizing import Sizing
    from ocrlabel.aws.workflow.inputs import RunInputs


def check(context: typer.Context) -> None:
    """Check the form's fields, look for the dataset, and write the estimate to the summary.

    Reads INPUT_DATASET, INPUT_RESUME, INPUT_BATCH_SIZE, INPUT_CONCURRENCY, INPUT_WORKERS,
    INPUT_ENGINE, INPUT_MAX_COST, INPUT_ON_CANCEL and INPUT_PICK_UP.

    For example:

        INPUT_DATASET=baseline_train ocrlabel aws workflow check
    """
    inputs = step.inputs()
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    sizing, rows = _size(aws, config, inputs)
    if inputs.pick_up:
        from ocrlabel.aws.queues import known

        job = known(aws, inputs.pick_up)
        typer.echo(f"{inputs.dataset}: {rows:,} rows; job {job.id} is {job.status}")
        return
    from ocrlabel.aws.workflow import summary

    text = summary.estimate(inputs, rows, sizing, _bills(aws, inputs, rows, sizing))
    step.files().summarise(text)
    typer.echo(text)


def submit(context: typer.Context) -> None:
    """Submit the job, or pick up the one in INPUT_PICK_UP; its id is the output job-id.

    For example:

        INPUT_DATASET=baseline_train GITHUB_RUN_ID=1 ocrlabel aws workflow submit
    """
    inputs = step.inputs()
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    from ocrlabel.aws import submit as jobs
    from ocrlabel.aws.workflow import job as workflow_job
    from ocrlabel.aws.workflow import summary

    job_id = inputs.pick_up
    if not job_id:
        sizing, _ = _size(aws, config, inputs)
        settings = workflow_job.settings(inputs)
        job_id = jobs.submit(aws, jobs.request(settings, sizing, stamp=step.stamp(), on_ec2=False))
    step.files().put("job-id", job_id)
    text = summary.submitted(step.followed(inputs.dataset, job_id), picked_up=bool(inputs.pick_up))
    step.files().summarise(text)
    typer.echo(job_id)


def follow(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id.")],
    hand_over_after: Annotated[
        str, typer.Option(envvar="HAND_OVER_AFTER", help="Let the job go on alone after that.")
    ] = "5h30m",
) -> None:
    """Follow the job; the output outcome is succeeded, failed or handed-over.

    Ends with status 1 where the job failed, after saying why. GitHub ends a job of its own after
    6 hours: before that the workflow hands over, and AWS Batch goes on.

    For example:

        JOB_ID=1b6a... INPUT_DATASET=baseline_train ocrlabel aws workflow follow
    """
    from ocrlabel.aws.explained import explained
    from ocrlabel.aws.watch import line_of, watch
    from ocrlabel.aws.workflow import summary
    from ocrlabel.aws.workflow.inputs import checked_job, duration_s
    from ocrlabel.cli.aws.progress import progress_of

    inputs, files = step.inputs(), step.files()
    limit_s = duration_s(hand_over_after)
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    progress = progress_of(config, inputs.dataset)
    until_s = aws.now_s() + limit_s
    seen = watch(aws, checked_job(job), progress, tell, until_s=until_s)
    place = step.followed(inputs.dataset, seen.id)
    if not seen.ended:
        files.put("outcome", "handed-over")
        files.summarise(summary.handed_over(place, line_of(seen, progress()), limit_s))
        typer.echo(f"job {seen.id} goes on; the summary says how to pick it up")
        return
    if seen.status == "SUCCEEDED":
        files.put("outcome", "succeeded")
        typer.echo(f"job {seen.id} succeeded")
        return
    files.put("outcome", "failed")
    why = explained(aws, seen)
    files.summarise(summary.failed(place, why))
    show_explanation(seen, why)
    raise JobFailed(f"job {seen.id} failed: see above")


def stop(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id, where known.")] = "",
) -> None:
    """After the workflow was cancelled: keep the job or stop it, as INPUT_ON_CANCEL says.

    For example:

        INPUT_DATASET=d INPUT_ON_CANCEL=stop ocrlabel aws workflow stop --job 1b6a...
    """
    from ocrlabel.aws.submit import cancel
    from ocrlabel.aws.workflow import summary
    from ocrlabel.aws.workflow.inputs import OnCancel, checked_job
    from ocrlabel.aws.workflow.job import find

    inputs = step.inputs()
    shell: Shell = context.obj
    aws = shell.aws()
    job_id = checked_job(job) if job else inputs.pick_up or find(aws, inputs.dataset, step.stamp())
    stopped = bool(job_id) and inputs.on_cancel is OnCancel.STOP
    if stopped:
        cancel(aws, job_id, "the workflow was cancelled")
    text = summary.cancelled(inputs.dataset, job_id, stopped=stopped)
    step.files().summarise(text)
    typer.echo(text)


def _size(aws: Aws, config: AwsConfig, inputs: RunInputs) -> tuple[Sizing, int]:
    rows = rows_of(config, inputs.dataset)
    return sizing_of(aws, rows, inputs.engine, None, inputs.workers), rows


def _bills(aws: Aws, inputs: RunInputs, rows: int, sizing: Sizing) -> dict[str, Sequence[CostLine]]:
    from ocrlabel.aws import cost, prices
    from ocrlabel.aws.job_definition import PLACEHOLDERS

    worker = PLACEHOLDERS
    known = prices.live(aws, worker.architecture)
    planned = cost.Compute.planned(
        sizing.seconds, sizing.workers, float(worker.vcpu), float(worker.memory_mib)
    )
    page_usd = None if inputs.engine == "upstage" else 0.0
    return {
        f"OCR of {rows:,} pages (more where documents have several)": [
            cost.ocr(rows, known, page_usd)
        ],
        "machines (Fargate Spot)": cost.compute_choices(planned, known)["Fargate Spot"],
        "requests, logs, secret, image": cost.around(rows, known, gets=None, puts=None),
    }
