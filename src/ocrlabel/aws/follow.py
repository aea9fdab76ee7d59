"""Following a stack to its end: events as they come, and what a failure means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ocrlabel.aws.names import STACK
from ocrlabel.aws.session import Aws, AwsRefused, translated
from ocrlabel.aws.stack import StackState
from ocrlabel.aws.wait import until

TIMEOUT_S = 45 * 60


@dataclass(frozen=True, slots=True)
class StackEvent:
    """One line of CloudFormation's diary. reason is AWS's own sentence, often empty."""

    id: str
    resource: str
    kind: str
    status: str
    reason: str = ""

    @property
    def line(self) -> str:
        """As a person reads it."""
        return f"{self.status:24} {self.resource}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, and the events of what failed first."""

    status: str
    failures: tuple[StackEvent, ...]


def events_so_far(aws: Aws, stack: str) -> list[StackEvent]:
    """Every event of the stack, oldest first."""
    found: list[StackEvent] = []
    with translated(f"read the events of stack {STACK}"):
        pages = aws.client("cloudformation").get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=stack):
            found.extend(
                StackEvent(
                    id=event["EventId"],
                    resource=event.get("LogicalResourceId", ""),
                    kind=event.get("ResourceType", ""),
                    status=event.get("ResourceStatus", ""),
                    reason=event.get("ResourceStatusReason", ""),
                )
                for event in page["StackEvents"]
            )
    return found[::-1]


def follow(
    aws: Aws,
    stack: str,
    tell: Callable[[str], None],
    *,
    before: Sequence[StackEvent] = (),
    timeout_s: float = TIMEOUT_S,
) -> Ended:
    """Tell each new event once, until the stack stands still. `stack` is its id, not its name."""
    told = {event.id for event in before}
    failures: list[StackEvent] = []

    def look() -> str | None:
        status = _status(aws, stack)  # before the events, so that none of the last is missed
        for event in events_so_far(aws, stack):
            if event.id in told:
                continue
            told.add(event.id)
            tell(event.line)
            if event.status.endswith("_FAILED") and not _follows(event):
                failures.append(event)
        # just after a call the status may still be the old one: wait for a first new event
        moving = status.endswith("_IN_PROGRESS") or len(told) == len(before)
        return None if moving else status

    status = until(aws, look, what=f"the stack {STACK}", timeout_s=timeout_s)
    return Ended(status, tuple(failures))


def delete_stack(aws: Aws, stack: StackState, tell: Callable[[str], None]) -> Ended:
    """Delete it and follow that to the end."""
    before = events_so_far(aws, stack.id)
    with translated(f"delete stack {STACK}"):
        aws.client("cloudformation").delete_stack(StackName=stack.id)
    return follow(aws, stack.id, tell, before=before)


def _status(aws: Aws, stack: str) -> str:
    with translated(f"look at stack {STACK}"):
        found = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return str(found[0]["StackStatus"])


def _follows(event: StackEvent) -> bool:
    """Whether it failed only because something else did."""
    return event.kind == "AWS::CloudFormation::Stack" or "cancelled" in event.reason.lower()


# What AWS's sentences mean here. In lower case; the first that fits.
_REMEDIES = (
    (
        ("not authorized to perform", "accessdenied", "access denied"),
        "these credentials may not do that: `ocrlabel aws policy deployer` prints what they need",
    ),
    (
        ("service-linked role", "servicelinkedrole"),
        "make it once: aws iam create-service-linked-role --aws-service-name batch.amazonaws.com",
    ),
    (
        ("already exist", "alreadyexists"),
        "something of that name was made outside this stack: delete it, then deploy again",
    ),
    (
        ("limit", "maximum number", "quota"),
        "a quota is used up: ask for more in Service Quotas (--network default needs no VPC)",
    ),
    (
        ("invalid email", "email"),
        "give --notify-email an address that exists",
    ),
    (
        ("subnet", "vpc"),
        "the network does not fit: --network own makes one, --subnets names others",
    ),
)


def refusal(ended: Ended, doing: str) -> AwsRefused:
    """The failure as a person needs it: the resource, AWS's reason, what to do."""
    lines = [f"the stack {STACK} could not be {doing}: it is now {ended.status}"]
    for event in ended.failures:
        lines.append(f"  {event.resource} ({event.kind}): {event.reason or event.status}")
        reason = event.reason.lower()
        hint = next((text for words, text in _REMEDIES if any(w in reason for w in words)), "")
        if hint:
            lines.append(f"    {hint}")
    if ended.status == "DELETE_COMPLETE":
        lines.append("  nothing is left of it; mend the cause and run `ocrlabel aws deploy` again")
    elif ended.status.startswith("UPDATE_ROLLBACK_COMPLETE"):
        lines.append("  it is as it was before; mend the cause and run `ocrlabel aws deploy` again")
    return AwsRefused("\n".join(lines))
