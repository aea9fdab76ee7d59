"""Deploy: look, propose a list of changes, and carry it out or discard it.

    first_deployment(wanted)              what an empty account would get, with nobody asked
    proposal = propose(aws, wanted)       only describes, and at most makes a change set
    discard(aws, proposal)                a dry run, or a no: nothing stays behind
    make(aws, wanted, proposal, tell)     the stack first, then what its jobs need

The stack goes first because it is what can fail for reasons of the account, and it cleans up
after itself; bucket, secret and log group are looked at before, so their refusals come early too.
Bucket (bucket.py), secret (secret.py) and log group are outside of it, so that they outlive it.

Options become the template's parameters in `look_choices`: what was given before and is not given
now stays, so that a second deploy without options changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ocrlabel.aws import names
from ocrlabel.aws import stack as stacks
from ocrlabel.aws.bucket import look_bucket, plan_bucket
from ocrlabel.aws.job_definition import (
    JobValues,
    look_definition,
    plan_definition,
    size_of,
    wanted_definitions,
)
from ocrlabel.aws.names import GITHUB_ISSUER, LOG_GROUP, AwsConfig, AwsLocation
from ocrlabel.aws.plan import Call, Change, Hidden, Kind, carry_out
from ocrlabel.aws.secret import look_secret, plan_secret
from ocrlabel.aws.session import Aws, AwsRefused, if_there, translated
from ocrlabel.aws.template import template
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient

RETENTION_DAYS = 30
_OUTPUTS: Final = ("RepositoryUri", "JobRoleArn", "ExecutionRoleArn", "ComputeEnvironment")
Parameters: TypeAlias = Mapping[str, str]
"""The template's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What deploy shall make. parameters are the template's; key None keeps the secret's value."""

    location: AwsLocation
    bucket: str
    secret: str
    key: Hidden | None
    parameters: Mapping[str, str]


def first_deployment(wanted: Wanted) -> tuple[Change, ...]:
    """What the first deployment into an empty account adds. Asks AWS nothing."""
    return (
        *(stacks.made_anew(None, template(), wanted.parameters) or ()),
        *plan_bucket(None, wanted.bucket, wanted.location),
        *plan_secret(None, wanted.secret, wanted.key),
        *plan_log_group(None),
    )


def propose(aws: Aws, wanted: Wanted) -> stacks.Proposal:
    """What has to change. Describes only; an update also makes a change set."""
    present = stacks.look_stack(aws.client("cloudformation"), with_template=True)
    in_stack = stacks.made_anew(present, template(), wanted.parameters)
    around = (
        *plan_bucket(
            look_bucket(aws.client("s3"), wanted.bucket, wanted.location.region),
            wanted.bucket,
            wanted.location,
        ),
        *plan_secret(
            look_secret(aws.client("secretsmanager"), wanted.secret), wanted.secret, wanted.key
        ),
        *plan_log_group(look_log_group(aws.client("logs"))),
        *_definitions(aws, wanted, present),
    )
    if in_stack is None and present and stacks.differs(present, template(), wanted.parameters):
        change_set, changes = stacks.propose_update(aws, present, template(), wanted.parameters)
        return stacks.Proposal(present, changes, around, change_set)
    return stacks.Proposal(present, tuple(in_stack or ()), around)


def discard(aws: Aws, proposal: stacks.Proposal) -> None:
    """Leave nothing behind of a proposal that is not carried out."""
    if proposal.change_set:
        stacks.discard_update(aws, proposal.change_set)


