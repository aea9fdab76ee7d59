"""CloudFormation makes a stack with its caller's rights: has the deployer what the handlers name?

handler_permissions.json says what each resource type's handlers call (documented; its source and
date are in it). What our template never makes them call is listed here, each with its reason.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.template import DEPLOYER, document, policies, template
from tests.support.aws import ACCOUNT, REGION
from tests.support.aws_user import User

HANDLERS = json.loads((Path(__file__).parent / "handler_permissions.json").read_text())["types"]
PLACE = AwsLocation(ACCOUNT, REGION)
LONGEST = AwsLocation(ACCOUNT, "ap-southeast-99", "aws-us-gov")
POLICIES = policies(PLACE, "labels", "upstage-api-key")
GRANTED = {
    action.lower() for name in DEPLOYER for own in POLICIES[name] for action in own["Action"]
}
NOT_CALLED = {
    "eks:.*": "a compute environment of ours is on no EKS cluster",
    "kms:.*": "ECR's own encryption, no key of ours",
    "vpc-lattice:.*": "the S3 endpoint is a gateway, to no service network",
    "vpce:.*": "the same: it is in its own region",
    "ec2:(attach|detach)vpngateway": "the VPC's gateway is an internet gateway",
    "ec2:(dis)?associatesubnetcidrblock": "a subnet has no second range",
    "ec2:createvpcencryptioncontrol": "the template asks for none",
    "ec2:modifyvpctenancy": "the template leaves it as it is",
    ".*securitygroupingress": "nothing is let in",
    "ec2:updatesecuritygroupruledescriptionsingress": "the same",
    "iam:(attach|detach)rolepolicy": "policies of our roles are inline",
    "iam:(put|delete)rolepermissionsboundary": "our roles have none",
    "iam:deleteopenidconnectprovider": "GitHub's provider is kept",
    "iam:(add|remove)clientid.*|iam:updateopenidconnect.*": "and never changed",
    "iam:untagopenid.*|iam:listopenid.*": "nor are its tags",
}
LIMITS = {"managed policy": 6144, "inline in a user": 2048, "inline in a role": 10_240}
"""Characters without white space: documented, "IAM and AWS STS quotas" (read 2026-11-28)."""


def size(statements: Any) -> int:
    return len(re.sub(r"\s", "", json.dumps(statements)))


def needed(kind: str) -> set[str]:
    named = {action.lower() for actions in HANDLERS[kind].values() for action in actions}
    return {a for a in named if not any(re.fullmatch(pattern, a) for pattern in NOT_CALLED)}


def test_every_resource_type_of_the_template_is_looked_up():
    kinds = {resource["Type"] for resource in template()["Resources"].values()}
    assert kinds == set(HANDLERS)


@pytest.mark.parametrize("kind", sorted(HANDLERS))
def test_the_deployer_may_what_the_handlers_of_a_type_call(kind):
    assert needed(kind) - GRANTED == set()


@pytest.mark.parametrize("pattern", NOT_CALLED)
def test_what_is_never_called_is_named_by_some_handler_and_not_granted(pattern):
    named = {a.lower() for each in HANDLERS.values() for actions in each.values() for a in actions}
    found = {action for action in named if re.fullmatch(pattern, action)}
    assert found
    assert not found & GRANTED


@pytest.mark.parametrize("name", ["deployer-jobs", "deployer-stack", "github"])
def test_what_a_person_or_a_user_gets_fits_a_managed_policy_with_the_longest_names(name):
    longest = policies(LONGEST, "b" * 63, "s" * 200)
    assert size(document(longest[name])) <= LIMITS["managed policy"]


@pytest.mark.parametrize("role", ["job", "execution", "instance", "github"])
def test_what_the_roles_of_the_stack_get_fits_inline(role):
    longest = policies(LONGEST, "b" * 63, "s" * 200)
    assert size(document(longest[role])) <= LIMITS["inline in a role"]


def test_what_deployer_prints_are_policies_that_can_be_made_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    user = User("http://127.0.0.1:9")
    listed = json.loads(user.types(f"policy deployer --account {ACCOUNT} --bucket labels"))
    assert [each["PolicyName"] for each in listed] == [
        "ocrlabel-deployer-jobs",
        "ocrlabel-deployer-stack",
    ]
    for each in listed:
        assert size(each["PolicyDocument"]) <= LIMITS["managed policy"]
        printed = user.types(
            f"policy {each['PolicyName'].removeprefix('ocrlabel-')}"
            f" --account {ACCOUNT} --bucket labels"
        )
        assert json.loads(printed) == each["PolicyDocument"]
