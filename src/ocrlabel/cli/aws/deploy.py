"""`ocrlabel aws deploy`: make or update what jobs need, or only say what that would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli.aws.wiring import (
    Processor,
    Shell,
    agreed,
    key,
    offering,
    show,
    tell,
    variable,
)
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WITHOUT_AN_ACCOUNT = "without an account, `ocrlabel aws deploy --dry-run --offline` lists it all"


def deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="With --dry-run: of an empty account, asking nobody.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace and remove unasked.")] = False,
    bucket: Annotated[
        str, typer.Option(help="Default: S3_BUCKET, else ocrlabel-ACCOUNT-REGION.")
    ] = "",
    architecture: Annotated[
        Processor | None, typer.Option(help="Of the machines that jobs run on.")
    ] = None,
    with_ec2: Annotated[
        bool | None,
        typer.Option("--with-ec2/--without-ec2", help="Also a queue on EC2 Spot, for rapidocr."),
    ] = None,
    max_vcpus: Annotated[int | None, typer.Option(min=1, help="Of Fargate at once.")] = None,
    max_vcpus_ec2: Annotated[int | None, typer.Option(min=1, help="Of EC2 at once.")] = None,
    network: Annotated[
        Literal["default", "own"] | None,
        typer.Option(help="The account's default VPC, or one of its own."),
    ] = None,
    subnets: Annotated[str, typer.Option(help="Existing subnets, with commas.")] = "",
    service_role: Annotated[
        str | None, typer.Option(help="A role for Batch instead of its service-linked one.")
    ] = None,
    notify_email: Annotated[str | None, typer.Option(help="Hears of failed jobs.")] = None,
    budget: Annotated[
        int | None, typer.Option(min=0, help="Alarm at 80 % of so many USD a month.")
    ] = None,
    github: Annotated[
        str | None, typer.Option(help="owner/name that may push and run by OIDC.")
    ] = None,
    github_environment: Annotated[str | None, typer.Option(help="Its environment.")] = None,
) -> None:
    """Make or update everything that jobs need, and write aws/config.env.

    Running it again is harmless: what is there stays, and options given before are kept.

    For example:

        ocrlabel aws deploy --dry-run

        ocrlabel aws deploy --dry-run --offline

        UPSTAGE_API_KEY=up_... ocrlabel aws deploy

        ocrlabel aws deploy --with-ec2 --budget 50 --notify-email me@example.org
    """
    shell: Shell = context.obj
    said = _said(
        BucketName=bucket or variable("S3_BUCKET") or None,
        SecretName=variable("SECRET_NAME") or None,
        CpuArchitecture=architecture,
        WithEc2=None if with_ec2 is None else str(with_ec2).lower(),
        MaxVcpusFargate=max_vcpus,
        MaxVcpusEc2=max_vcpus_ec2,
        ServiceRoleArn=service_role,
        NotifyEmail=notify_email,
        MonthlyBudgetUsd=budget,
        GitHubRepository=github,
        GitHubEnvironment=github_environment,
    )
    named = [subnet for subnet in subnets.split(",") if subnet]
    if offline:
        if not dry_run:
            raise ConfigError("--offline can only say what would be made: give --dry-run with it")
        _show_first(shell, said, network, named)
        return
    with offering(WITHOUT_AN_ACCOUNT):
        aws = shell.aws()
        place = aws.place()
    from ocrlabel.aws import names
    from ocrlabel.aws.choices import look_choices
    from ocrlabel.aws.config_env import render
    from ocrlabel.aws.deploy import Wanted, discard, make, propose
    from ocrlabel.aws.plan import loses_something
    from ocrlabel.aws.stack import look_stack

    stack = look_stack(aws.client("cloudformation"))
    settled = {
        "BucketName": place.default_bucket,
        "SecretName": names.SECRET,
        **(stack.parameters if stack else {}),
        **said,
    }
    in_bucket = names.checked_bucket(settled["BucketName"])
    secret = names.checked_secret(settled["SecretName"])
    said |= {"BucketName": in_bucket, "SecretName": secret}
    parameters = look_choices(aws, place, stack, said, network=network, subnets=named)
    wanted = Wanted(place, in_bucket, secret, key(), parameters)
    proposal = propose(aws, wanted)
    show(proposal.changes, "nothing to change")
    losses = loses_something(proposal.changes)
    if dry_run or not (not losses or agreed(f"{len(losses)} things go or are replaced", yes=yes)):
        discard(aws, proposal)
        tell("nothing was changed")
        return
    config = make(aws, wanted, proposal, tell)
    _write(shell.config_file, render(config))
    typer.echo(f"wrote {shell.config_file}; next: source {shell.config_file}")


def _show_first(
    shell: Shell, said: Mapping[str, str], network: str | None, subnets: Sequence[str]
) -> None:
    """What the first deployment adds to an empty account, whoever's it is."""
    from ocrlabel.aws import names
    from ocrlabel.aws.choices import first_choices
    from ocrlabel.aws.deploy import Wanted, first
    from ocrlabel.aws.plan import Hidden

    place = names.Place("ACCOUNT", shell.known_region() or "REGION")
    bucket = said.get("BucketName", place.default_bucket)
    secret = said.get("SecretName", names.SECRET)
    parameters = first_choices(said, network=network, subnets=subnets)
    # nothing is carried out, so the key's place may be empty
    show(first(Wanted(place, bucket, secret, key() or Hidden(""), parameters)), "nothing to add")
    tell("this is what an empty account would get; --dry-run alone compares with what is there")


def _said(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