def make(
    aws: Aws, wanted: Wanted, proposal: stacks.Proposal, tell: Callable[[str], None]
) -> AwsConfig:
    """Carry it out, telling each step: what is there then, as config.env has it.

    Raises AwsRefused with the reason and the remedy, also where something is lacking then.
    """
    stack = proposal.stack
    if stack and proposal.change_set:
        stacks.update_stack(aws, stack, proposal.change_set, tell)
    elif proposal.in_stack:
        if stack:
            stacks.delete_stack(aws, stack, tell, doing="cleared away")
        stacks.create_stack(aws, template(), wanted.parameters, tell)
    carry_out(aws, proposal.around, tell)
    now = stacks.look_stack(aws.client("cloudformation"))
    found = look_secret(aws.client("secretsmanager"), wanted.secret)
    if now is None or found is None:
        thing = f"stack {names.STACK}" if now is None else f"secret {wanted.secret}"
        raise AwsRefused(f"there is no {thing}: run `ocrlabel aws deploy`")
    if lacking := [name for name in _OUTPUTS if not now.outputs.get(name)]:
        raise AwsRefused(
            f"the stack {names.STACK} does not say {', '.join(lacking)}: run `ocrlabel aws deploy`"
        )
    return _config(wanted, now.outputs, found.arn)


def _config(wanted: Wanted, outputs: Mapping[str, str], secret_arn: str) -> AwsConfig:
    return AwsConfig(
        aws_region=wanted.location.region,
        aws_account_id=wanted.location.account,
        s3_bucket=wanted.bucket,
        ecr_repository=names.REPOSITORY,
        ecr_uri=outputs["RepositoryUri"],
        secret_name=wanted.secret,
        secret_arn=secret_arn,
        job_role_arn=outputs["JobRoleArn"],
        exec_role_arn=outputs["ExecutionRoleArn"],
        batch_compute_env=outputs["ComputeEnvironment"].rsplit("/", 1)[-1],
        batch_job_queue=names.QUEUE,
        batch_job_definition=names.DEFINITION,
    )


def _definitions(aws: Aws, wanted: Wanted, stack: stacks.StackState | None) -> list[Change]:
    """Another revision where an image was registered and the settings have changed since."""
    present = look_definition(aws.client("batch"), names.DEFINITION)
    secret = look_secret(aws.client("secretsmanager"), wanted.secret)
    known = stack.outputs if stack else {}
    if present is None or secret is None or not known.keys() >= {*_OUTPUTS}:
        return []  # push-image registers the first one: there is nothing to run before it
    vcpu, memory_mib = size_of(present)
    values = JobValues(
        _config(wanted, known, secret.arn),
        present["containerProperties"]["image"],
        architecture=wanted.parameters.get("CpuArchitecture", "X86_64"),
        vcpu=vcpu,
        memory_mib=memory_mib,
    )
    with_ec2 = wanted.parameters.get("WithEc2") == "true"
    changes: list[Change] = []
    for definition in wanted_definitions(values, with_ec2=with_ec2):
        registered = look_definition(aws.client("batch"), definition["jobDefinitionName"])
        changes.extend(plan_definition(registered, definition))
    return changes


def look_choices(
    aws: Aws,
    location: AwsLocation,
    stack: stacks.StackState | None,
    given: Mapping[str, str],
    *,
    network: str | None,
    subnets: Sequence[str] = (),
) -> dict[str, str]:
    """The template's parameters, from options, the present stack, and what has to be looked up.

    given: by option. network: `default`, `own`, or None for the one of before (at first the
    default one, where there is one).
    """
    before = stack.parameters if stack else {}
    asked = network or bool(subnets) or "VpcId" not in before
    picked = _chosen_network(aws.client("ec2"), network or "auto", subnets) if asked else None
    # what this stack made must not look like somebody else's, or the update would remove it
    owned = before.get("GitHubRepository") and before.get("CreateGitHubProvider") == "true"
    repository = given.get("GitHubRepository", before.get("GitHubRepository", ""))
    # there can be only one provider in an account
    provider = f"oidc-provider/{GITHUB_ISSUER}"
    arn = f"arn:{location.partition}:iam::{location.account}:{provider}"
    exists = bool(repository and not owned) and if_there(
        "look for GitHub's OIDC provider",
        lambda: aws.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn),
        *("NoSuchEntity", "NoSuchEntityException"),
    )
    settled: dict[str, Any] = dict(before)
    if repository and not owned:
        settled.pop("CreateGitHubProvider", None)
    return _parameters(given, settled, picked, provider_exists=bool(exists))


