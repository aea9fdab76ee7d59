"""`ocrlabel aws submit`, `status`, `logs`, `explain`, `cancel`, `download` and `cost`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrlabel.aws import cost as money
from ocrlabel.aws import jobs
from ocrlabel.aws.cost import LISTED_REGION, UNKNOWN, Compute, CostLine, Prices
from ocrlabel.aws.explain import Explanation, LogLine, explained, read
from ocrlabel.aws.jobs import LOCAL_MEMORY_MIB, LOCAL_SECONDS_PER_IMAGE, LOCAL_VCPUS, Job, Sizing
from ocrlabel.aws.names import QUEUES, AwsConfig
from ocrlabel.aws.ready import (
    Check,
    InputTable,
    Planned,
    check_credentials,
    check_images,
    faults,
    read_table,
    refuse,
    table_key,
    well,
)
from ocrlabel.aws.session import Aws
from ocrlabel.aws.stack import look_stack
from ocrlabel.cli import aws_wiring
from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.settings import Offline, open_store, option, taking
from ocrlabel.errors import ConfigError, OcrLabelError, RunMismatch
from ocrlabel.options import DOCUMENTED_REQUESTS_PER_S, Front, JobEngine, Options
from ocrlabel.storage.base import NotStored
from ocrlabel.storage.folder import scratch_folder

if TYPE_CHECKING:
    from ocrlabel.cli.wiring import Labelling

Watch = Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")]
Folder = Annotated[
    str | Path, typer.Option("--output", "-o", "--to", help="The folder.", metavar="<path>")
]
JobId = Annotated[str, typer.Argument(help="The job's id, as submit prints it.")]
STATUS_ROWS = (
    *("state", "done", "failed", "rate", "time left", "spent"),
    *("interrupted", "cost of it", "last stopped"),
)
WITHOUT_AN_ACCOUNT = (
    "without an account, --offline uses stored prices of us-east-1, each with source and date"
)


class JobFailed(OcrLabelError):
    """The job that was watched did not succeed."""


@taking(Front.SUBMIT)
def submit(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Its table is data/processed/DATASET.parquet.")],
    *,
    workers: Annotated[int | None, typer.Option(help="Default: as many as help.")] = None,
    ec2: Annotated[bool, typer.Option("--ec2", help="On the EC2 Spot queue.")] = False,
    watch: Watch = False,
    **given: Any,
) -> None:
    """Submit one job for a dataset: an array where several workers help.

    For example:

        ocrlabel aws submit baseline_train --max-cost 10 --watch

        ocrlabel aws submit baseline_train --resume

        ocrlabel aws submit big --engine rapidocr --ec2 --workers 40
    """
    from ocrlabel.cli.aws_join import done_before

    aws, config = aws_wiring.connected(context)
    options = Options.of({}, front=Front.SUBMIT, defaults={"resume": False}, **given)
    engine = given.get("engine") or "upstage"
    refuse_elsewhere(aws, config)
    table = table_of(config, dataset, options)
    if done := done_before(aws, config, dataset, options, engine, table.rows):
        _tell_done(done, dataset, options)
        return
    rows = look_before_paying(aws, config, dataset, options, Planned(engine, ec2), table)
    sizing = sizing_of(aws, rows, engine, options.rps, workers)
    minutes, hours = max(1, round(sizing.seconds / 60)), sizing.seconds / 3600
    about = f"{hours:.1f} h" if hours > 1.5 else f"{minutes} min"
    aws_wiring.tell(f"{sizing.workers} worker(s), about {about}: {sizing.why}")
    page_usd = options.price_per_page if engine == "upstage" else 0.0
    if notice := money.cap_notice(options.max_cost, rows, page_usd):
        aws_wiring.tell(notice)
    job_id = jobs.submit(
        aws,
        jobs.request(
            dataset, given, sizing, stamp=f"{datetime.now(tz=UTC):%Y%m%d-%H%M%S}", on_ec2=ec2
        ),
    )
    typer.echo(job_id)
    if sizing.workers > 1:
        aws_wiring.tell(
            f"each worker has a log of its own: {job_id}:0 to {job_id}:{sizing.workers - 1}"
        )
    if watch:
        _watch(aws, config, job_id, dataset)


def status(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Also how far this dataset is.")] = "",
    job: Annotated[str, typer.Option(help="Only this job.")] = "",
    watch: Watch = False,
) -> None:
    """Say what Batch is doing, and how far a dataset is.

    For example:

        ocrlabel aws status baseline_train

        ocrlabel aws status baseline_train --job 1b6a... --watch
    """
    aws, config = aws_wiring.connected(context)
    if job and watch:
        _watch(aws, config, job, dataset)
        return
    found = [each for queue in QUEUES for each in jobs.jobs_in(aws, queue, jobs.ACTIVE)]
    for each in jobs.describe(aws, [job] if job else [other.id for other in found]):
        typer.echo(f"{each.id}  {each.name}  {jobs.line_of(each, '')}")
    if not found and not job:
        typer.echo("no job is waiting or running")
        if dataset and (last := jobs.last_ended(aws, QUEUES, dataset)):
            why = f"; `ocrlabel aws explain {last.id}` says why" if last.status == "FAILED" else ""
            typer.echo(f"the last was {last.id}  {last.name}  {jobs.line_of(last, '')}{why}")
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
    printed: list[LogLine] = []

    def print_line(line: LogLine) -> None:
        printed.append(line)
        at = datetime.fromtimestamp(line.at_s, tz=UTC).strftime("%H:%M:%S")
        worker = "" if line.worker is None else f"[{line.worker}] "
        typer.echo(f"{at} {worker}{line.text}")

    found = read(context.obj.aws(), job, print_line, follow=follow)
    if not printed:
        aws_wiring.tell(
            f"{job} is {found.status}, and has written no log; `ocrlabel aws explain {job}`"
        )


def explain(context: typer.Context, job: JobId) -> None:
    """Say why a job is where it is, and what to do.

    For example:

        ocrlabel aws explain 1b6a...
    """
    aws = context.obj.aws()
    found = jobs.known(aws, job)
    show_explanation(found, explained(aws, found))


def cancel(
    context: typer.Context,
    job: JobId,
    reason: Annotated[str, typer.Option(help="Kept with the job.")] = "stopped by ocrlabel",
) -> None:
    """Stop a job, or a whole array; what it has done is saved.

    For example:

        ocrlabel aws cancel 1b6a...
    """
    aws = context.obj.aws()
    if (found := jobs.known(aws, job)).ended:
        typer.echo(f"{job} has ended already: {jobs.line_of(found, '')}")
        return
    jobs.cancel(aws, job, reason)
    typer.echo(f"{job} is being stopped; `ocrlabel aws submit DATASET --resume` goes on later")


def download(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    to: Folder = ".",
) -> None:
    """Fetch a dataset's labels, failures, numbers and report.

    For example:

        ocrlabel aws download baseline_train -o results/
    """
    from ocrlabel.cli.tables import refuse_to_replace
    from ocrlabel.dataset.labels_table import table_info

    aws, config = aws_wiring.connected(context)
    table = Path(to) / f"{dataset}{jobs.LABELS}"
    refuse_to_replace(table)  # another's, and below one that was corrected or filtered since
    if table.exists() and (changed_by := table_info(table).get("changed_by")):
        raise RunMismatch(
            f"{table} is there, and was changed since ({changed_by})\n"
            "  fetch into another folder with -o, or move that one away"
        )
    for path in jobs.download(aws, config.s3_bucket, dataset, Path(to)):
        typer.echo(str(path))


def cost(
    context: typer.Context,
    images: Annotated[
        int | None, typer.Option("--image-count", min=1, help="Before a run: how many images.")
    ] = None,
    pages: Annotated[int | None, typer.Option(min=1, help="Billed pages; default: images.")] = None,
    job: Annotated[str, typer.Option(help="After a run: the job's id.")] = "",
    dataset: Annotated[
        str, typer.Option(help="After a run: its name; images and billed pages are its run.json's.")
    ] = "",
    rps: Annotated[str, option("rps")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="How many at once.")] = 1,
    vcpu: Annotated[
        float | None, typer.Option(min=0.25, help="Of a worker; 1, for a local engine 2.")
    ] = None,
    memory_mib: Annotated[
        int | None, typer.Option(min=512, help="Of a worker; 2048, for a local engine 4096.")
    ] = None,
    architecture: Annotated[aws_wiring.Processor, typer.Option(help="Of a worker.")] = "X86_64",
    engine: Annotated[JobEngine, typer.Option(help="Local engines have no bill.")] = "upstage",
    offline: Offline = False,
) -> None:
    """Say what a run costs: OCR, machines, requests and the rest.

    For example:

        ocrlabel aws cost --image-count 3272

        ocrlabel aws cost --image-count 3272 --offline

        ocrlabel aws cost --image-count 3272 --engine rapidocr --offline

        ocrlabel aws cost --job 1b6a... --dataset baseline_train
    """
    shell: aws_wiring.Shell = context.obj
    if dataset:
        images, pages = _record_counts(shell, dataset)
    if images is None:
        raise ConfigError("say how many images: --image-count 3272, or after a run --dataset NAME")
    if job:
        aws = shell.aws()
        used = Compute.used(jobs.children(aws, jobs.known(aws, job)), aws.now_s())
    elif engine == "upstage":  # its rate decides
        per_s = Options.of({}, rps=rps).rps or DOCUMENTED_REQUESTS_PER_S
        used = Compute.planned(images / per_s / workers, workers, vcpu or 1, memory_mib or 2048)
    else:
        vcpu = vcpu or LOCAL_VCPUS
        seconds = jobs.local_seconds(pages or images, engine, vcpu=vcpu) / workers
        used = Compute.planned(seconds, workers, vcpu, memory_mib or LOCAL_MEMORY_MIB)
    prices = _prices(shell, architecture, offline=offline)
    bill = money.ocr(pages or images, prices, 0.0 if engine != "upstage" else None)
    rest = money.around(images, prices)
    choices = money.compute_choices(used, prices)
    _print_costs([bill], "OCR")
    for name, lines in choices.items():
        _print_costs(lines, f"{name}, {used.hours:,.2f} machine hours")
    _print_costs(rest, "Around it")
    for row in (("machines", "USD", "saving", "price from"), *money.comparison(used, prices)):
        typer.echo("{:<19}{:<10}{:<12}{}".format(*row))
    if engine != "upstage" and not job:
        typer.echo(
            f"Machine time is a rule of thumb: {LOCAL_SECONDS_PER_IMAGE[engine]:g} s a page on"
            f" {LOCAL_VCPUS} vCPUs, measured on 2026-11-23; big and dense pages take longer."
        )
    if offline:
        typer.echo(f"Prices are those of {LISTED_REGION}: no others are stored here.")
    for name, lines in choices.items():
        typer.echo(f"In all, on {name}: {money.total([*lines, bill, *rest])}")


def _watch(aws: Aws, config: AwsConfig, job_id: str, dataset: str) -> None:
    progress = progress_of(config, dataset) if dataset else str
    job = jobs.watch(aws, job_id, progress, aws_wiring.tell)
    if job.status != "SUCCEEDED":
        job = jobs.known(aws, job_id)
        show_explanation(job, explained(aws, job))
        raise JobFailed(f"job {job_id} failed: see above")
    typer.echo(
        f"{job_id} succeeded; fetch the labels: ocrlabel aws download {dataset or 'DATASET'}"
    )


def show_explanation(job: Job, explanation: Explanation) -> None:
    """What happened, what to do, and the end of the log."""
    typer.echo(f"{job.name} ({job.id}): {explanation.what}")
    if explanation.remedy:
        typer.echo(f"what to do: {explanation.remedy}")
    for line in explanation.log:
        typer.echo(f"  | {line}")


def rows_of(table: InputTable, options: Options) -> int:
    """The rows that are asked for."""
    return min(each for each in (table.rows, options.limit, options.sample) if each is not None)


def table_of(config: AwsConfig, dataset: str, options: Options | None = None) -> InputTable:
    """A dataset's table in the bucket. Raises ConfigError where there is none."""
    key, how = table_key(dataset), options or Options()
    address = f"s3://{config.s3_bucket}/{key}"
    try:
        with open_store(f"s3://{config.s3_bucket}", aws_wiring.in_bucket(config)).open(
            key
        ) as source:
            columns = {"image_column": how.image_column, "id_column": how.id_column}
            return read_table(source, address, **columns)
    except NotStored as error:
        raise ConfigError(
            f"{address} is not there\n  upload it with `ocrlabel push`, or with `aws s3 cp`"
        ) from error


