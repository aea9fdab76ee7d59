"""The CloudFormation stack: what it is now, what would change, and changing it to the end.

    look_stack                                as it is, None where there is none
    made_anew, differs                        create, update or leave: functions of values
    propose_update, discard_update            CloudFormation's own list of changes (a change set)
    create_stack, update_stack, delete_stack  carry it out, telling its events as they come

Where one of the last three fails, the error has AWS's reason with a remedy, and the stack is as it
was before, or gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ocrlabel.aws.names import STACK, TAGS, tag_list
from ocrlabel.aws.plan import Change, Kind
from ocrlabel.aws.session import Aws, AwsRefused, reason, remedy_of, translated, until
from ocrlabel.aws.template import body, made_by

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

# A stack in one of these holds nothing and can only be deleted.
EMPTY = {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED"}
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
CHANGE_SET_TIMEOUT_S = 10 * 60
_NO_CHANGE = ("didn't contain changes", "no updates are to be performed")
STACK_TIMEOUT_S = 45 * 60


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as it is. template: only where it was asked for. drift: as AWS last looked for it."""

    id: str
    status: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)
    drift: str = "NOT_CHECKED"


def look_stack(
    client: CloudFormationClient, name: str = STACK, *, with_template: bool = False
) -> StackState | None:
    """The stack as it is; None where there is none.

    with_template: where it can be updated; only the deployer may read that, a workflow may not.
    """
    with translated(f"look at stack {name}"):
        try:
            stack = client.describe_stacks(StackName=name)["Stacks"][0]
        except client.exceptions.ClientError as error:
            if "does not exist" in reason(error):
                return None
            raise
        status = stack["StackStatus"]
        if status == "DELETE_COMPLETE":
            return None
        template: Any = {}
        if with_template and status in UPDATABLE:
            template = client.get_template(StackName=name)["TemplateBody"]
    return StackState(
        id=stack.get("StackId", name),
        status=status,
        parameters={
            str(entry.get("ParameterKey")): str(entry.get("ParameterValue", ""))
            for entry in stack.get("Parameters", ())
        },
        outputs={
            str(entry.get("OutputKey")): str(entry.get("OutputValue", ""))
            for entry in stack.get("Outputs", ())
        },
        template=json.loads(template) if isinstance(template, str) else dict(template),
        drift=str(stack.get("DriftInformation", {}).get("StackDriftStatus", "NOT_CHECKED")),
    )


