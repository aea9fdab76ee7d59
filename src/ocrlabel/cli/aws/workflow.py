"""`ocrlabel aws workflow`: the steps of the GitHub workflows, a command each.

Settings come in variables, so that no input of a workflow ever stands in a command.
"""

from __future__ import annotations

import typer

from ocrlabel.cli.aws import workflow_results as aws_workflow_results
from ocrlabel.cli.aws import workflow_run as aws_workflow_run
from ocrlabel.cli.aws.wiring import with_boto3

app = typer.Typer(
    name="workflow",
    help="The steps of the GitHub workflows; their inputs come in variables (INPUT_DATASET, ...).",
    no_args_is_help=True,
)

for _step in (
    aws_workflow_run.check,
    aws_workflow_run.submit,
    aws_workflow_run.follow,
    aws_workflow_results.results,
    aws_workflow_run.stop,
    aws_workflow_results.deployed,
):
    app.command()(with_boto3(_step))
