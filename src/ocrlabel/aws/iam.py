"""What each role may do, as IAM's statements with real names.

The roles of the stack stand in stack-template.yaml, whoever deploys it in deployer-policies.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.template import filled, template

Statement: TypeAlias = dict[str, Any]
DEPLOYER: Final = ("deployer-jobs", "deployer-stack")
_DEPLOYER: Final = Path(__file__).with_name("deployer-policies.toml")
_ROLES: Final = {
    "github": "GitHubRole",
    "job": "JobRole",
    "execution": "ExecutionRole",
    "instance": "InstanceRole",
}


def policies(location: AwsLocation, bucket: str, secret: str) -> dict[str, list[Statement]]:
    """Each role's statements by its name; what deploys has two policies, DEPLOYER."""
    found: dict[str, list[Statement]] = {}
    for name, statements in tomllib.loads(_DEPLOYER.read_text(encoding="utf-8")).items():
        found[name] = [{"Effect": "Allow", **statement} for statement in statements]
    resources = template()["Resources"]
    for name, role in _ROLES.items():
        (policy,) = resources[role]["Properties"]["Policies"]
        found[name] = policy["PolicyDocument"]["Statement"]
    names = {
        "AWS::Partition": location.partition,
        "AWS::Region": location.region,
        "AWS::AccountId": location.account,
        "BucketName": bucket,
        "SecretName": secret,
    }
    return {name: filled(statements, names) for name, statements in found.items()}


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}
