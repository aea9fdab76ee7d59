"""`ocrlabel aws cost`: before a run what it will cost, after it what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws.jobs import DOCUMENTED_RPS
from ocrlabel.cli.aws.wiring import JobEngine, Processor, Shell, offering
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrlabel.aws.cost import CostLine

WITHOUT_AN_ACCOUNT = "without an account, --offline uses listed prices, which bound the true ones"


def cost(
    context: typer.Context,
    images: Annotated[int | None, typer.Option(min=1, help="Before a run: how many.")] = None,
    pages: Annotated[int | None, typer.Option(min=1, help="Billed pages; default: images.")] = None,
    job: Annotated[str, typer.Option(help="After a run: the job's id.")] = "",
    dataset: Annotated[
        str, typer.Option(help="After a run: its name; images and billed pages are its run.json's.")
    ] = "",
    rps: Annotated[float, typer.Option(help="Requests/s.")] = DOCUMENTED_RPS,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    vcpu: Annotated[float, typer.Option(help="Of a worker.")] = 1,
    memory_mib: Annotated[int, typer.Option(help="Of a worker.")] = 2048,
    architecture: Annotated[Processor, typer.Option(help="Of a worker.")] = "X86_64",
    engine: Annotated[JobEngine, typer.Option(help="rapidocr has no bill.")] = "upstage",
    offline: Annotated[bool, typer.Option("--offline", help="Listed prices; ask nobody.")] = False,
) -> None:
    """Say what a run costs: OCR, machines, requests and the rest.

    For example:

        ocrlabel aws cost --images 3272

        ocrlabel aws cost --images 3272 --offline

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
        seconds = images / rps / workers
        used = money.Compute.planned(seconds, workers, vcpu, memory_mib)
    if offline:
        prices = price_lists.listed(architecture)
    else:
        with offering(WITHOUT_AN_ACCOUNT):
            prices = price_lists.live(shell.aws(), architecture)
    bill = money.ocr(pages or images, prices, 0.0 if engine != "upstage" else None)
    rest = money.around(images, prices, gets=None, puts=None)
    _print([bill], "OCR")
    for name, lines in money.compute_choices(used, prices).items():
        _print(lines, f"{name}, {used.hours:.2f} machine hours")
    _print(rest, "Around it")


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
    typer.echo(f"{title}: {'at most ' if bound else ''}${amount:.4f}")
    for line in lines:
        typer.echo(f"  {'<=' if line.bound else '  '} ${line.usd:.4f}  {line.item}: {line.how}")
