"""The table in docs/aws-roles.md, evaluated over the statements."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.template import DEPLOYER, policies, template
from tests.support.iam import allowed, trust_github

TABLE = Path(__file__).parents[3] / "docs" / "aws-roles.md"
PLACE = AwsLocation("123456789012", "us-east-1")
_POLICIES = policies(PLACE, "labels", "upstage-api-key")
ROLES = {
    **{role: own for role, own in _POLICIES.items() if role not in DEPLOYER},
    "deployer": [statement for name in DEPLOYER for statement in _POLICIES[name]],
}


@dataclass(frozen=True)
class Row:
    role: str
    may: bool
    actions: tuple[str, ...]
    resource: str
    context: dict[str, str]

    def fails(self, statements):
        return [
            action
            for action in self.actions
            if allowed(statements, action, self.resource, self.context) is not self.may
        ]


def rows() -> list[Row]:
    found = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 5 or cells[0] not in ROLES:
            continue
        role, may, actions, resource, condition = cells
        key, _, value = condition.strip("`").partition("=")
        context = {"aws:RequestedRegion": "us-east-1", **({key: value} if key else {})}
        found.append(
            Row(
                role,
                may == "yes",
                tuple(re.findall(r"`([^`]+)`", actions)),
                resource.strip("`"),
                context,
            )
        )
    return found


def test_the_table_has_rows_of_both_kinds_for_every_role():
    assert {(row.role, row.may) for row in rows()} == {(r, m) for r in ROLES for m in (True, False)}


@pytest.mark.parametrize("role", ROLES)
def test_every_row_of_the_table_holds(role):
    for row in rows():
        if row.role == role:
            assert row.fails(ROLES[role]) == [], row


@pytest.mark.parametrize("role", ROLES)
def test_taking_any_action_out_fails_a_row(role):
    needed = [row for row in rows() if row.role == role and row.may]
    for number, statement in enumerate(ROLES[role]):
        for action in statement["Action"]:
            without = copy.deepcopy(ROLES[role])
            without[number]["Action"].remove(action)
            assert any(row.fails(without) for row in needed), f"no row needs {action}"


@pytest.mark.parametrize("role", ROLES)
def test_taking_any_resource_out_fails_a_row(role):
    needed = [row for row in rows() if row.role == role and row.may]
    for number, statement in enumerate(ROLES[role]):
        for resource in statement["Resource"]:
            without = copy.deepcopy(ROLES[role])
            without[number]["Resource"].remove(resource)
            assert any(row.fails(without) for row in needed), f"no row needs {resource}"


@pytest.mark.parametrize("role", ROLES)
def test_taking_any_condition_out_fails_a_row(role):
    mine = [row for row in rows() if row.role == role]
    for number, statement in enumerate(ROLES[role]):
        for key in statement.get("Condition", {}).get("StringEquals", {}):
            if key == "iam:AWSServiceName":
                continue  # the resource names the same services again
            without = copy.deepcopy(ROLES[role])
            del without[number]["Condition"]
            assert any(row.fails(without) for row in mine), f"no row needs {key}"


@pytest.mark.parametrize("role", ["job", "execution", "instance", "github"])
def test_no_role_of_the_stack_has_a_wildcard_action_or_writes_everywhere(role):
    listing = ("Describe", "List", "Get", "Discover")
    for statement in ROLES[role]:
        for action in statement["Action"]:
            assert "*" not in action
            assert statement["Resource"] != ["*"] or action.split(":")[1].startswith(listing)


def test_a_secret_of_a_longer_name_is_another_secret():
    other = "arn:aws:secretsmanager:us-east-1:123456789012:secret:upstage-api-key-2-AbCdEf"
    assert not allowed(ROLES["execution"], "secretsmanager:GetSecretValue", other)


def test_listing_has_no_prefix_condition_so_that_a_missing_key_is_404():
    (listing,) = [s for s in ROLES["job"] if s["Action"] == ["s3:ListBucket"]]
    assert "Condition" not in listing


def test_github_is_trusted_for_main_and_one_environment_of_one_repository():
    document = trust_github(PLACE, "me/labels", "aws")
    condition = document["Statement"][0]["Condition"]["StringEquals"]
    assert condition["token.actions.githubusercontent.com:sub"] == [
        "repo:me/labels:ref:refs/heads/main",
        "repo:me/labels:environment:aws",
    ]
    assert condition["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"


def test_in_the_template_the_same_statements_name_the_place_by_reference():
    (policy,) = template()["Resources"]["JobRole"]["Properties"]["Policies"]
    text = json.dumps(policy)
    assert '{"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}"}' in text
    assert text.count("${") == text.count("Fn::Sub") * 2


def test_the_evaluator_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="not evaluated"):
        allowed([{"Effect": "Allow", "NotAction": "x", "Action": "*", "Resource": "*"}], "a", "b")
    condition = {"IpAddress": {"aws:SourceIp": "1"}}
    statement = {"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": condition}
    with pytest.raises(ValueError, match="not evaluated"):
        allowed([statement], "a:b", "b")