def first_choices(
    given: Mapping[str, str], *, network: str | None, subnets: Sequence[str] = ()
) -> dict[str, str]:
    """The same for an empty account that has its default VPC. Asks AWS nothing."""
    picked = OWN if network == "own" else _network("the default VPC", subnets or ["all"])
    return _parameters(given, {}, picked, provider_exists=False)


def _parameters(
    given: Parameters,
    before: Parameters,
    network: Parameters | None,
    *,
    provider_exists: bool,
) -> dict[str, str]:
    """Every parameter's value, so that a second deploy without options changes nothing.

    given: by option. before: the present stack's. network: None keeps the one of before.
    provider_exists: the account has GitHub's OIDC provider, and this stack did not make it.
    """
    there = template()["Parameters"]
    usual = {name: str(spec.get("Default", "")) for name, spec in there.items()}
    usual["CreateGitHubProvider"] = "false" if provider_exists else "true"
    known = {name: value for name, value in before.items() if name in there}
    return {**usual, **known, **(network or {}), **given}


def _network(vpc: str, subnets: Sequence[str]) -> Parameters:
    return {"VpcId": vpc, "SubnetIds": ",".join(subnets)}


OWN: Final = _network("", ())


def _chosen_network(ec2: EC2Client, choice: str, subnets: Sequence[str]) -> Parameters:
    """By name: `default`, `own`, `auto` (default where there is one), or the subnets' own.

    Raises ConfigError.
    """
    if subnets:
        with translated(f"look at subnets {', '.join(subnets)}"):
            answer = ec2.describe_subnets(SubnetIds=list(subnets))
        vpcs = {str(subnet.get("VpcId")) for subnet in answer["Subnets"]}
        if len(vpcs) != 1:
            raise ConfigError(
                f"the subnets {', '.join(subnets)} are in {len(vpcs)} VPCs: name subnets of one"
            )
        return _network(vpcs.pop(), subnets)
    if choice == "own":
        return OWN
    found = _default_network(ec2)
    if found is None and choice == "default":
        raise ConfigError("this region has no default VPC: use --network own, or --subnets")
    return found or OWN


def _default_network(ec2: EC2Client) -> Parameters | None:
    """The account's default VPC; None where it was deleted."""
    with translated("look for the default VPC"):
        found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            return None
        vpc = str(found[0].get("VpcId"))
        answer = ec2.describe_subnets(
            Filters=[
                {"Name": "vpc-id", "Values": [vpc]},
                {"Name": "default-for-az", "Values": ["true"]},
            ]
        )
    subnets = sorted(str(subnet.get("SubnetId")) for subnet in answer["Subnets"])
    return _network(vpc, subnets) if subnets else None


def plan_log_group(present: Mapping[str, Any] | None) -> list[Change]:
    """Retention is set only where there is none: another number is somebody's choice."""
    keep = Call(
        "logs",
        "put_retention_policy",
        {"logGroupName": LOG_GROUP, "retentionInDays": RETENTION_DAYS},
    )
    if present is None:
        create = Call("logs", "create_log_group", {"logGroupName": LOG_GROUP})
        detail = f"logs kept {RETENTION_DAYS} days"
        return [Change(Kind.ADD, "log group", LOG_GROUP, detail, (create, keep))]
    if "retentionInDays" not in present:
        detail = f"logs kept {RETENTION_DAYS} days instead of for ever"
        return [Change(Kind.CHANGE, "log group", LOG_GROUP, detail, (keep,))]
    return []


def look_log_group(logs: CloudWatchLogsClient) -> Mapping[str, Any] | None:
    """The group as AWS describes it; None where there is none."""
    with translated(f"look at log group {LOG_GROUP}"):
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=LOG_GROUP)
        groups: Iterator[dict[str, Any]] = pages.search("logGroups")
        return next((group for group in groups if group["logGroupName"] == LOG_GROUP), None)
