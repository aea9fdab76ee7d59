"""The stack's template, and what each role may do, as IAM's statements with real names.

`make render` makes the JSON that is sent of stack-template.yaml, where the roles of the stack
stand; what whoever deploys it may stands in deployer-policies.toml.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from ocrlabel.aws.names import AwsLocation

_RENDERED: Final = Path(__file__).with_name("stack-template.json")
Statement: TypeAlias = dict[str, Any]
DEPLOYER: Final = ("deployer-jobs", "deployer-stack")
_DEPLOYER: Final = Path(__file__).with_name("deployer-policies.toml")
_ROLES: Final = {
    "github": "GitHubRole",
    "job": "JobRole",
    "execution": "ExecutionRole",
    "instance": "InstanceRole",
}
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z:]+)\}")


def template() -> dict[str, Any]:
    """The template as a value. It names no account, no region and no secret's value."""
    found: dict[str, Any] = json.loads(_RENDERED.read_bytes())
    return found


def body(value: Mapping[str, Any]) -> str:
    """As it is sent: CloudFormation takes at most 51,200 bytes inline."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def made_by(value: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """Logical id -> type of every resource that these parameters make, in the template's order."""
    given = {
        name: parameters.get(name, str(spec.get("Default", "")))
        for name, spec in value["Parameters"].items()
    }
    return {
        name: resource["Type"]
        for name, resource in value["Resources"].items()
        if "Condition" not in resource or _holds(value, resource["Condition"], given)
    }


def _holds(value: Mapping[str, Any], rule: Any, given: Mapping[str, str]) -> bool:
    """Whether a condition, by its name or written out, holds for these parameter values."""
    match rule:
        case str():
            return _holds(value, value["Conditions"][rule], given)
        case {"Fn::Not": [part]}:
            return not _holds(value, part, given)
        case {"Fn::And": parts}:
            return all(_holds(value, part, given) for part in parts)
        case {"Fn::Equals": [{"Ref": name}, wanted]}:
            return bool(given[name] == wanted)
        case _:
            raise ValueError(f"the template has {rule}, which is not evaluated here")


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """The same value with these names in the place of its `${...}`, as CloudFormation does it."""
    match value:
        case str():
            return _REFERENCE.sub(lambda found: names[found[1]], value)
        case {"Fn::Sub": text}:
            return filled(text, names)
        case dict():
            return {key: filled(inner, names) for key, inner in value.items()}
        case list():
            return [filled(inner, names) for inner in value]
        case _:
            return value


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
