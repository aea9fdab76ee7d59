"""Deploy: look, propose a list of changes, and carry it out or discard it.

    first(wanted)                         what an empty account would get, with nobody asked
    proposal = propose(aws, wanted)       only describes, and at most makes a change set
    discard(aws, proposal)                a dry run, or a no: nothing stays behind
    make(aws, wanted, proposal, tell)     the stack first, then what its jobs need

The stack goes first because it is what can fail for reasons of the account, and it cleans up
after itself; bucket, secret and log group are looked at before, so their refusals come early too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ocrlabel.aws import change_set as change_sets
from ocrlabel.aws import names
from ocrlabel.aws.bucket import look_bucket, plan_bucket
from ocrlabel.aws.config_env import AwsConfig
from ocrlabel.aws.definitions import look_definition, plan_definition, wanted_definitions
from ocrlabel.aws.follow import delete_stack, events_so_far, follow, refusal
from ocrlabel.aws.job_definition import JobValues
from ocrlabel.aws.log_group import look_log_group, plan_log_group
from ocrlabel.aws.plan import Change, Hidden, carry_out
from ocrlabel.aws.secret import SecretState, look_secret, plan_secret
from ocrlabel.aws.session import Aws, AwsRefused, translated
from ocrlabel.aws.stack import StackPlan, StackState, create_call, look_stack, plan_stack
from ocrlabel.aws.template.whole import template


@dataclass(frozen=True, slots=True)
class Wanted:
    """What deploy shall make. parameters are the template's; key None keeps the secret's value."""

    place: names.Place
    bucket: str
    secret: str
    key: Hidden | None
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The changes, and what CloudFormation keeps for them until they are made or discarded."""

    changes: tuple[Change, ...]
    around: tuple[Change, ...]
    stack: StackState | None
    stack_plan: StackPlan
    change_set: str = ""


def first(wanted: Wanted) -> tuple[Change, ...]:
    """What the first deployment into an empty account adds. Asks AWS nothing."""
    return (
        *plan_stack(None, template(), wanted.parameters).changes,
        *plan_bucket(None, wanted.bucket, wanted.place),
        *plan_secret(None, wanted.secret, wanted.key),
        *plan_log_group(None),
    )


def propose(aws: Aws, wanted: Wanted) -> Proposal:
    """What has to change. Describes only; an update also makes a change set."""
    present = look_stack(aws.client("cloudformation"), with_template=True)
    plan = plan_stack(present, template(), wanted.parameters)
    around = [
        *plan_bucket(
            look_bucket(aws.client("s3"), wanted.bucket, wanted.place.region),
            wanted.bucket,
            wanted.place,
        ),
        *plan_secret(
            look_secret(aws.client("secretsmanager"), wanted.secret), wanted.secret, wanted.key
        ),
        *plan_log_group(look_log_group(aws.client("logs"))),
        *_definitions(aws, wanted, present),
    ]
    stack_changes, made = plan.changes, None
    if plan.update and present is not None:
        made = change_sets.propose_update(aws, present, template(), wanted.parameters)
        stack_changes = made.changes if made else ()
    return Proposal(
        changes=(*stack_changes, *around),
        around=tuple(around),
        stack=present,
        stack_plan=plan,
        change_set=made.id if made else "",
    )


def discard(aws: Aws, proposal: Proposal) -> None:
    """Leave nothing behind of a proposal that is not carried out."""
    if proposal.change_set:
        change_sets.discard(aws, proposal.change_set)


def make(aws: Aws, wanted: Wanted, proposal: Proposal, tell: Callable[[str], None]) -> AwsConfig:
    """Carry it out, telling each step. Raises AwsRefused with the reason and the remedy."""
    if proposal.stack_plan.first_delete and proposal.stack:
        _delete_leftover(aws, proposal.stack, tell)
    if proposal.stack_plan.create:
        _create(aws, wanted, tell)
    elif proposal.change_set and proposal.stack:
        _update(aws, proposal.stack, proposal.change_set, tell)
    carry_out(aws, proposal.around, tell)
    return deployed(aws, wanted.place, wanted.bucket, wanted.secret)


