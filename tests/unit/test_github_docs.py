"""docs/github-actions.md names what the workflows read."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ocrlabel.aws.github import secrets
from tests.support.aws import CONFIG

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "github-actions.md").read_text()
WORKFLOWS = "".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_guides_eight_secrets_are_those_that_the_workflows_read() -> None:
    read = set(re.findall(r"secrets\.([A-Z0-9_]+)", WORKFLOWS))
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \|.*\| (?:not )?needed \|$", GUIDE, re.MULTILINE)
    # its own name for the guide's ECR_REPOSITORY_URI is read too
    assert set(listed) == read - {"ECR_URI"} == set(secrets(CONFIG, {}))
    assert len(listed) == 8


def test_every_variable_that_the_workflows_read_is_explained() -> None:
    for name in set(re.findall(r"vars\.([A-Z0-9_]+)", WORKFLOWS)):
        assert f"`{name}`" in GUIDE, name


def test_every_field_that_a_page_fills_in_by_gh_is_one_of_the_workflow() -> None:
    run = yaml.safe_load((ROOT / ".github" / "workflows" / "run-batch-job.yml").read_text())
    # YAML 1.1 reads `on` as true
    fields = set(run[True]["workflow_dispatch"]["inputs"])
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    filled = re.findall(r"gh workflow run run-batch-job\.yml((?: -f \w+=\S+)+)", pages)
    assert len(filled) >= 2
    assert set(re.findall(r"-f (\w+)=", "".join(filled))) <= fields
