"""`ocrlabel aws deploy`, `destroy` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws_wiring import Shell, agreed, key, open_in_bucket, tell, variable
from ocrlabel.errors import ConfigError, OcrLabelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrlabel.aws.config_env import AwsConfig
    from ocrlabel.aws.doctor import Check
    from ocrlabel.aws.plan import Change
    from ocrlabel.aws.session import Aws


def deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace and remove unasked.")] = False,
    bucket: Annotated[
        str, typer.Option(help="Default: S3_BUCKET, else ocrlabel-ACCOUNT-REGION.")
    ] = "",
    architecture: Annotated[str | None, typer.Option(help="X86_64 or ARM64.")] = None,
    with_ec2: Annotated[
        bool | None,
        typer.Option("--with-ec2/--without-ec2", help="Also a queue on EC2 Spot, for rapidocr."),
    ] = None,
    max_vcpus: Annotated[int | None, typer.Option(min=1, help="Of Fargate at once.")] = None,
    max_vcpus_ec2: Annotated[int | None, typer.Option(min=1, help="Of EC2 at once.")] = None,
    network: Annotated[
        str | None, typer.Option(help="default (the account's VPC) or own (one of its own).")
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

    Examples:
        ocrlabel aws deploy --dry-run
        UPSTAGE_API_KEY=up_... ocrlabel aws deploy
        ocrlabel aws deploy --with-ec2 --budget 50 --notify-email me@example.org
    """
    shell: Shell = context.obj
    aws = shell.aws()
    from ocrlabel.aws import names
    from ocrlabel.aws.choices import look_choices
    from ocrlabel.aws.config_env import render
    from ocrlabel.aws.deploy import Wanted, discard, make, propose
    from ocrlabel.aws.plan import loses_something
    from ocrlabel.aws.stack import look_stack

    place = aws.place()
    stack = look_stack(aws.client("cloudformation"))
    before = stack.parameters if stack else {}
    in_bucket = names.checked_bucket(
        bucket or variable("S3_BUCKET") or before.get("BucketName") or place.default_bucket
    )
    secret = names.checked_secret(
        variable("SECRET_NAME") or before.get("SecretName") or names.SECRET
    )
    said = _said(
        BucketName=in_bucket,
        SecretName=secret,
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
    parameters = look_choices(
        aws, place, stack, said, network=network, subnets=[s for s in subnets.split(",") if s]
    )
    wanted = Wanted(place, in_bucket, secret, key(), parameters)
    proposal = propose(aws, wanted)
    _show(proposal.changes, "nothing to change")
    losses = loses_something(proposal.changes)
    if dry_run or not (not losses or agreed(f"{len(losses)} things go or are replaced", yes=yes)):
        discard(aws, proposal)
        tell("nothing was changed")
        return
    config = make(aws, wanted, proposal, tell)
    _write(shell.config_file, render(config))
    typer.echo(f"wrote {shell.config_file}; next: source {shell.config_file}")


def destroy(
    context: typer.Context,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also the bucket, with everything in it.")
    ] = False,
    delete_secret: Annotated[
        bool, typer.Option("--delete-secret", help="Also the secret (7 days to undo it).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Unasked, the data excepted.")] = False,
    type_bucket: Annotated[
        str, typer.Option(help="With --delete-data: the bucket's name, typed.")
    ] = "",
) -> None:
    """Remove what deploy made; bucket, secret and logs stay unless told otherwise.

    Examples:
        ocrlabel aws destroy --dry-run
        ocrlabel aws destroy --delete-data --delete-secret
    """
    shell: Shell = context.obj
    aws = shell.aws()
    from ocrlabel.aws import names
    from ocrlabel.aws.destroy import propose_removal, remove

    place = aws.place()
    removal = propose_removal(
        aws,
        bucket=variable("S3_BUCKET") or _known_bucket(shell) or place.default_bucket,
        secret=variable("SECRET_NAME") or names.SECRET,
        delete_data=delete_data,
        delete_secret=delete_secret,
    )
    _show(removal.changes, "nothing to remove")
    if dry_run or not removal.changes:
        return
    typed = type_bucket
    if removal.data and not typed:
        typed = typer.prompt(f"All data goes. Type {removal.data}")
    if removal.data or agreed(f"remove these {len(removal.changes)}", yes=yes):
        remove(aws, removal, typed, tell)


def doctor(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Also look at this dataset.")] = "",
    call: Annotated[
        bool, typer.Option("--call", help="Also one OCR request of one page (it costs $0.0015).")
    ] = False,
) -> None:
    """Check everything before money is spent; each line says what mends it.

    Examples:
        ocrlabel aws doctor
        ocrlabel aws doctor baseline_train --call
    """
    shell: Shell = context.obj
    aws = shell.aws()
    config = shell.config()
    from ocrlabel.aws.doctor import Outside, examine

    outside = Outside(
        fetch=_fetch,
        dataset=(lambda: _dataset_check(aws, config, dataset)) if dataset else None,
        call=_one_call if call else None,
    )
    failed = 0
    for check in examine(aws, config, outside):
        failed += not check.ok
        mend = f"\n        mend it: {check.mend}" if check.mend and not check.ok else ""
        typer.echo(f"{'ok    ' if check.ok else 'NOT OK'}  {check.name}: {check.why}{mend}")
    if failed:
        raise ConfigError(f"{failed} checks failed: see above for what mends each")


def _said(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _show(changes: Sequence[Change], nothing: str) -> None:
    for change in changes:
        typer.echo(change.line)
    if not changes:
        typer.echo(nothing)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _known_bucket(shell: Shell) -> str:
    return shell.config().s3_bucket if shell.config_file.is_file() else ""


def _dataset_check(aws: Aws, config: AwsConfig, dataset: str) -> Check:
    from ocrlabel.aws.input_table import check_images, read_table, table_key

    object_key = table_key(dataset)
    with open_in_bucket(config.s3_bucket, object_key, config.aws_region) as source:
        table = read_table(source, f"s3://{config.s3_bucket}/{object_key}")
    return check_images(aws, config.s3_bucket, dataset, table)


def _fetch(url: str) -> bytes:
    import httpx2

    try:
        return httpx2.get(url, timeout=30).raise_for_status().content
    except httpx2.HTTPError as error:
        raise OcrLabelError(f"ECR's own download did not answer: {error}") from error


def _one_call(secret: str) -> Check:
    from ocrlabel.cli.aws_call import one_call

    return one_call(secret, variable("UPSTAGE_BASE_URL"))