def deployed(aws: Aws, place: names.Place, bucket: str, secret: str) -> AwsConfig:
    """What is there now, as config.env has it. Raises AwsRefused where something is lacking."""
    stack = look_stack(aws.client("cloudformation"))
    found = look_secret(aws.client("secretsmanager"), secret)
    if stack is None or found is None:
        lacking = f"stack {names.STACK}" if stack is None else f"secret {secret}"
        raise AwsRefused(f"there is no {lacking}: run `ocrlabel aws deploy`")
    return config_of(place, bucket, found, secret, stack.outputs)


def config_of(
    place: names.Place,
    bucket: str,
    secret: SecretState,
    secret_name: str,
    outputs: Mapping[str, str],
) -> AwsConfig:
    """config.env's values from a stack's outputs. Raises AwsRefused naming what is lacking."""
    lacking = [
        name
        for name in ("RepositoryUri", "JobRoleArn", "ExecutionRoleArn", "ComputeEnvironment")
        if not outputs.get(name)
    ]
    if lacking:
        raise AwsRefused(
            f"the stack {names.STACK} does not say {', '.join(lacking)}: run `ocrlabel aws deploy`"
        )
    return AwsConfig(
        aws_region=place.region,
        aws_account_id=place.account,
        s3_bucket=bucket,
        ecr_repository=names.REPOSITORY,
        ecr_uri=outputs["RepositoryUri"],
        secret_name=secret_name,
        secret_arn=secret.arn,
        job_role_arn=outputs["JobRoleArn"],
        exec_role_arn=outputs["ExecutionRoleArn"],
        batch_compute_env=outputs["ComputeEnvironment"].rsplit("/", 1)[-1],
        batch_job_queue=names.QUEUE,
        batch_job_definition=names.DEFINITION,
    )


def _definitions(aws: Aws, wanted: Wanted, stack: StackState | None) -> list[Change]:
    """Another revision where an image was registered and the settings have changed since."""
    present = look_definition(aws.client("batch"), names.DEFINITION)
    secret = look_secret(aws.client("secretsmanager"), wanted.secret)
    if present is None or stack is None or secret is None or "JobRoleArn" not in stack.outputs:
        return []  # push-image registers the first one: there is nothing to run before it
    values = JobValues(
        image=present["containerProperties"]["image"],
        job_role_arn=stack.outputs["JobRoleArn"],
        execution_role_arn=stack.outputs["ExecutionRoleArn"],
        secret_arn=secret.arn,
        bucket=wanted.bucket,
        architecture=wanted.parameters.get("CpuArchitecture", "X86_64"),
        region=wanted.place.region,
    )
    with_ec2 = wanted.parameters.get("WithEc2") == "true"
    changes: list[Change] = []
    for definition in wanted_definitions(values, with_ec2=with_ec2):
        name = definition["jobDefinitionName"]
        registered = present if name == names.DEFINITION else _registered(aws, name)
        changes.extend(plan_definition(registered, definition))
    return changes


def _registered(aws: Aws, name: str) -> dict[str, Any] | None:
    return look_definition(aws.client("batch"), name)


def _create(aws: Aws, wanted: Wanted, tell: Callable[[str], None]) -> None:
    call = create_call(template(), wanted.parameters)
    with translated(f"create stack {names.STACK}"):
        made = getattr(aws.client(call.service), call.method)(**call.parameters)
    ended = follow(aws, made["StackId"], tell)
    if ended.status != "CREATE_COMPLETE":
        raise refusal(ended, "created")


def _update(aws: Aws, stack: StackState, change_set: str, tell: Callable[[str], None]) -> None:
    before = events_so_far(aws, stack.id)
    change_sets.execute(aws, change_set)
    ended = follow(aws, stack.id, tell, before=before)
    if ended.status != "UPDATE_COMPLETE":
        raise refusal(ended, "updated")


def _delete_leftover(aws: Aws, stack: StackState, tell: Callable[[str], None]) -> None:
    ended = delete_stack(aws, stack, tell)
    if ended.status != "DELETE_COMPLETE":
        raise refusal(ended, "cleared away")