def refuse_elsewhere(aws: Aws, config: AwsConfig) -> None:
    """Raise ConfigError for keys or a region that are not the deployment's: nothing fits there."""
    check = check_credentials(aws, config)
    refuse([] if check.ok else [check])


def _tell_done(done: Labelling, dataset: str, options: Options) -> None:
    """The lines that a run ends with, and its exit status: as if a job had come to them."""
    from ocrlabel.cli.run import raise_if_incomplete, result_rows

    for name, value in result_rows(done, None):
        aws_wiring.tell(f"{name:<18}{value}")
    aws_wiring.tell(f"no job was started; the labels: ocrlabel aws download {dataset}")
    if done.result.record.failed:
        aws_wiring.tell("  --retry-failed all asks again for the rows that failed")
    raise_if_incomplete(f"{dataset}.parquet", done, options.max_failures)


def look_before_paying(
    aws: Aws,
    config: AwsConfig,
    dataset: str,
    options: Options,
    planned: Planned,
    table: InputTable,
) -> int:
    """The rows that are asked for. Raises ConfigError with all that the job would fail of."""

    def images() -> Check:
        if options.image_root:
            return well("dataset", "its paths start from --image-root")
        return check_images(aws, config.s3_bucket, dataset, table)

    refuse(faults(aws, config, planned, aws_wiring.fetch_signed, images, aws_wiring.tell))
    return rows_of(table, options)


