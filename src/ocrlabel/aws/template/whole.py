"""The whole template, and what of it a set of parameters makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ocrlabel.aws.template.alarms import alarms
from ocrlabel.aws.template.compute import compute
from ocrlabel.aws.template.functions import attribute, ref
from ocrlabel.aws.template.network import network
from ocrlabel.aws.template.parameters import CONDITIONS, PARAMETERS
from ocrlabel.aws.template.registry import registry
from ocrlabel.aws.template.roles import roles


def template() -> dict[str, Any]:
    """The template as a value. It names no account, no region and no secret's value."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "ocrlabel: OCR pseudo-labels with AWS Batch on Fargate Spot and EC2 Spot",
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {**registry(), **roles(), **network(), **compute(), **alarms()},
        "Outputs": _outputs(),
    }


def body(value: Mapping[str, Any]) -> str:
    """As it is sent: CloudFormation takes at most 51,200 bytes inline."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _outputs() -> dict[str, Any]:
    return {
        "RepositoryUri": {"Value": attribute("Repository", "RepositoryUri")},
        "JobRoleArn": {"Value": attribute("JobRole", "Arn")},
        "ExecutionRoleArn": {"Value": attribute("ExecutionRole", "Arn")},
        "ComputeEnvironment": {"Value": ref("FargateSpot")},
        "JobQueue": {"Value": ref("Queue")},
        "NoticesTopicArn": {"Value": ref("Notices")},
        "GitHubRoleArn": {
            "Condition": "HasGitHub",
            "Value": attribute("GitHubRole", "Arn"),
        },
    }


def made_by(value: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """Logical id -> type of every resource that these parameters make, in the template's order."""
    given = {
        name: parameters.get(name, str(spec.get("Default", "")))
        for name, spec in value["Parameters"].items()
    }
    return {
        name: resource["Type"]
        for name, resource in value["Resources"].items()
        if "Condition" not in resource or holds(value, resource["Condition"], given)
    }


def holds(value: Mapping[str, Any], condition: str, given: Mapping[str, str]) -> bool:
    """Whether a condition of the template holds for these parameter values."""
    return _true(value, value["Conditions"][condition], given)


def _true(value: Mapping[str, Any], rule: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    ((function, arguments),) = rule.items()
    match function:
        case "Condition":
            return holds(value, arguments, given)
        case "Fn::Not":
            return not _true(value, arguments[0], given)
        case "Fn::And":
            return all(_true(value, part, given) for part in arguments)
        case "Fn::Equals":
            left, right = (
                given[side["Ref"]] if isinstance(side, dict) else str(side) for side in arguments
            )
            return left == right
        case _:
            raise ValueError(f"the template uses {function}, which is not evaluated here")
