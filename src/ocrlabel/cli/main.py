"""The `ocrlabel` command: every command group, and the one place where errors become sentences."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrlabel.cli import (
    aws,
    demo,
    export,
    fake_upstage,
    push,
    quality,
    rebuild,
    report,
    run,
    status,
)
from ocrlabel.cli.exit_codes import end_process_with

app = typer.Typer(
    name="ocrlabel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Turn image datasets into OCR training labels: word polygons, texts and confidences.",
    epilog="Start with:  ocrlabel demo   or   ocrlabel run images/ --output labels.parquet",
)

_LABEL, _LOOK, _USE, _CLOUD = "Label", "Look and measure", "Use", "Rehearse and deploy"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(installed("ocrlabel"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_version
        ),
    ] = False,
) -> None: ...


app.command(rich_help_panel=_LABEL)(run.run)
app.command(rich_help_panel=_LABEL)(status.status)
app.command(rich_help_panel=_LABEL)(rebuild.merge)
app.command(rich_help_panel=_LABEL)(rebuild.reparse)
app.command("set", rich_help_panel=_LABEL)(status.set_live)
app.command(rich_help_panel=_LABEL)(push.push)
app.command(rich_help_panel=_LABEL)(demo.demo)
app.command(rich_help_panel=_LOOK)(report.report)
app.command(rich_help_panel=_LOOK)(report.view)
app.command(rich_help_panel=_LOOK)(quality.evaluate)
app.command(rich_help_panel=_LOOK)(quality.agree)
app.command("filter", rich_help_panel=_USE)(quality.filter_)
app.command(rich_help_panel=_USE)(export.export)
app.command("import", rich_help_panel=_USE)(export.import_)
app.command("fake-upstage", rich_help_panel=_CLOUD)(fake_upstage.fake_upstage)
app.add_typer(aws.app, name="aws", rich_help_panel=_CLOUD)


def main() -> None:
    """Run the command."""
    end_process_with(app)
