"""The CloudFormation stack: what it is now, what would change, and following it to the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ocrlabel.aws.names import STACK, TAGS
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import AwsRefused, said, translated
from ocrlabel.aws.template.whole import body, made_by

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

CAPABILITIES = ["CAPABILITY_IAM"]
# A stack in one of these holds nothing and can only be deleted.
EMPTY = {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED"}
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as it is. template: only where it was asked for."""

    id: str
    status: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What has to happen to the stack, before AWS is asked for details.

    first_delete: an empty leftover of a failed creation goes first. update: a change set must
    be made to see what would change.
    """

    changes: tuple[Change, ...] = ()
    first_delete: bool = False
    create: bool = False
    update: bool = False


def plan_stack(
    present: StackState | None, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> StackPlan:
    """Create it, update it, or leave it. Raises AwsRefused where it is in no state for either."""
    if present is None or present.status in EMPTY:
        leftover = present is not None
        made = made_by(template, parameters)
        changes = [Change(Kind.ADD, kind, name) for name, kind in made.items()]
        if present is not None:
            gone = Change(Kind.REMOVE, "stack", STACK, f"empty, {present.status}")
            changes.insert(0, gone)
        return StackPlan(tuple(changes), first_delete=leftover, create=True)
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
    return StackPlan(update=not (same and parameters.items() <= present.parameters.items()))


def create_call(template: Mapping[str, Any], parameters: Mapping[str, str]) -> Call:
    """The call that makes it. A creation that fails deletes itself: nothing is left half-made."""
    return Call(
        "cloudformation",
        "create_stack",
        {
            "StackName": STACK,
            "TemplateBody": body(template),
            "Parameters": as_list(parameters),
            "Capabilities": CAPABILITIES,
            "OnFailure": "DELETE",
            "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
        },
    )


def as_list(parameters: Mapping[str, str]) -> list[dict[str, str]]:
    """Parameters as CloudFormation takes them."""
    return [
        {"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())
    ]


def look_stack(
    client: CloudFormationClient, name: str = STACK, *, with_template: bool = False
) -> StackState | None:
    """The stack as it is; None where there is none.

    with_template: where it can be updated; only the deployer may read that, a workflow may not.
    """
    with translated(f"look at stack {name}"):
        try:
            stack = client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in said(error):
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
    )
