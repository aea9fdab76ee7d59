"""The `ocrlabel` command in this process: quick, and with its output and exit status."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from typer.main import get_command

from ocrlabel.cli import aws
from ocrlabel.cli.exit_codes import exit_with_a_sentence
from ocrlabel.cli.main import app


def command_line() -> Any:
    """The group of all commands, with those of `aws` in it."""
    tree: Any = get_command(app)
    tree.commands["aws"] = get_command(aws.app)
    return tree


def commands() -> dict[tuple[str, ...], Any]:
    """Every command there is, by the words after `ocrlabel`."""
    return dict(_walk(command_line()))


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _walk(below, (*path, name))
    else:
        yield path, command


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


def ocrlabel(*args: str) -> Ran:
    """Run it with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            exit_with_a_sentence(lambda: app(list(args), prog_name="ocrlabel"))
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ran(status, out.getvalue(), err.getvalue())
