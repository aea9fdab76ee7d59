"""The `ocrlabel` command: every command group, and the one place where errors become sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ocrlabel.cli import demo, engines, export, fake_upstage, push, quality, report, run, status
from ocrlabel.cli.exit_codes import end_process_with
from ocrlabel.cli.settings import Command, everywhere, telling

if TYPE_CHECKING:
    from typer._click import Context

app = typer.Typer(
    name="ocrlabel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Turn image datasets into OCR training labels: word polygons, texts and confidences.",
    epilog="Start with:  ocrlabel demo   or   ocrlabel run images/ --output labels.parquet",
)

_CLOUD = "Rehearse and deploy"
_PANELS: dict[str, dict[str, Command]] = {
    "Label": {
        "run": run.run,
        "status": telling(status.status, status.tell_status),
        "merge": run.merge,
        "reparse": run.reparse,
        "set": status.set_live,
        "push": push.push,
        "demo": demo.demo,
        "engines": engines.engines,
    },
    "Look and measure": {
        "report": telling(report.report, report.tell_pages),
        "view": telling(report.view, report.tell_pages),
        "evaluate": telling(quality.evaluate, quality.tell_figures),
        "agree": telling(quality.agree, quality.tell_figures),
        "calibrate": telling(quality.calibrate, quality.tell_calibration),
    },
    "Use": {
        "filter": telling(quality.filter_, quality.tell_filtered),
        "export": telling(export.export, export.tell_export),
        "import": telling(export.import_, export.tell_import),
    },
    _CLOUD: {"fake-upstage": fake_upstage.fake_upstage},
}


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


class _Aws(TyperGroup):
    """`ocrlabel aws`, whose commands are imported when one is called: the others do not wait."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        """The group's own, in the place of this one's."""
        from ocrlabel.cli.aws import app as commands

        group = typer.main.get_command(commands)
        group.help = self.help
        return group.make_context(info_name, args, parent, **extra)


for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(everywhere(_command))
app.add_typer(engines.models_app, name="models", rich_help_panel="Label")
app.add_typer(
    typer.Typer(
        cls=_Aws,
        help="Label datasets with AWS Batch: deploy, push-image, submit, logs, destroy."
        " The options here may also stand after a command's name.",
    ),
    name="aws",
    rich_help_panel=_CLOUD,
)


def main() -> None:
    """Run the command."""
    end_process_with(app)