def made_anew(
    present: StackState | None, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> list[Change] | None:
    """What its creation adds, after an empty leftover is gone; None where there is a stack."""
    if present is not None and present.status not in EMPTY:
        return None
    left = [Change(Kind.REMOVE, "stack", STACK, f"empty, {present.status}")] if present else []
    made = made_by(template, parameters)
    return [*left, *(Change(Kind.ADD, kind, name) for name, kind in made.items())]


def differs(
    present: StackState, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> bool:
    """Whether it is to be updated. Raises AwsRefused where it is in no state for that."""
    if present.status.endswith("_IN_PROGRESS"):
        raise AwsRefused(
            f"the stack {STACK} is {present.status}: another deploy or destroy is going on\n"
            "  wait until it has ended (`ocrlabel aws status` shows it), then run this again"
        )
    if present.status not in UPDATABLE:
        raise AwsRefused(
            f"the stack {STACK} is {present.status} and cannot be updated\n"
            f"  `aws cloudformation continue-update-rollback --stack-name {STACK}` where it is "
            "UPDATE_ROLLBACK_FAILED, else `ocrlabel aws destroy` and deploy again"
        )
    same = json.loads(body(present.template)) == json.loads(body(template))
    return not (same and parameters.items() <= present.parameters.items())


@dataclass(frozen=True, slots=True)
class Proposal:
    """The changes in and around the stack, in the order in which they are made.

    change_set: an update that waits at CloudFormation. data: the bucket whose every object goes.
    """

    stack: StackState | None
    in_stack: tuple[Change, ...]
    around: tuple[Change, ...]
    change_set: str = ""
    data: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of them, for a person to read."""
        return (*self.in_stack, *self.around)


def propose_update(
    aws: Aws, stack: StackState, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> tuple[str, tuple[Change, ...]]:
    """A change set for an existing stack, by its id; "" without changes, and nothing is left."""
    client = aws.client("cloudformation")
    with translated(f"work out the changes to stack {STACK}"):
        made = client.create_change_set(
            StackName=stack.id,
            ChangeSetName=f"ocrlabel-{aws.now_s():.0f}",
            ChangeSetType="UPDATE",
            **_described(template, parameters),
        )
    name = str(made["Id"])

    def finished() -> dict[str, Any] | None:
        with translated(f"read the changes to stack {STACK}"):
            answer: dict[str, Any] = client.describe_change_set(ChangeSetName=name)
        return None if answer["Status"].startswith(("CREATE_PENDING", "CREATE_IN")) else answer

    answer = until(aws, finished, what="the change set", timeout_s=CHANGE_SET_TIMEOUT_S)
    if answer["Status"] == "FAILED":
        discard_update(aws, name)
        why = str(answer.get("StatusReason", ""))
        if any(text in why.lower() for text in _NO_CHANGE):
            return "", ()
        raise AwsRefused(f"CloudFormation cannot update the stack {STACK}: {why}")
    with translated(f"read the changes to stack {STACK}"):
        pages = client.get_paginator("describe_change_set").paginate(ChangeSetName=name)
        return name, tuple(map(to_change, pages.search("Changes")))


def discard_update(aws: Aws, change_set: str) -> None:
    """Delete a change set that is not wanted."""
    with translated("delete the change set"):
        aws.client("cloudformation").delete_change_set(ChangeSetName=change_set)


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


def create_stack(
    aws: Aws,
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    """Make it, telling each event. A creation that fails deletes itself: nothing is half-made.

    Like the two below it follows the stack to its end, and raises AwsRefused with the resource that
    failed, AWS's reason and the remedy.
    """
    with translated(f"create stack {STACK}"):
        made = aws.client("cloudformation").create_stack(
            StackName=STACK, OnFailure="DELETE", **_described(template, parameters)
        )
    _follow(aws, made["StackId"], tell, to="CREATE_COMPLETE", doing="created")


def update_stack(aws: Aws, stack: StackState, change_set: str, tell: Callable[[str], None]) -> None:
    """Make the changes of a change set."""
    before = _events(aws, stack.id)
    with translated(f"update stack {STACK}"):
        aws.client("cloudformation").execute_change_set(ChangeSetName=change_set)
    _follow(aws, stack.id, tell, before=before, to="UPDATE_COMPLETE", doing="updated")


def delete_stack(
    aws: Aws, stack: StackState, tell: Callable[[str], None], *, doing: str = "deleted"
) -> None:
    """Delete it. doing: the word for it in the message of a failure."""
    before = _events(aws, stack.id)
    with translated(f"delete stack {STACK}"):
        aws.client("cloudformation").delete_stack(StackName=stack.id)
    _follow(aws, stack.id, tell, before=before, to="DELETE_COMPLETE", doing=doing)


def _described(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Template, parameters and tags as CloudFormation takes them."""
    return {
        "TemplateBody": body(template),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in sorted(parameters.items())
        ],
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": tag_list(TAGS),
    }


def _follow(
    aws: Aws,
    stack: str,
    tell: Callable[[str], None],
    *,
    before: Sequence[Mapping[str, Any]] = (),
    to: str,
    doing: str,
) -> None:
    """Tell each new event once, until the stack stands still. `stack` is its id, not its name.

    Raises AwsRefused where the status is then not `to`.
    """
    seen = {event["EventId"] for event in before}
    failures: list[Mapping[str, Any]] = []

    def look() -> str | None:
        # before the events, so that none of the last is missed
        there = look_stack(aws.client("cloudformation"), stack)
        status = there.status if there else "DELETE_COMPLETE"
        for event in _events(aws, stack):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            why = f": {_reason(event)}" if _reason(event) else ""
            tell(f"{event['ResourceStatus']:24} {event['LogicalResourceId']}{why}")
            if event["ResourceStatus"].endswith("_FAILED") and not _follows_another(event):
                failures.append(event)
        # just after a call the status may still be the old one: wait for a first new event
        moving = status.endswith("_IN_PROGRESS") or len(seen) == len(before)
        return None if moving else status

    status = until(aws, look, what=f"the stack {STACK}", timeout_s=STACK_TIMEOUT_S)
    if status != to:
        raise _refusal(status, failures, doing)


def _events(aws: Aws, stack: str) -> list[Mapping[str, Any]]:
    """Every event of the stack, oldest first."""
    with translated(f"read the events of stack {STACK}"):
        pages = aws.client("cloudformation").get_paginator("describe_stack_events")
        return list(pages.paginate(StackName=stack).search("StackEvents"))[::-1]


def _reason(event: Mapping[str, Any]) -> str:
    return str(event.get("ResourceStatusReason", ""))


def _follows_another(event: Mapping[str, Any]) -> bool:
    """Whether it failed only because something else did."""
    of_all = event["ResourceType"] == "AWS::CloudFormation::Stack"
    return of_all or "cancelled" in _reason(event).lower()


def _refusal(status: str, failures: Sequence[Mapping[str, Any]], doing: str) -> AwsRefused:
    """The failure as a person needs it: the resource, AWS's reason, what to do."""
    lines = [f"the stack {STACK} could not be {doing}: it is now {status}"]
    for event in failures:
        thing = f"{event['LogicalResourceId']} ({event['ResourceType']})"
        lines.append(f"  {thing}: {_reason(event) or event['ResourceStatus']}")
        if remedy := remedy_of("stack", _reason(event)):
            lines.append(f"    {remedy['do']}")
    if status == "DELETE_COMPLETE":
        lines.append("  nothing is left of it; mend the cause and run `ocrlabel aws deploy` again")
    elif status.startswith("UPDATE_ROLLBACK_COMPLETE"):
        lines.append("  it is as it was before; mend the cause and run `ocrlabel aws deploy` again")
    return AwsRefused("\n".join(lines))
