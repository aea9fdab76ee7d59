"""A double of CloudFormation: stacks live, fail, roll back and are changed, over its protocol.

It compares templates as CloudFormation does and knows which properties replace a resource; it
makes nothing. Each describe-stacks call of a stack in progress lets one more event happen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from ocrlabel.aws.template import made_by
from tests.support.aws import Answer, form, refused, xml

REPLACES = {("AWS::Batch::JobQueue", "JobQueueName"), ("AWS::ECR::Repository", "RepositoryName")}


@dataclass
class Stack:
    """One stack; ahead: the (resource, status, reason) events and the status at their end."""

    name: str
    number: int
    status: str
    template: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    ahead: list[tuple[str, str, str]] = field(default_factory=list)
    then: str = ""

    @property
    def id(self) -> str:
        return f"arn:aws:cloudformation:us-east-1:123456789012:stack/{self.name}/{self.number}"

    def step(self) -> None:
        if self.ahead:
            self.events.append(self.ahead.pop(0))
        elif self.then:
            self.status, self.then = self.then, ""
            self.events.append((self.name, self.status, ""))


@dataclass
class FakeCloudFormation:
    """fails: resource -> reason. throttle: so many calls are refused first. stale: after a
    change set is executed, so many describes still give the old status."""

    fails: dict[str, str] = field(default_factory=dict)
    throttle: int = 0
    stale: int = 0
    drift: str = ""
    stacks: list[Stack] = field(default_factory=list)
    change_sets: dict[str, tuple[Stack, dict[str, Any], dict[str, str], list[str]]] = field(
        default_factory=dict
    )
    calls: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    _late: int = 0

    def handle(self, _path: str, _target: str, body: str) -> Answer:
        values = form(body)
        action = values["Action"]
        self.calls.append(action)
        self.bodies.append(body)
        if self.throttle:
            self.throttle -= 1
            return refused("Throttling", "Rate exceeded")
        return getattr(self, action.lower())(action, values)

    def live(self, name: str) -> Stack | None:
        for stack in reversed(self.stacks):
            if stack.id == name or (stack.name == name and stack.status != "DELETE_COMPLETE"):
                return stack
        return None

    def createstack(self, action: str, values: dict[str, str]) -> Answer:
        if self.live(values["StackName"]):
            return refused("AlreadyExistsException", "Stack already exists")
        stack = Stack(values["StackName"], len(self.stacks), "CREATE_IN_PROGRESS")
        stack.template, stack.parameters = json.loads(values["TemplateBody"]), _parameters(values)
        stack.events.append((stack.name, "CREATE_IN_PROGRESS", "User Initiated"))
        stack.then = "CREATE_COMPLETE"
        for name in stack.template["Resources"]:
            if name in self.fails:
                stack.ahead.append((name, "CREATE_FAILED", self.fails[name]))
                stack.ahead.append(("Queue", "CREATE_FAILED", "Resource creation cancelled"))
                deletes = values.get("OnFailure") == "DELETE"
                stack.then = "DELETE_COMPLETE" if deletes else "ROLLBACK_COMPLETE"
                break
            stack.ahead.append((name, "CREATE_COMPLETE", ""))
        self.stacks.append(stack)
        return 200, xml(action, f"<StackId>{stack.id}</StackId>")

    def describestacks(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        if stack is None:
            return refused("ValidationError", f"Stack with id {values['StackName']} does not exist")
        if self._late:
            self._late -= 1
            status = "CREATE_COMPLETE"
        else:
            stack.step()
            status = stack.status
        outputs = {
            "RepositoryUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/batch-processor",
            "JobRoleArn": "arn:aws:iam::123456789012:role/ocrlabel-JobRole-1",
            "ExecutionRoleArn": "arn:aws:iam::123456789012:role/ocrlabel-ExecutionRole-1",
            "ComputeEnvironment": "arn:aws:batch:us-east-1:123456789012:compute-environment/spot",
        }
        return 200, xml(
            action,
            "<Stacks><member>"
            f"<StackId>{stack.id}</StackId><StackName>{stack.name}</StackName>"
            f"<StackStatus>{status}</StackStatus>"
            "<CreationTime>2026-11-24T00:00:00Z</CreationTime>"
            + (
                "<DriftInformation><StackDriftStatus>"
                f"{self.drift}</StackDriftStatus></DriftInformation>"
                if self.drift
                else ""
            )
            + f"<Parameters>{_pairs('Parameter', stack.parameters)}</Parameters>"
            f"<Outputs>{_pairs('Output', outputs)}</Outputs></member></Stacks>",
        )

    def describestackevents(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        assert stack
        members = [
            f"<member><StackId>{stack.id}</StackId><StackName>{stack.name}</StackName>"
            f"<EventId>{stack.number}-{number}</EventId>"
            f"<LogicalResourceId>{resource}</LogicalResourceId>"
            f"<ResourceType>{self._kind(stack, resource)}</ResourceType>"
            "<Timestamp>2026-11-24T00:00:00Z</Timestamp>"
            f"<ResourceStatus>{status}</ResourceStatus>"
            f"<ResourceStatusReason>{escape(reason)}</ResourceStatusReason></member>"
            for number, (resource, status, reason) in enumerate(stack.events)
        ]
        # newest first, and in pages, as the service gives them
        members.reverse()
        start = int(values.get("NextToken", 0))
        more = f"<NextToken>{start + 20}</NextToken>" if start + 20 < len(members) else ""
        page = "".join(members[start : start + 20])
        return 200, xml(action, f"<StackEvents>{page}</StackEvents>{more}")

    def gettemplate(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        assert stack
        body = escape(json.dumps(stack.template))
        return 200, xml(action, f"<TemplateBody>{body}</TemplateBody>")

    def liststackresources(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        assert stack
        members = "".join(
            f"<member><LogicalResourceId>{name}</LogicalResourceId>"
            f"<ResourceType>{body['Type']}</ResourceType><ResourceStatus>CREATE_COMPLETE"
            "</ResourceStatus><LastUpdatedTimestamp>2026-11-24T00:00:00Z</LastUpdatedTimestamp>"
            "</member>"
            for name, body in stack.template["Resources"].items()
        )
        return 200, xml(action, f"<StackResourceSummaries>{members}</StackResourceSummaries>")

    def createchangeset(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        assert stack
        assert values["ChangeSetType"] == "UPDATE"
        template, parameters = json.loads(values["TemplateBody"]), _parameters(values)
        changes = _changes(stack, template, parameters)
        name = f"{stack.id}/changeSet/{values['ChangeSetName']}"
        self.change_sets[name] = (stack, template, parameters, changes)
        return 200, xml(action, f"<Id>{name}</Id><StackId>{stack.id}</StackId>")

    def describechangeset(self, action: str, values: dict[str, str]) -> Answer:
        changes = self.change_sets[values["ChangeSetName"]][3]
        if not changes:
            return 200, xml(
                action,
                "<Status>FAILED</Status><StatusReason>The submitted information didn't contain "
                "changes. Submit different information to create a change set.</StatusReason>"
                "<Changes/>",
            )
        start = int(values.get("NextToken", 0))
        more = f"<NextToken>{start + 1}</NextToken>" if start + 1 < len(changes) else ""
        return 200, xml(
            action,
            f"<Status>CREATE_COMPLETE</Status><Changes>{changes[start]}</Changes>{more}",
        )

    def deletechangeset(self, action: str, values: dict[str, str]) -> Answer:
        del self.change_sets[values["ChangeSetName"]]
        return 200, xml(action, "")

    def executechangeset(self, action: str, values: dict[str, str]) -> Answer:
        stack, template, parameters, _ = self.change_sets.pop(values["ChangeSetName"])
        failing = next((name for name in template["Resources"] if name in self.fails), None)
        stack.status, stack.then = "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"
        self._late = self.stale
        if failing:
            stack.ahead = [(failing, "UPDATE_FAILED", self.fails[failing])]
            stack.then = "UPDATE_ROLLBACK_COMPLETE"
        else:
            stack.template, stack.parameters = template, parameters
            stack.ahead = [("Queue", "UPDATE_COMPLETE", "")]
        return 200, xml(action, "")

    def deletestack(self, action: str, values: dict[str, str]) -> Answer:
        stack = self.live(values["StackName"])
        assert stack
        stack.status, stack.then = "DELETE_IN_PROGRESS", "DELETE_COMPLETE"
        stack.ahead = [("Queue", "DELETE_COMPLETE", "")]
        for name, reason in self.fails.items():
            stack.ahead.append((name, "DELETE_FAILED", reason))
            stack.then = "DELETE_FAILED"
        return 200, xml(action, "")

    def _kind(self, stack: Stack, resource: str) -> str:
        if resource == stack.name:
            return "AWS::CloudFormation::Stack"
        return str(stack.template.get("Resources", {}).get(resource, {}).get("Type", ""))


def _parameters(values: dict[str, str]) -> dict[str, str]:
    found = {}
    number = 1
    while key := values.get(f"Parameters.member.{number}.ParameterKey"):
        found[key] = values.get(f"Parameters.member.{number}.ParameterValue", "")
        number += 1
    return found


def _pairs(kind: str, values: dict[str, str]) -> str:
    return "".join(
        f"<member><{kind}Key>{key}</{kind}Key><{kind}Value>{escape(value)}</{kind}Value></member>"
        for key, value in values.items()
    )


def _changes(stack: Stack, template: dict[str, Any], parameters: dict[str, str]) -> list[str]:
    old = _made(stack.template, stack.parameters)
    new = _made(template, parameters)
    changed_parameters = {
        name for name, value in parameters.items() if stack.parameters.get(name) != value
    }
    found = [_change("Add", name, new[name]["Type"]) for name in new.keys() - old.keys()]
    found += [_change("Remove", name, old[name]["Type"]) for name in old.keys() - new.keys()]
    for name in sorted(new.keys() & old.keys()):
        before, after = old[name].get("Properties", {}), new[name].get("Properties", {})
        touched = sorted(
            key
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
            or any(json.dumps({"Ref": p}) in json.dumps(after.get(key)) for p in changed_parameters)
        )
        if touched:
            replaced = any((new[name]["Type"], key) in REPLACES for key in touched)
            found.append(_change("Modify", name, new[name]["Type"], touched, replaced=replaced))
    return found


def _made(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    return {name: template["Resources"][name] for name in made_by(template, parameters)}


def _change(
    action: str, name: str, kind: str, touched: list[str] | None = None, *, replaced: bool = False
) -> str:
    details = "".join(
        f"<member><Target><Attribute>Properties</Attribute><Name>{each}</Name></Target></member>"
        for each in touched or ()
    )
    replacement = f"<Replacement>{replaced}</Replacement>" if touched else ""
    return (
        f"<member><Type>Resource</Type><ResourceChange><Action>{action}</Action>"
        f"<LogicalResourceId>{name}</LogicalResourceId><ResourceType>{kind}</ResourceType>"
        f"{replacement}<Details>{details}</Details></ResourceChange></member>"
    )
