"""docs/github-actions.md names what the workflows read."""

from __future__ import annotations

import re
from pathlib import Path

from ocrlabel.aws.github_secrets import secrets
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