def sizing_of(aws: Aws, rows: int, engine: str, rps: float | None, workers: int | None) -> Sizing:
    """How many workers for how long."""
    if engine == "upstage":
        rate = rps or DOCUMENTED_REQUESTS_PER_S
        return jobs.for_service(rows, requests_per_s=rate, workers=workers)
    stack = look_stack(aws.client("cloudformation"))
    vcpus = int(stack.parameters.get("MaxVcpusFargate", "64")) if stack else 64
    return jobs.for_local(rows, engine, max_workers=max(1, vcpus // 2), workers=workers)


def progress_of(config: AwsConfig, dataset: str) -> Callable[[], str]:
    """A function that looks into the bucket each time it is called; "" before a run began."""
    from ocrlabel.cli.aws_join import place_of_dataset
    from ocrlabel.cli.status import lines
    from ocrlabel.cli.wiring import make_runtime
    from ocrlabel.pipeline.status import read_status

    options = Options.of(aws_wiring.in_bucket(config).variables)
    place = place_of_dataset(config, dataset, options)
    runtime = make_runtime(place.store, lambda _: None)

    def look() -> str:
        try:
            found = run_async(read_status(runtime, place.layout, watch_s=1.0))
        except ConfigError:
            return ""  # no plan yet: the first worker is still on its way
        rows = lines(found, options.price_per_page)
        return ", ".join(f"{name} {value}" for name, value in rows if name in STATUS_ROWS)

    return look


def _prices(
    shell: aws_wiring.Shell, architecture: aws_wiring.Processor, *, offline: bool
) -> Prices:
    if not offline:
        with aws_wiring.offering(WITHOUT_AN_ACCOUNT):
            return money.live(shell.aws(), architecture)
    region = shell.known_region()
    if region in {None, LISTED_REGION}:
        return money.listed(architecture)
    raise ConfigError(
        f"prices of {region} are not stored here, only those of {LISTED_REGION}\n"
        f"  without --offline AWS is asked; AWS_REGION={LISTED_REGION} gives that region's"
    )


def _record_counts(shell: aws_wiring.Shell, dataset: str) -> tuple[int, int]:
    """Images and billed pages of a run, from its run.json in the bucket."""
    with scratch_folder() as folder:
        found = jobs.download(shell.aws(), shell.config().s3_bucket, dataset, folder)
        path = next(each for each in found if each.name.endswith("_run.json"))
        record = json.loads(path.read_bytes())
    return int(record["rows"]), int(record["account"]["billed_pages"])


def _print_costs(lines: Sequence[CostLine], title: str) -> None:
    typer.echo(f"{title}: {money.total(lines)}")
    for line in lines:
        amount = UNKNOWN if line.usd is None else f"${line.usd:.4f}"
        typer.echo(f"  {'<=' if line.bound else '  '} {amount:<7}  {line.item}: {line.how}")
