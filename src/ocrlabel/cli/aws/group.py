"""`ocrlabel aws`: what AWS Batch needs, up and down, and the jobs that run there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ocrlabel.cli.aws import deploy as aws_deploy
from ocrlabel.cli.aws import image as aws_image
from ocrlabel.cli.aws import jobs as aws_jobs
from ocrlabel.cli.aws import money as aws_money
from ocrlabel.cli.aws import stack as aws_stack
from ocrlabel.cli.aws import workflow as aws_workflow
from ocrlabel.cli.aws.anywhere import OptionsAnywhere
from ocrlabel.cli.aws.wiring import Shell, variable, with_boto3
from ocrlabel.errors import ConfigError

app = typer.Typer(
    name="aws",
    cls=OptionsAnywhere,
    help="Label datasets with AWS Batch: deploy, push-image, submit, logs, destroy."
    " The options here may also stand after a command's name.",
    no_args_is_help=True,
)


@app.callback()
def options(
    context: typer.Context,
    region: Annotated[str | None, typer.Option(help="Default: AWS_REGION, config.env.")] = None,
    profile: Annotated[str | None, typer.Option(help="A profile of `aws configure`.")] = None,
    config: Annotated[
        Path, typer.Option(help="The file that deploy writes and the others read.")
    ] = Path("aws/config.env"),
) -> None:
    """Options of every aws command."""
    context.obj = Shell(region, profile, config)


for _command in (
    aws_deploy.deploy,
    aws_stack.destroy,
    aws_stack.doctor,
    aws_image.push_image,
    aws_image.register,
    aws_jobs.submit,
    aws_jobs.status,
    aws_jobs.logs,
    aws_jobs.explain,
    aws_jobs.cancel,
    aws_jobs.download,
    aws_money.cost,
):
    app.command()(with_boto3(_command))
app.add_typer(aws_workflow.app, name="workflow")


@app.command()
def policy(
    context: typer.Context,
    role: Annotated[str, typer.Argument(help="deployer, github, job, execution or instance")],
    account: Annotated[str, typer.Option(help="The account number.")] = "",
    bucket: Annotated[str, typer.Option(help="Default: S3_BUCKET, else deploy's.")] = "",
    secret: Annotated[str, typer.Option(help="The secret's name.")] = "",
) -> None:
    """Print a role's IAM policy: what it may do, and nothing else.

    For example:

        ocrlabel aws policy deployer --account 123456789012 --region ap-northeast-2

        ocrlabel aws policy github > github-policy.json
    """
    from ocrlabel.aws import names, policies
    from ocrlabel.aws.deployer import deployer

    shell: Shell = context.obj
    place = names.Place(
        account or variable("AWS_ACCOUNT_ID") or "<AWS_ACCOUNT_ID>",
        shell.region or variable("AWS_REGION") or "<AWS_REGION>",
    )
    in_bucket = bucket or variable("S3_BUCKET") or place.default_bucket
    named = secret or variable("SECRET_NAME") or names.SECRET
    documents = {
        "deployer": lambda: deployer(place, in_bucket, named),
        "github": lambda: policies.github(place, in_bucket),
        "job": lambda: policies.job(place, in_bucket),
        "execution": lambda: policies.execution(place, named),
        "instance": lambda: policies.instance(place),
    }
    if role not in documents:
        raise ConfigError(f"there is no role {role!r}: one of {', '.join(documents)}")
    typer.echo(json.dumps(policies.document(documents[role]()), indent=2))


@app.command("github-secrets")
@with_boto3
def github_secrets(
    context: typer.Context,
    repository: Annotated[str, typer.Option("--repo", help="owner/name; default: this one")] = "",
    set_them: Annotated[bool, typer.Option("--set", help="Set them with `gh`.")] = False,
) -> None:
    """Print the GitHub secrets that the guide lists, or set them with `gh`.

    For example:

        ocrlabel aws github-secrets

        ocrlabel aws github-secrets --set --repo me/my-labels
    """
    from ocrlabel.aws import github_secrets as secrets
    from ocrlabel.aws.commands import run
    from ocrlabel.aws.plan import Hidden

    shell: Shell = context.obj
    keys = {name: Hidden(value) for name in secrets.KEYS if (value := variable(name))}
    values = secrets.secrets(shell.config(), keys)
    if not set_them:
        typer.echo(secrets.table(values))
        return
    done = secrets.set_with_gh(run, repository, values)
    typer.echo(f"{len(done)} secrets set: {', '.join(done)}")
