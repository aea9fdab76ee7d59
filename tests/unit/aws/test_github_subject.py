"""Which tokens of GitHub's may put on the role.

The two forms of a subject are documented: docs.github.com, "Immutable subject claims", and
github/docs#45221 (read 2026-11-28). That the ids are `id` and `owner.id` of GET /repos/OWNER/NAME
is documented too (REST API, "Get a repository").
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrlabel.aws import ready
from ocrlabel.aws.github import GitHubRepository, with_ids
from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.session import run
from ocrlabel.aws.template import template
from ocrlabel.errors import ConfigError
from tests.support.aws import ACCOUNT, REGION, moto_process
from tests.support.aws_user import DEPLOY, User, newcomer
from tests.support.iam import allowed, trust_github

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")

PLACE = AwsLocation(ACCOUNT, REGION)
ISSUER = "token.actions.githubusercontent.com"
IDS = "me@123456/labels@456789"
CONTEXTS = ("ref:refs/heads/main", "environment:aws")
STRANGERS = [
    "somebody/labels",
    "somebody@123456/labels@456789",
    "me@123457/labels@456789",
    "me@123456/labels@45678",
    "me@123456/labels@4567890",
    "me@123456/labels",
    "me/labels@456789",
    "me/labels-2",
    "me/label",
    "you-and-me/labels",
    "me@123456/labels-2@456789",
    "me-123456/labels-456789",
    "Me/labels",
]


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    """With a resource, which the evaluator wants; a trust policy's is the role itself."""
    return [{**statement, "Resource": "*"} for statement in document["Statement"]]


