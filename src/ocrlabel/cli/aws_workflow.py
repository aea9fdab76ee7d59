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

from ocrlabel.aws import cost, jobs
from ocrlabel.aws.cost import CostLine
from ocrlabel.aws.explain import explained
from ocrlabel.aws.image import pinned
from ocrlabel.aws.job_definition import ARCHITECTURE, MEMORY_MIB, VCPU, look_definition
from ocrlabel.aws.jobs import Job, Sizing, line_of
from ocrlabel.aws.names import DEFINITION
from ocrlabel.aws.ready import Planned
from ocrlabel.aws.session import Aws
from ocrlabel.aws.workflow import (
    OnCancel,
    RunInputs,
    checked_job,
    duration_s,
    find,
    own_fields,
    put_output,
    results_of,
    run_inputs,
    run_stamp,
    summarise,
)
from ocrlabel.aws.workflow_summary import Console, summary
from ocrlabel.cli.aws_jobs import (
    Folder,
    JobFailed,
    look_before_paying,
    progress_of,
    refuse_elsewhere,
    rows_of,
    show_explanation,
    sizing_of,
    table_of,
)
from ocrlabel.cli.aws_wiring import connected, tell, variable, with_boto3
from ocrlabel.cli.settings import everywhere
from ocrlabel.errors import ConfigError
from ocrlabel.options import argv

_put, _summarise = partial(put_output, os.environ), partial(summarise, os.environ)
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
        rows = rows_of(config, inputs.dataset, options)
        job = jobs.known(aws, inputs.pick_up)
        typer.echo(f"{inputs.dataset}: {rows:,} rows; job {job.id} is {job.status}")
        return
    refuse_elsewhere(aws, config)
    planned = Planned(inputs.engine, by_workflow=True)
    table = table_of(config, inputs.dataset, options)
    done = done_before(aws, config, inputs.dataset, options, inputs.engine, table.rows)
    rows = look_before_paying(aws, config, inputs.dataset, options, planned, table)
    sizing = sizing_of(aws, rows, inputs.engine, options.rps, inputs.workers)
    page_usd = options.price_per_page if inputs.engine == "upstage" else 0.0
    notice = cost.cap_notice(options.max_cost, rows, page_usd)
    if done:
        notice = "this dataset is done: the job will send nothing, and hands over what there is"
    own = {one.name for one in own_fields()}
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
    _summarise(f"{text}\n\n**{notice}**" if notice else text)
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
        rows = rows_of(config, inputs.dataset, inputs.options)
        sizing = sizing_of(aws, rows, inputs.engine, inputs.options.rps, inputs.workers)
        stamp = run_stamp(os.environ)
        request = jobs.request(inputs.dataset, inputs.given, sizing, stamp=stamp, on_ec2=False)
        job_id = jobs.submit(aws, request)
    _put("job-id", job_id)
    picked_up = bool(inputs.pick_up)
    text = summary("submitted", job_id=job_id, console=_console(), picked_up=picked_up)
    _summarise(text)
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
    limit_s = duration_s(hand_over_after)
    aws, config = connected(context)
    progress = progress_of(config, inputs.dataset)
    until_s = aws.now_s() + limit_s
    seen = jobs.watch(aws, checked_job(job), progress, tell, until_s=until_s)
    of = {"dataset": inputs.dataset, "job_id": seen.id}
    if not seen.ended:
        _put("outcome", "handed-over")
        state = line_of(seen, progress())
        _summarise(summary("handed_over", **of, state=state, after_s=limit_s))
        typer.echo(f"job {seen.id} goes on; the summary says how to pick it up")
        return
    if seen.status == "SUCCEEDED":
        _put("outcome", "succeeded")
        typer.echo(f"job {seen.id} succeeded")
        return
    _put("outcome", "failed")
    why = explained(aws, seen)
    _summarise(summary("failed", **of, console=_console(), explained=why))
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
    inputs, aws = _inputs(), context.obj.aws()
    if job:
        job_id = checked_job(job)
    else:
        job_id = inputs.pick_up or find(aws, inputs.dataset, run_stamp(os.environ))
    stopped = bool(job_id) and inputs.on_cancel is OnCancel.STOP
    if stopped:
        jobs.cancel(aws, job_id, "the workflow was cancelled")
    text = summary("cancelled", dataset=inputs.dataset, job_id=job_id, stopped=stopped)
    _summarise(text)
    typer.echo(text)


def results(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id.")],
    to: Folder = "results",
) -> None:
    """Fetch labels, failures and run.json, make a report of numbers, and write the summary.

    No image is fetched, and none is in the report. The output found is true where there are any:
    after a job that failed, tables of an earlier run are none.

    For example:

        JOB_ID=1b6a... INPUT_DATASET=d ocrlabel aws workflow results --to out/
    """
    inputs = _inputs()
    aws, config = connected(context)
    done = jobs.known(aws, checked_job(job))
    endings = results_of(aws, config.s3_bucket, inputs.dataset, done)
    if not endings:
        _put("found", "false")
        text = summary(
            "no_tables", table=f"s3://{config.s3_bucket}/data/processed/{inputs.dataset}"
        )
        _summarise(text)
        typer.echo(text)
        return
    folder = Path(to)
    found = jobs.download(aws, config.s3_bucket, inputs.dataset, folder, endings)
    record = json.loads((folder / f"{inputs.dataset}_run.json").read_bytes())
    tables = [folder / f"{inputs.dataset}{each}" for each in endings]
    found.append(_report_of_numbers(tables, record))
    _put("found", "true")
    hours, compute = _machines(aws, done)
    _summarise(summary("results", record=record, hours=hours, compute=compute))
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
    text = summary(
        "deployed",
        host=host,
        repository=repository,
        digest=digest,
        definition=definition,
        commit=commit,
        console=_console(),
        here=here,
    )
    _summarise(text)
    typer.echo(text)


for _step in (check, submit, follow, results, stop, deployed):
    app.command()(everywhere(with_boto3(_step)))


def _bills(aws: Aws, inputs: RunInputs, rows: int, sizing: Sizing) -> dict[str, Sequence[CostLine]]:
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


def _machines(aws: Aws, job: Job) -> tuple[float, Sequence[CostLine]]:
    used = cost.Compute.used(jobs.children(aws, job), aws.now_s())
    known = cost.live(aws, ARCHITECTURE)
    return used.hours, cost.compute_choices(used, known)[cost.ON_DEMAND]


def _report_of_numbers(results: Sequence[Path], record: dict[str, Any]) -> Path:
    from ocrlabel.report.write import write_report

    labels, failures, numbers = results
    page = numbers.with_name(numbers.name.replace("_run.json", "_report.html"))
    write_report(labels, failures if failures.is_file() else None, record, page)
    return page


def _inputs() -> RunInputs:
    return run_inputs(os.environ)


def _console() -> Console:
    return Console(variable("LINK_REGION"))
