"""What cfn-lint lets through in a template's Batch resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

REASONS = {
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
}
FAMILIES = {
    kind + generation + maker
    for kind in "cmr"
    for generation in "678"
    for maker in ("i", "a", "g", "gd")
}


def template_faults(template: dict[str, Any]) -> Iterator[str]:
    """Every fault, named by its resource."""
    resources = template["Resources"]
    kinds = {
        name: body["Properties"]["ComputeResources"]["Type"]
        for name, body in resources.items()
        if body["Type"] == "AWS::Batch::ComputeEnvironment"
    }
    for name in kinds:
        yield from _environment(name, resources[name]["Properties"]["ComputeResources"])
    for name, body in resources.items():
        if body["Type"] == "AWS::Batch::JobQueue":
            yield from _queue(name, body["Properties"], kinds)


def _environment(name: str, compute: dict[str, Any]) -> Iterator[str]:
    if compute["Type"].startswith("FARGATE") and "MinvCpus" in compute:
        yield f"{name}: MinvCpus is not for Fargate"
    families = compute.get("InstanceTypes", [])
    if isinstance(families, dict):
        _, first, second = families["Fn::If"]
        families = [*first, *second]
    for family in families:
        if family not in FAMILIES:
            yield f"{name}: {family} is no current instance family"


def _queue(name: str, queue: dict[str, Any], kinds: dict[str, str]) -> Iterator[str]:
    used = {
        kinds[each["ComputeEnvironment"]["Ref"]].startswith("FARGATE")
        for each in queue["ComputeEnvironmentOrder"]
    }
    if len(used) > 1:
        yield f"{name}: one queue cannot mix EC2 and Fargate"
    for limit in queue["JobStateTimeLimitActions"]:
        if limit["Reason"] not in REASONS:
            yield f"{name}: AWS knows no time limit for {limit['Reason']}"
