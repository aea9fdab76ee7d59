"""`ocrlabel aws cost`: before a run what it will cost, after it what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws.jobs import DOCUMENTED_RPS
from ocrlabel.cli.aws.wiring import JobEngine, Processor, Shell, offering
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrlabel.aws.cost import Compute, CostLine

WITHOUT_AN_ACCOUNT = "without an account, --offline uses listed prices, which bound the true ones"


def cost(
    context: typer.Context,
    images: Annotated[int | None, typer.Option(min=1, help="Before a run: how many.")] = None,
    pages: Annotated[int | None, typer.Option(min=1, help="Billed pages; default: images.")] = None,
    job: Annotated[str, typer.Option(help="After a run: the job's id.")] = "",
    dataset: Annotated[
        str, typer.Option(help="After a run: its name; images and billed pages are its run.json's.")
    ] = "",
    rps: Annotated[
        float, typer.Option(help="Requests/s of upstage; rapidocr takes what its vCPUs can.")
    ] = DOCUMENTED_RPS,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    vcpu: Annotated[
        float | None, typer.Option(min=0.25, help="Of a worker; 1, for rapidocr 2.")
    ] = None,
    memory_mib: Annotated[
        int | None, typer.Option(min=512, help="Of a worker; 2048, for rapidocr 4096.")
    ] = None,
    architecture: Annotated[Processor, typer.Option(help="Of a worker.")] = "X86_64",
    engine: Annotated[JobEngine, typer.Option(help="rapidocr has no bill.")] = "upstage",
    offline: Annotated[bool, typer.Option("--offline", help="Listed prices; ask nobody.")] = False,
) -> None:
    """Say what a run costs: OCR, machines, requests and the rest.

    For example:

        ocrlabel aws cost --images 3272

        ocrlabel aws cost --images 3272 --offline

        ocrlabel aws cost --images 3272 --engine rapidocr --offline

        ocrlabel aws cost --job 1b6a... --dataset baseline_train
    """
    from ocrlabel.aws import cost as money
    from ocrlabel.aws import prices as price_lists
    from ocrlabel.aws.queues import children, describe

    shell: Shell = context.obj
    if dataset:
        images, pages = _of_run(shell, dataset)
    if images is None:
        raise ConfigError("say how many images: --images 3272, or after a run --dataset NAME")
    if job:
        aws = shell.aws()
        found = describe(aws, [job])
        if not found:
            raise ConfigError(f"AWS Batch knows no job {job}: it forgets them after 7 days")
        used = money.Compute.used(children(aws, found[0]), aws.now_s())
    else:
        todo = images if engine == "upstage" else pages or images
        used = _planned(engine, todo, rps, workers, vcpu, memory_mib)
    if offline:
        prices = price_lists.listed(architecture)
    else:
        with offering(WITHOUT_AN_ACCOUNT):
            prices = price_lists.live(shell.aws(), architecture)
    bill = money.ocr(pages or images, prices, 0.0 if engine != "upstage" else None)
    rest = money.around(images, prices, gets=None, puts=None)
    choices = money.compute_choices(used, prices)
    _print([bill], "OCR")
    for name, lines in choices.items():
        _print(lines, f"{name}, {used.hours:,.2f} machine hours")
    _print(rest, "Around it")
    for name, (amount, bound) in money.in_all(choices, [bill, *rest]).items():
        typer.echo(f"In all, on {name}: {_amount(amount, bound=bound)}")
    if engine == "rapidocr" and not job:
        typer.echo(_rule())
    if offline:
        typer.echo(_whose_prices(shell.known_region()))


def _planned(
    engine: JobEngine,
    todo: int,
    rps: float,
    workers: int,
    vcpu: float | None,
    memory_mib: int | None,
) -> Compute:
    """Machine time before a run: of a service its rate decides, of a local engine its cores."""
    from ocrlabel.aws import sizing
    from ocrlabel.aws.cost import Compute

    if engine == "upstage":
        return Compute.planned(todo / rps / workers, workers, vcpu or 1, memory_mib or 2048)
    vcpu = vcpu or sizing.LOCAL_VCPUS
    seconds = sizing.local_seconds(todo, vcpu=vcpu) / workers
    return Compute.planned(seconds, workers, vcpu, memory_mib or sizing.LOCAL_MEMORY_MIB)


def _rule() -> str:
    from ocrlabel.aws.sizing import LOCAL_SECONDS_PER_IMAGE, LOCAL_VCPUS

    return (
        f"Machine time is a rule of thumb: {LOCAL_SECONDS_PER_IMAGE:g} s a page"
        f" on {LOCAL_VCPUS} vCPUs; big and dense pages take longer."
    )


def _whose_prices(region: str | None) -> str:
    from ocrlabel.aws.prices import LISTED_REGION

    if region in {None, LISTED_REGION}:
        return f"Prices are those of {LISTED_REGION}, which are stored here; no others are."
    return (
        f"Prices are those of {LISTED_REGION}, the only ones stored here: in {region} they may be"
        " higher. Without --offline AWS is asked for those of machines there."
    )


def _of_run(shell: Shell, dataset: str) -> tuple[int, int]:
    """Images and billed pages of a run, from its run.json in the bucket."""
    import json
    import tempfile
    from pathlib import Path

    from ocrlabel.aws.download import download

    with tempfile.TemporaryDirectory(prefix="ocrlabel-") as folder:
        bucket = shell.config().s3_bucket
        found = download(shell.aws(), bucket, dataset, Path(folder))
        told = next(path for path in found if path.name.endswith("_run.json"))
        record = json.loads(told.read_bytes())
    return int(record["rows"]), int(record["account"]["billed_pages"])


def _print(lines: Sequence[CostLine], title: str) -> None:
    from ocrlabel.aws.cost import total

    amount, bound = total(lines)
    typer.echo(f"{title}: {_amount(amount, bound=bound)}")
    for line in lines:
        typer.echo(f"  {'<=' if line.bound else '  '} ${line.usd:.4f}  {line.item}: {line.how}")


def _amount(amount: float, *, bound: bool) -> str:
    return f"{'at most ' if bound else ''}${amount:,.4f}"
