"""`ocrlabel aws workflow results` and `deployed`: what came of a job, and of a push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.cli.aws import workflow_step as step
from ocrlabel.cli.aws.wiring import Shell, variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrlabel.aws.cost import CostLine
    from ocrlabel.aws.queues import Job
    from ocrlabel.aws.session import Aws


def results(
    context: typer.Context,
    job: Annotated[str, typer.Option(envvar="JOB_ID", help="The job's id.")],
    to: Annotated[Path, typer.Option(help="The folder.")] = Path("results"),
) -> None:
    """Fetch labels, failures and run.json, make a report of numbers, and write the summary.

    No image is fetched, and none is in the report. The output found is true where there are any:
    after a job that failed, tables of an earlier run are none.

    For example:

        JOB_ID=1b6a... INPUT_DATASET=d ocrlabel aws workflow results --to out/
    """
    import json

    from ocrlabel.aws.download import TABLES, download
    from ocrlabel.aws.queues import known
    from ocrlabel.aws.workflow import summary
    from ocrlabel.aws.workflow.inputs import checked_job
    from ocrlabel.aws.workflow.job import wrote_results

    inputs, files = step.inputs(), step.files()
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    done = known(aws, checked_job(job))
    if not wrote_results(aws, config.s3_bucket, inputs.dataset, done):
        files.put("found", "false")
        typer.echo("this job wrote no tables; what it has done is in the checkpoints")
        return
    found = download(aws, config.s3_bucket, inputs.dataset, to, TABLES)
    record = json.loads((to / f"{inputs.dataset}_run.json").read_bytes())
    found.append(_numbers(to / f"{inputs.dataset}_pseudo_labels.parquet", record))
    files.put("found", "true")
    files.summarise(summary.results(record, _machines(aws, done)))
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
    from ocrlabel.aws import names
    from ocrlabel.aws.definitions import look_definition
    from ocrlabel.aws.image import pinned
    from ocrlabel.aws.workflow import summary
    from ocrlabel.aws.workflow.links import Repository
    from ocrlabel.errors import ConfigError

    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    image = pinned(aws.client("ecr"), config.ecr_uri, commit)
    definition = look_definition(aws.client("batch"), names.DEFINITION)
    registered = (definition or {}).get("containerProperties", {}).get("image")
    if definition is None or registered != image:
        raise ConfigError(
            f"job definition {names.DEFINITION} does not use {image}, but {registered}\n"
            "  `ocrlabel aws register` makes it do so"
        )
    here = Repository(
        variable("GITHUB_SERVER_URL") or "https://github.com", variable("GITHUB_REPOSITORY")
    )
    text = summary.deployed(image, definition, commit, step.console(), here)
    step.files().summarise(text)
    typer.echo(text)


def _machines(aws: Aws, job: Job) -> tuple[float, Sequence[CostLine]]:
    from ocrlabel.aws import cost, prices
    from ocrlabel.aws.job_definition import PLACEHOLDERS
    from ocrlabel.aws.queues import children

    used = cost.Compute.used(children(aws, job), aws.now_s())
    known = prices.live(aws, PLACEHOLDERS.architecture)
    return used.hours, cost.compute_choices(used, known)["Fargate Spot"]


def _numbers(labels: Path, record: dict[str, Any]) -> Path:
    from ocrlabel.report.write import write_report

    stem = labels.name.removesuffix("_pseudo_labels.parquet")
    failures = labels.with_name(f"{stem}_failures.parquet")
    page = labels.with_name(f"{stem}_report.html")
    write_report(labels, failures if failures.is_file() else None, record, page)
    return page
