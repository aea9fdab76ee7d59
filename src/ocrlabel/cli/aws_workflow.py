"""`ocrlabel aws workflow`: the steps of the GitHub workflows, from the form to the results.

Every step writes its outputs and its part of the run's summary, which outside of GitHub go nowhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrlabel.aws import cost, jobs, workflow
from ocrlabel.aws.cost import CostLine
from ocrlabel.aws.explain import explained
from ocrlabel.aws.image import pinned
from ocrlabel.aws.job_definition import ARCHITECTURE, MEMORY_MIB, VCPU, look_definition
from ocrlabel.aws.jobs import Sizing, line_of
from ocrlabel.aws.names import DEFINITION
from ocrlabel.aws.ready import Planned
from ocrlabel.aws.session import Aws
from ocrlabel.aws.workflow_summary import Console, summary
from ocrlabel.cli import aws_jobs
from ocrlabel.cli.aws_wiring import connected, tell, variable, with_boto3
from ocrlabel.cli.settings import everywhere
from ocrlabel.errors import ConfigError
from ocrlabel.options import argv

_put = partial(workflow.put_output, os.environ)
app = typer.Typer(
    name="workflow",
    help="The steps of the GitHub workflows; their inputs come in variables (INPUT_DATASET, ...).",
    no_args_is_help=True,
)


def check(context: typer.Context) -> None:
    """Check the form's fields and that the job would start; write the estimate to the summary.

    Reads INPUT_DATASET, INPUT_RESUME, INPUT_BATCH_SIZE, INPUT_CONCURRENCY, INPUT_WORKERS,
    INPUT_ENGINE, INPUT_MAX_COST, INPUT_OPTIONS, INPUT_ON_CANCEL and INPUT_PICK_UP.

    For example:

        INPUT_DATASET=baseline_train ocrlabel aws workflow check
    """
    from ocrlabel.cli.aws_join import done_before

    inputs = _inputs()
    options = inputs.options
    aws, config = connected(context)
    if inputs.pick_up:
        rows = aws_jobs.rows_of(aws_jobs.table_of(config, inputs.dataset, options), options)
        job = jobs.known(aws, inputs.pick_up)
        typer.echo(f"{inputs.dataset}: {rows:,} rows; job {job.id} is {job.status}")
        return
    aws_jobs.refuse_elsewhere(aws, config)
    planned = Planned(inputs.engine, by_workflow=True)
    table = aws_jobs.table_of(config, inputs.dataset, options)
    done = done_before(aws, config, inputs.dataset, options, inputs.engine, table.rows)
    rows = aws_jobs.look_before_paying(aws, config, inputs.dataset, options, planned, table)
    sizing = aws_jobs.sizing_of(aws, rows, inputs.engine, options.rps, inputs.workers)
    page_usd = options.price_per_page if inputs.engine == "upstage" else 0.0
    notice = cost.cap_notice(options.max_cost, rows, page_usd)
    if done:
        notice = "this dataset is done: the job will send nothing, and hands over what there is"
    own = {one.name for one in workflow.own_fields()}
    more = argv({name: value for name, value in inputs.given.items() if name not in own})
    text = summary(
        "estimate",
        inputs=inputs,
        options=options,
        more=" ".join(more),
        rows=rows,
        sizing=sizing,
        bills=_bills(aws, inputs, rows, sizing),
    )
    workflow.summarise(os.environ, f"{text}\n\n**{notice}**" if notice else text)
    typer.echo(f"{text}\n::warning::{notice}" if notice else text)


def submit(context: typer.Context) -> None:
    """Submit the job, or pick up the one in INPUT_PICK_UP; its id is the output job-id.

    For example:

        INPUT_DATASET=baseline_train GITHUB_RUN_ID=1 ocrlabel aws workflow submit
    """
    inputs = _inputs()
    aws, config = connected(context)
    job_id = inputs.pick_up
    if not job_id:
        table = aws_jobs.table_of(config, inputs.dataset, inputs.options)
        rows = aws_jobs.rows_of(table, inputs.options)
        sizing = aws_jobs.sizing_of(aws, rows, inputs.engine, inputs.options.rps, inputs.workers)
        stamp = workflow.run_stamp(os.environ)
        request = jobs.request(inputs.dataset, inputs.given, sizing, stamp=stamp, on_ec2=False)
        job_id = jobs.submit(aws, request)
    _put("job-id", job_id)
    picked_up = bool(inputs.pick_up)
    _summarise("submitted", job_id=job_id, console=_console(), picked_up=picked_up)
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
    inputs = _inputs()
    limit_s = workflow.duration_s(hand_over_after)
    aws, config = connected(context)
    progress = aws_jobs.progress_of(config, inputs.dataset)
    until_s = aws.now_s() + limit_s
    seen = jobs.watch(aws, workflow.checked_job(job), progress, tell, until_s=until_s)
    of = {"dataset": inputs.dataset, "job_id": seen.id}
    if not seen.ended:
        _put("outcome", "handed-over")
        state = line_of(seen, progress())
        _summarise("handed_over", **of, state=state, after_s=limit_s)
        typer.echo(f"job {seen.id} goes on; the summary says how to pick it up")
        return
    if seen.status == "SUCCEEDED":
        _put("outcome", "succeeded")
        typer.echo(f"job {seen.id} succeeded")
        return
    _put("outcome", "failed")
    why = explained(aws, seen)
    _summarise("failed", **of, console=_console(), explained=why)
    aws_jobs.show_explanation(seen, why)
    raise aws_jobs.JobFailed(f"job {seen.id} failed: see above")


def stop(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id, where known.")] = "",
) -> None:
    """After the workflow was cancelled: keep the job or stop it, as INPUT_ON_CANCEL says.

    For example:

        INPUT_DATASET=d INPUT_ON_CANCEL=stop ocrlabel aws workflow stop --job 1b6a...
    """
    inputs, aws = _inputs(), context.obj.aws()
    if job:
        job_id = workflow.checked_job(job)
    else:
        job_id = inputs.pick_up or workflow.find(
            aws, inputs.dataset, workflow.run_stamp(os.environ)
        )
    stopped = bool(job_id) and inputs.on_cancel == "stop"
    if stopped:
        jobs.cancel(aws, job_id, "the workflow was cancelled")
    typer.echo(_summarise("cancelled", dataset=inputs.dataset, job_id=job_id, stopped=stopped))


def results(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id.")],
    to: aws_jobs.Folder = "results",
) -> None:
    """Fetch labels, failures and run.json, make a report of numbers, and write the summary.

    No image is fetched, and none is in the report. The output found is true where there are any:
    after a job that failed, tables of an earlier run are none.

    For example:

        JOB_ID=1b6a... INPUT_DATASET=d ocrlabel aws workflow results --to out/
    """
    from ocrlabel.report.write import write_report

    inputs = _inputs()
    aws, config = connected(context)
    done = jobs.known(aws, workflow.checked_job(job))
    endings = workflow.results_of(aws, config.s3_bucket, inputs.dataset, done)
    if not endings:
        _put("found", "false")
        table = f"s3://{config.s3_bucket}/data/processed/{inputs.dataset}"
        typer.echo(_summarise("no_tables", table=table))
        return
    folder = Path(to)
    found = jobs.download(aws, config.s3_bucket, inputs.dataset, folder, endings)
    record = json.loads((folder / f"{inputs.dataset}_run.json").read_bytes())
    labels, failures, numbers = (folder / f"{inputs.dataset}{each}" for each in endings)
    page = numbers.with_name(numbers.name.replace("_run.json", "_report.html"))
    write_report(labels, failures if failures.is_file() else None, record, page)
    found.append(page)
    _put("found", "true")
    used = cost.Compute.used(jobs.children(aws, done), aws.now_s())
    compute = cost.compute_choices(used, cost.live(aws, ARCHITECTURE))[cost.ON_DEMAND]
    _summarise("results", record=record, hours=used.hours, compute=compute)
    for path in found:
        typer.echo(str(path))


def deployed(
    context: typer.Context,
    commit: Annotated[str, typer.Option(envvar="GITHUB_SHA", help="The image's tag in ECR.")],
) -> None:
    """Write the summary of a deployment: image, job definition, and links.

    For example:

        GITHUB_SHA=4f2c... ocrlabel aws workflow deployed
    """
    aws, config = connected(context)
    image = pinned(aws.client("ecr"), config.ecr_uri, commit)
    definition = look_definition(aws.client("batch"), DEFINITION)
    registered = (definition or {}).get("containerProperties", {}).get("image")
    if definition is None or registered != image:
        raise ConfigError(
            f"job definition {DEFINITION} does not use {image}, but {registered}\n"
            "  `ocrlabel aws register` makes it do so"
        )
    server = variable("GITHUB_SERVER_URL") or "https://github.com"
    here = f"{server}/{variable('GITHUB_REPOSITORY')}"
    uri, _, digest = image.partition("@")
    host, _, repository = uri.partition("/")
    text = _summarise(
        "deployed",
        host=host,
        repository=repository,
        digest=digest,
        definition=definition,
        commit=commit,
        console=_console(),
        here=here,
    )
    typer.echo(text)


for _step in (check, submit, follow, results, stop, deployed):
    app.command()(everywhere(with_boto3(_step)))


def _bills(
    aws: Aws, inputs: workflow.RunInputs, rows: int, sizing: Sizing
) -> dict[str, Sequence[CostLine]]:
    known = cost.live(aws, ARCHITECTURE)
    planned = cost.Compute.planned(sizing.seconds, sizing.workers, float(VCPU), float(MEMORY_MIB))
    own_price = "price_per_page" in inputs.given
    own_usd = inputs.options.price_per_page if own_price else None
    page_usd = own_usd if inputs.engine == "upstage" else 0.0
    return {
        f"OCR of {rows:,} pages (more where documents have several)": [
            cost.ocr(rows, known, page_usd)
        ],
        f"machines ({cost.ON_DEMAND}; Spot is cheaper)": cost.compute_choices(planned, known)[
            cost.ON_DEMAND
        ],
        "requests, logs, secret, image": cost.around(rows, known),
    }


def _summarise(step: str, **values: Any) -> str:
    """A step's part of the run's summary, which is also written there."""
    text = summary(step, **values)
    workflow.summarise(os.environ, text)
    return text


def _inputs() -> workflow.RunInputs:
    return workflow.run_inputs(os.environ)


def _console() -> Console:
    return Console(variable("LINK_REGION"))
