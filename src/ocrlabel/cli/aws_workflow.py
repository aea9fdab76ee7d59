"""`ocrlabel aws workflow`: the steps of the GitHub workflows, a command each.

Settings come in variables, so that no input of a workflow ever stands in a command.
"""

from __future__ import annotations

import typer

from ocrlabel.cli import aws_workflow_results, aws_workflow_run

app = typer.Typer(
    name="workflow",
    help="The steps of the GitHub workflows; their inputs come in variables (INPUT_DATASET, ...).",
    no_args_is_help=True,
)

app.command()(aws_workflow_run.check)
app.command()(aws_workflow_run.submit)
app.command()(aws_workflow_run.follow)
app.command()(aws_workflow_results.results)
app.command()(aws_workflow_run.stop)
app.command()(aws_workflow_results.deployed)
