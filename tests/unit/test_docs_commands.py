"""Every command of `ocrlabel` or AWS that a page names can be typed; so with workflows and messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name

from ocrlabel.aws.session import REMEDIES
from tests.support.command import command_line

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


COMMAND = command_line()


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


# what AWS's command line has beside the operations of its services
OF_THE_COMMAND_LINE = {
    *(("s3", "ls"), ("s3", "cp"), ("logs", "tail")),
    *(("ecr", "get-login-password"), ("configure", "list-profiles")),
}
OF_EVERY_COMMAND = {"--query", "--output", "--region", "--cli-input-json"}
_AWS_CALL = re.compile(r"(?<!ocrlabel )\baws ([a-z0-9]+) ([a-z][a-z0-9-]+)([^|&;`)\n]*)")


def aws_calls(page: Path) -> list[tuple[str, str, str]]:
    """Service, operation, and the rest of the line."""
    found: list[tuple[str, str, str]] = []
    for text in in_code(page.read_text(encoding="utf-8")):
        lines = text.replace("ocrlabel aws", "ocrlabel_aws")
        found += [match.groups() for match in _AWS_CALL.finditer(lines)]  # type: ignore[misc]  # three groups
    return found


def wrong_with_aws(service: str, operation: str, rest: str) -> str:
    """ "" where the service has that operation, with all of these options."""
    if (service, operation) in OF_THE_COMMAND_LINE:
        return ""
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        return f"{service} has no {operation}"
    shape = model.operation_model(names[operation]).input_shape
    known = {f"--{xform_name(name, '-')}" for name in (shape.members if shape else {})}
    unknown = {word for word in rest.split() if word.startswith("--")} - known - OF_EVERY_COMMAND
    return f"{service} {operation} has no {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_aws_is_an_operation_of_that_service_with_these_options(page):
    assert [said for call in aws_calls(page) if (said := wrong_with_aws(*call))] == []


def test_an_operation_or_an_option_that_aws_does_not_have_is_noticed():
    assert wrong_with_aws("batch", "submit-jobs", "") == "batch has no submit-jobs"
    assert wrong_with_aws("batch", "describe-jobs", " --jobs 1 --job 1") == (
        "batch describe-jobs has no --job"
    )


def symptoms() -> list[list[str]]:
    """Symptom, command and remedy of each row of the page on what goes wrong."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in rows]
    return [each for each in cells if not each[0].startswith("**")]


def test_every_symptom_has_a_command_to_look_with_and_a_remedy():
    assert len(symptoms()) >= 30
    for row in symptoms():
        assert len(row) == 3, row
        assert all(row), row


def test_every_exit_status_of_a_worker_is_a_symptom():
    named = {int(number) for row in symptoms() for number in re.findall(r"status (\d+)", row[0])}
    ours = {int(status) for status in REMEDIES["exit"] if int(status) <= 75}
    assert named >= ours
