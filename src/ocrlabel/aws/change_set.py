"""What an update would do, asked of CloudFormation itself: a change set, executed or discarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrlabel.aws.names import STACK, TAGS
from ocrlabel.aws.plan import Change, Kind
from ocrlabel.aws.session import Aws, AwsRefused, translated
from ocrlabel.aws.stack import CAPABILITIES, StackState, as_list
from ocrlabel.aws.template.whole import body
from ocrlabel.aws.wait import until

TIMEOUT_S = 10 * 60
_NO_CHANGE = ("didn't contain changes", "no updates are to be performed")


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that waits to be executed or deleted."""

    id: str
    changes: tuple[Change, ...]


def propose_update(
    aws: Aws, stack: StackState, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> ChangeSet | None:
    """A change set for an existing stack; None, and nothing left behind, without changes."""
    client = aws.client("cloudformation")
    with translated(f"work out the changes to stack {STACK}"):
        made = client.create_change_set(
            StackName=stack.id,
            ChangeSetName=f"ocrlabel-{aws.now_s():.0f}",
            ChangeSetType="UPDATE",
            TemplateBody=body(template),
            Parameters=as_list(parameters),
            Capabilities=CAPABILITIES,
            Tags=[{"Key": key, "Value": value} for key, value in TAGS.items()],
        )
    name = str(made["Id"])

    def finished() -> dict[str, Any] | None:
        with translated(f"read the changes to stack {STACK}"):
            answer: dict[str, Any] = client.describe_change_set(ChangeSetName=name)
        return None if answer["Status"].startswith(("CREATE_PENDING", "CREATE_IN")) else answer

    answer = until(aws, finished, what="the change set", timeout_s=TIMEOUT_S)
    if answer["Status"] == "FAILED":
        discard(aws, name)
        reason = str(answer.get("StatusReason", ""))
        if any(text in reason.lower() for text in _NO_CHANGE):
            return None
        raise AwsRefused(f"CloudFormation cannot update the stack {STACK}: {reason}")
    return ChangeSet(name, tuple(to_change(entry) for entry in _all(client, name, answer)))


def discard(aws: Aws, change_set: str) -> None:
    """Delete a change set that is not wanted."""
    with translated("delete the change set"):
        aws.client("cloudformation").delete_change_set(ChangeSetName=change_set)


def execute(aws: Aws, change_set: str) -> None:
    """Start it; follow.follow tells how it goes."""
    with translated(f"update stack {STACK}"):
        aws.client("cloudformation").execute_change_set(ChangeSetName=change_set)


def to_change(entry: Mapping[str, Any]) -> Change:
    """One of CloudFormation's changes as ours. `Conditional` counts as a replacement."""
    resource = entry["ResourceChange"]
    kinds = {"Add": Kind.ADD, "Remove": Kind.REMOVE}
    kind = kinds.get(resource["Action"], Kind.CHANGE)
    if kind is Kind.CHANGE and resource.get("Replacement") in {"True", "Conditional"}:
        kind = Kind.REPLACE
    touched = {
        detail["Target"].get("Name") or detail["Target"].get("Attribute", "")
        for detail in resource.get("Details", ())
        if "Target" in detail
    }
    maybe = ["perhaps replaced"] if resource.get("Replacement") == "Conditional" else []
    return Change(
        kind,
        resource["ResourceType"],
        resource["LogicalResourceId"],
        ", ".join([*sorted(filter(None, touched)), *maybe]),
    )


def _all(client: Any, name: str, first: dict[str, Any]) -> list[dict[str, Any]]:
    found = list(first["Changes"])
    while token := first.get("NextToken"):
        with translated(f"read the changes to stack {STACK}"):
            first = client.describe_change_set(ChangeSetName=name, NextToken=token)
        found.extend(first["Changes"])
    return found
