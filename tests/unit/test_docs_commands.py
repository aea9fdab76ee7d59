"""Every `ocrlabel` command that a page, a workflow, a script or a message names can be typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml

from ocrlabel.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    *sorted((ROOT / "scripts").rglob("*.sh")),
]
SOURCES = sorted((ROOT / "src" / "ocrlabel").rglob("*.py"))

_CALL = re.compile(r"(?:^|[\s;&|`(=])ocrlabel ((?:-|[a-z])[^`\n;&|#]*)", re.MULTILINE)
_OPTION = re.compile(r"(?<!\S)(--?[a-z][a-z0-9-]*)")


def in_code(markdown: str) -> Iterator[str]:
    """What a page shows as code: blocks of a shell, and spans in a line."""
    fenced = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    for language, block in fenced.findall(markdown):
        if language in {"bash", "sh", "console", ""}:
            yield block.replace("\\\n", " ")
    for span in re.findall(r"`([^`]+)`", fenced.sub("", markdown)):
        yield span.replace("\n", " ")


def in_messages(python: str) -> Iterator[str]:
    """What a module says in backticks, with strings that follow each other put together."""
    whole = re.sub(r'"\s*\n\s*f?"', "", python)
    yield from (f"`{span}`" for span in re.findall(r"`(ocrlabel [^`\n]+)`", whole))


def calls(texts: Iterator[str]) -> list[str]:
    return [found.strip() for text in texts for found in _CALL.findall(text)]


def in_steps(workflow: str) -> Iterator[str]:
    """The commands of a workflow's steps."""
    for job in yaml.safe_load(workflow)["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


HOW = {".md": in_code, ".py": in_messages, ".yml": in_steps, ".sh": lambda text: iter([text])}


@cache
def named() -> list[tuple[str, str]]:
    """File and command, of all that are named anywhere."""
    return [
        (str(path.relative_to(ROOT)), call)
        for path in (*PAGES, *SCRIPTS, *SOURCES)
        for call in calls(HOW[path.suffix](path.read_text(encoding="utf-8")))
    ]


COMMAND = typer.main.get_command(app)


def what_is_wrong(call: str) -> str:
    """ "" where there is such a command, with all of these options."""
    here, known = COMMAND, {"--help"}
    words = iter(call.split())
    while commands := getattr(here, "commands", None):
        known |= options_of(here)
        word = next(words, "")
        if word.startswith("-"):
            if word not in {"--help", "--version"}:
                next(words, "")  # its value
        elif word in commands:
            here = commands[word]
        else:
            return f"there is no command {word!r}" if word.islower() else ""
    known |= options_of(here)
    unknown = [option for option in _OPTION.findall(call) if option not in known]
    return f"there is no option {', '.join(unknown)}" if unknown else ""


def options_of(command: object) -> set[str]:
    parameters = getattr(command, "params", [])
    return {name for one in parameters for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("where", sorted({path for path, _ in named()}))
def test_every_command_that_is_named_there_is_one_with_these_options(where):
    wrong = {
        call: said for path, call in named() if path == where and (said := what_is_wrong(call))
    }
    assert wrong == {}


def test_the_pages_the_workflows_and_the_messages_name_many():
    kinds = [Path(path).suffix for path, _ in named()]
    for suffix, least in ((".md", 60), (".yml", 8), (".sh", 1), (".py", 25)):
        assert kinds.count(suffix) >= least, (suffix, kinds.count(suffix))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("aws deplyo", "no command 'deplyo'"),
        ("aws deploy --dryrun", "no option --dryrun"),
        ("push images/ s3://b/ --resume", "no option --resume"),
        ("aws --region eu-west-1 deploy --dry-run", ""),
    ],
)
def test_what_does_not_exist_is_noticed(call, said):
    assert said in what_is_wrong(call)
    assert bool(said) == bool(what_is_wrong(call))
