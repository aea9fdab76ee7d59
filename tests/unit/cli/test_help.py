"""Every command's --help, as it stands on a terminal of 80 columns."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.support.command import commands, ocrlabel

LARGE = {"pydantic", "pyarrow", "numpy", "PIL", "boto3", "botocore", "httpx2", "obstore"}
LARGE |= {"rich.progress"}
_EXAMPLE = re.compile(r"(?:\w+=\S+ )?(?:ocrlabel|python|curl) ")


COMMANDS = {path: inspect.cleandoc(one.help or "") for path, one in commands().items()}


def examples(text):
    return [line.strip() for line in text.splitlines() if _EXAMPLE.match(line.strip())]


def test_all_commands_are_looked_at():
    assert {("run",), ("status",), ("fake-upstage",), ("aws", "submit")} <= COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_of_a_command_stands_on_a_line_of_its_own(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = [line.strip() for line in ocrlabel(*path, "--help").out.splitlines()]
    assert [line for line in examples(COMMANDS[path]) if line not in shown] == []
    assert "Examples:" not in COMMANDS[path]


@pytest.mark.parametrize("path", [p for p in COMMANDS if p[0] != "aws"], ids=" ".join)
def test_every_command_of_one_machine_shows_an_example(path):
    assert examples(COMMANDS[path])


def test_the_version_is_printed_without_a_command():
    assert ocrlabel("--version").out.strip() == version("ocrlabel")


# typer itself loads pydantic for a command with parameters: below `ocrlabel` it cannot be kept out
@pytest.mark.parametrize(
    ("words", "unavoidable"),
    [([], set()), (["--help"], set()), (["run", "--help"], {"pydantic"})],
    ids=["import", "ocrlabel", "run"],
)
def test_neither_the_import_nor_help_loads_a_large_library(words, unavoidable):
    program = (
        "import sys\nfrom ocrlabel.cli.main import app\n"
        f"try:\n    {words} and app({words})\nexcept SystemExit:\n    pass\n"
        "print()\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ("Usage" in done.stdout) == bool(words)
    assert LARGE & set(done.stdout.splitlines()[-1].split()) <= unavoidable
