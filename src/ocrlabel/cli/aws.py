"""`ocrlabel aws`: the group of commands, its options, and those that need no stack.

The options of the group may also stand after a command's name, as the guide writes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from ocrlabel.aws import github as secrets
from ocrlabel.aws.names import SECRET, STACK, AwsLocation
from ocrlabel.aws.plan import Hidden
from ocrlabel.aws.session import run
from ocrlabel.aws.template import DEPLOYER, document, policies
from ocrlabel.cli import aws_jobs, aws_stack, aws_workflow
from ocrlabel.cli.aws_wiring import Shell, variable, with_boto3
from ocrlabel.cli.settings import everywhere
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from typer._click import Context


class GlobalOptions(TyperGroup):
    """Takes the options of the group wherever they stand among a command's words."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """The group's options first, the rest as it was written."""
        own = [name for param in self.params for name in param.opts if name != "--help"]
        return super().parse_args(ctx, global_options_first(own, args))


app = typer.Typer(name="aws", cls=GlobalOptions, no_args_is_help=True, rich_markup_mode="markdown")


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
    aws_stack.deploy,
    aws_stack.destroy,
    aws_stack.doctor,
    aws_stack.push_image,
    aws_stack.register,
    aws_jobs.submit,
    aws_jobs.status,
    aws_jobs.logs,
    aws_jobs.explain,
    aws_jobs.cancel,
    aws_jobs.download,
    aws_jobs.cost,
):
    app.command()(everywhere(with_boto3(_command)))
app.add_typer(aws_workflow.app, name="workflow")


@app.command()
@everywhere
def policy(
    context: typer.Context,
    role: Annotated[
        str,
        typer.Argument(
            help="deployer (all of deployer-jobs and deployer-stack), github, job, execution or"
            " instance"
        ),
    ],
    account: Annotated[str, typer.Option(help="The account number.")] = "",
    bucket: Annotated[str, typer.Option(help="Default: S3_BUCKET, else deploy's.")] = "",
    secret: Annotated[str, typer.Option(help="The secret's name.")] = "",
) -> None:
    """Print a role's IAM policy: what it may do, and nothing else.

    Each is short enough for a managed policy; the deployer's are two, a list by their names.

    For example:

        ocrlabel aws policy deployer-jobs --account 123456789012 --region us-east-1

        ocrlabel aws policy deployer-stack > deployer-stack.json

        ocrlabel aws policy github > github-policy.json
    """
    shell: Shell = context.obj
    location = AwsLocation(
        account or variable("AWS_ACCOUNT_ID") or "<AWS_ACCOUNT_ID>",
        shell.region or variable("AWS_REGION") or "<AWS_REGION>",
    )
    in_bucket = bucket or variable("S3_BUCKET") or location.default_bucket
    named = secret or variable("SECRET_NAME") or SECRET
    statements = policies(location, in_bucket, named)
    if role == "deployer":
        listed = [
            {"PolicyName": f"{STACK}-{name}", "PolicyDocument": document(statements[name])}
            for name in DEPLOYER
        ]
        typer.echo(json.dumps(listed, indent=2))
        return
    if role not in statements:
        raise ConfigError(f"there is no role {role!r}: one of deployer, {', '.join(statements)}")
    typer.echo(json.dumps(document(statements[role]), indent=2))


@app.command("github-secrets")
@everywhere
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
    shell: Shell = context.obj
    keys = {name: Hidden(value) for name in secrets.KEYS if (value := variable(name))}
    values = secrets.secrets(shell.config(), keys)
    if not set_them:
        typer.echo(secrets.table(values))
        return
    done = secrets.set_with_gh(run, repository, values)
    typer.echo(f"{len(done)} secrets set: {', '.join(done)}")


def global_options_first(options: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words, with these options and their values before all others."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return [*first, *rest, word, *left]
        name, has_value, _ = word.partition("=")
        if name not in options:
            rest.append(word)
        elif has_value:
            first.append(word)
        else:
            value = list(islice(left, 1))
            # without a value it stays where it is, so that the error names it
            (rest if not value or value[0].startswith("-") else first).extend([word, *value])
    return [*first, *rest]