def trusted(document: dict[str, Any], subject: str, audience="sts.amazonaws.com") -> bool:
    context = {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": audience}
    return allowed(statements(document), "sts:AssumeRoleWithWebIdentity", "*", context)


def let_in(document: dict[str, Any]) -> set[str]:
    return {
        form
        for form in {"me/labels", IDS, *STRANGERS}
        for context in CONTEXTS
        if trusted(document, f"repo:{form}:{context}")
    }


def answer(full_name: str = "me/labels") -> str:
    return json.dumps({"id": 456789, "full_name": full_name, "owner": {"id": 123456}})


def put_gh_on_the_path(patch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """A `gh` that answers so of me/labels, and knows nothing without an answer."""
    (folder / "answer").write_text(text)
    program = folder / "gh"
    program.write_text(
        f'#!/bin/sh\n[ -s {folder}/answer ] && [ "$1 $2" = "api repos/me/labels" ] &&\n'
        f"  cat {folder}/answer && exit\necho 'gh: Not Found (HTTP 404)' >&2; exit 1\n"
    )
    program.chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture(scope="module")
def granted(tmp_path_factory) -> Iterator[User]:
    """An account where the repository that `gh` knows was given the role."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch, moto_process() as url, contextlib.chdir(folder):
        put_gh_on_the_path(patch, folder, answer())
        someone = newcomer(url)
        someone.types(f"{DEPLOY} --github me/labels")
        yield someone


@pytest.fixture(scope="module")
def trust(granted) -> dict[str, Any]:
    """The role's trust policy, as AWS has it."""
    roles = granted.aws.client("iam").list_roles()["Roles"]
    (document,) = [
        role["AssumeRolePolicyDocument"] for role in roles if "GitHubRole" in role["RoleName"]
    ]
    return document


def test_with_its_ids_a_repository_is_let_in_by_both_forms_and_nobody_else_is(trust):
    assert let_in(trust) == {"me/labels", IDS}


def test_another_branch_a_pull_request_and_another_audience_are_not_let_in(trust):
    others = ("ref:refs/heads/mine", "pull_request", "environment:aws2", "ref:refs/tags/main")
    for form in ("me/labels", IDS):
        for context in others:
            assert not trusted(trust, f"repo:{form}:{context}"), (form, context)
        assert not trusted(trust, f"repo:{form}:{CONTEXTS[0]}", "https://github.com/me")


def test_the_trust_policy_fits_a_role_also_with_the_longest_names():
    # 2,048 characters without white space: documented, "IAM and AWS STS quotas" (2026-11-28)
    names = ("o" * 39 + "/" + "n" * 100, "o" * 39 + "@1234567890/" + "n" * 100 + "@1234567890")
    document = trust_github(PLACE, names[0], "e" * 100, names[1])
    assert len(re.sub(r"\s", "", json.dumps(document))) <= 2048


def test_the_doctor_says_which_form_was_granted(granted):
    assert ready._github(granted.aws).why == (
        f"me/labels may put on the role, by its name and by its ids ({IDS})"
    )


def test_a_later_deploy_keeps_the_ids(granted, tmp_path, monkeypatch):
    put_gh_on_the_path(monkeypatch, tmp_path, "")
    assert "nothing to change" in granted.types("deploy --github me/labels")


@pytest.mark.parametrize(
    ("given", "forms"), [("me/labels", {"me/labels"}), (IDS, {"me/labels", IDS})]
)
def test_the_trust_policy_lets_in_exactly_the_forms_that_are_known(given, forms):
    one = GitHubRepository.of(given)
    assert let_in(trust_github(PLACE, one.names, "aws", one.with_ids)) == forms


def look_up(folder: Path, patch, text: str, **before: str) -> tuple[GitHubRepository, str]:
    put_gh_on_the_path(patch, folder, text)
    told: list[str] = []
    return with_ids(run, GitHubRepository("me/labels"), before, told.append), "".join(told)


def test_the_names_are_written_as_github_writes_them(tmp_path, monkeypatch):
    found, told = look_up(tmp_path, monkeypatch, answer("Me/labels"))
    assert found == GitHubRepository("Me/labels", "Me@123456/labels@456789")
    assert told == ""


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"full_name": "me/labels"}'])
def test_without_ids_it_is_let_in_by_its_name_and_that_is_said(tmp_path, monkeypatch, text):
    found, told = look_up(tmp_path, monkeypatch, text)
    assert found == GitHubRepository("me/labels")
    assert "trusted by its name only" in told
    assert "--github OWNER@ID/NAME@ID" in told


def test_known_ids_are_kept_where_gh_cannot_be_asked(tmp_path, monkeypatch):
    before = {"GitHubRepository": "Me/labels", "GitHubRepositoryWithIds": "Me@1/labels@2"}
    found, told = look_up(tmp_path, monkeypatch, "", **before)
    assert found == GitHubRepository("Me/labels", "Me@1/labels@2")
    assert told == ""


def test_another_repository_does_not_get_the_ids_of_the_one_before(tmp_path, monkeypatch):
    before = {"GitHubRepository": "me/other", "GitHubRepositoryWithIds": "me@1/other@2"}
    found, _ = look_up(tmp_path, monkeypatch, "", **before)
    assert found.parameters == {"GitHubRepository": "me/labels", "GitHubRepositoryWithIds": ""}


@pytest.mark.parametrize(
    "wrong", ["me", "me@1/labels", "me/labels@2", "me@x/labels@2", "a/b/c", "me/la bels", "/"]
)
def test_what_is_no_repository_is_refused(wrong):
    with pytest.raises(ConfigError, match="OWNER@ID/NAME@ID"):
        GitHubRepository.of(wrong)


def test_the_templates_own_parameters_take_either_form():
    parameters = template()["Parameters"]
    pattern = re.compile(parameters["GitHubRepository"]["AllowedPattern"])
    assert pattern.fullmatch("me/labels")
    assert pattern.fullmatch(IDS)
    assert not pattern.fullmatch("me@x/labels")
    ids = re.compile(parameters["GitHubRepositoryWithIds"]["AllowedPattern"])
    assert ids.fullmatch(IDS)
    assert not ids.fullmatch("me/labels")
