"""What each role of the stack may do, as pure functions of names: job, execution, instance, GitHub.

`trust` and `trust_github` say who may take a role. What the deployer may do is in iam_deployer.py.
The template, `ocrlabel aws policy` and the table in docs/aws.md all come from here or are checked
against it. `AwsLocation` may hold real values or CloudFormation's references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ocrlabel.aws.names import (
    DEFINITION,
    GITHUB_ISSUER,
    LOG_GROUP,
    QUEUE,
    REPOSITORY,
    STACK,
    AwsLocation,
)

Statement: TypeAlias = dict[str, Any]
TASKS = "ecs-tasks.amazonaws.com"


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(
    actions: str, resources: str | Sequence[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    """One Allow statement. actions: `s3:GetObject PutObject`, the service where it changes."""
    named: list[str] = []
    for action in actions.split():
        service = "" if ":" in action else named[-1].partition(":")[0] + ":"
        named.append(f"{service}{action}")
    statement: Statement = {
        "Effect": "Allow",
        "Action": named,
        "Resource": [resources] if isinstance(resources, str) else list(resources),
    }
    if condition:
        statement["Condition"] = dict(condition)
    return statement


def job(location: AwsLocation, bucket: str) -> list[Statement]:
    """The worker: reads the bucket, writes results and checkpoints, deletes only checkpoints.

    ListBucket has no prefix condition: without the right to list, S3 answers 403 instead of 404
    for a key that is not there, and "nothing saved yet" would look like "not allowed".
    """
    return [
        allow("s3:ListBucket", location.bucket_arn(bucket)),
        allow("s3:GetObject", location.bucket_arn(bucket, "*")),
        allow(
            "s3:PutObject AbortMultipartUpload",
            [
                location.bucket_arn(bucket, "data/processed/*"),
                location.bucket_arn(bucket, "checkpoints/*"),
            ],
        ),
        allow("s3:DeleteObject", location.bucket_arn(bucket, "checkpoints/*")),
    ]


def execution(location: AwsLocation, secret: str) -> list[Statement]:
    """What ECS does before and around the worker: pull the image, inject the key, write logs."""
    return [
        allow("ecr:GetAuthorizationToken", "*"),
        allow(
            "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer",
            _repository(location),
        ),
        allow("secretsmanager:GetSecretValue", secret_arn_pattern(location, secret)),
        allow("logs:CreateLogStream PutLogEvents", _log_group(location)),
    ]


def instance(location: AwsLocation) -> list[Statement]:
    """The ECS agent on an EC2 machine: join a cluster, report, nothing about data.

    Images are pulled and logs are written with the execution role, also on EC2.
    """
    return [
        allow("ecs:DiscoverPollEndpoint", "*"),
        allow(
            """ecs:DeregisterContainerInstance Poll RegisterContainerInstance StartTelemetrySession
            SubmitAttachmentStateChanges SubmitContainerStateChange SubmitTaskStateChange
            UpdateContainerInstancesState""",
            [location.arn("ecs", "cluster/*"), location.arn("ecs", "container-instance/*")],
        ),
        allow(
            "ecs:TagResource",
            location.arn("ecs", "container-instance/*"),
            {"StringEquals": {"ecs:CreateAction": "RegisterContainerInstance"}},
        ),
    ]


def github(location: AwsLocation, bucket: str) -> list[Statement]:
    """A workflow: push the image, ask for prices, run, follow and stop jobs, fetch results."""
    definitions = [
        location.arn("batch", f"job-definition/{DEFINITION}*"),
        location.arn("batch", f"job-queue/{QUEUE}*"),
    ]
    return [
        allow("ecr:GetAuthorizationToken", "*"),
        allow(
            """ecr:BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeImages
            GetDownloadUrlForLayer InitiateLayerUpload PutImage UploadLayerPart""",
            _repository(location),
        ),
        allow("batch:RegisterJobDefinition SubmitJob", definitions),
        allow("batch:TagResource", [*definitions, location.arn("batch", "job/*")]),
        allow("batch:CancelJob TerminateJob", location.arn("batch", "job/*")),
        allow(
            """batch:DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues
            DescribeJobs ListJobs""",
            "*",
        ),
        allow(
            "iam:PassRole",
            [
                location.global_arn("iam", f"role/{STACK}-JobRole-*"),
                location.global_arn("iam", f"role/{STACK}-ExecutionRole-*"),
            ],
            {"StringEquals": {"iam:PassedToService": TASKS}},
        ),
        allow(
            "logs:DescribeLogStreams FilterLogEvents GetLogEvents",
            [location.arn("logs", f"log-group:{LOG_GROUP}"), _log_group(location)],
        ),
        allow("s3:ListBucket", location.bucket_arn(bucket)),
        allow(
            "s3:GetObject",
            [
                location.bucket_arn(bucket, "data/processed/*"),
                location.bucket_arn(bucket, "checkpoints/*"),
            ],
        ),
        allow("cloudformation:DescribeStacks", location.arn("cloudformation", f"stack/{STACK}/*")),
        # what the estimate and the look before a job ask; none can be bound to a resource
        allow(
            "ec2:DescribeRouteTables DescribeSpotPriceHistory DescribeSubnets pricing:GetProducts",
            "*",
        ),
    ]


def trust(service: str, account: str = "") -> dict[str, Any]:
    """Who may take the role: an AWS service, for this account only where it says so."""
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if account:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return document([statement])


def trust_github(
    location: AwsLocation, repository: str, environment: str, with_ids: str = ""
) -> dict[str, Any]:
    """One repository's main branch, or its approved environment, and nobody else.

    A job that names an environment has another `sub`, so both are named, by the repository's name
    and, where they are known, by its ids (github_subject.py).
    """
    provider = location.global_arn("iam", f"oidc-provider/{GITHUB_ISSUER}")
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{GITHUB_ISSUER}:aud": "sts.amazonaws.com",
                        f"{GITHUB_ISSUER}:sub": [
                            f"repo:{form}:{context}"
                            for form in filter(None, (repository, with_ids))
                            for context in ("ref:refs/heads/main", f"environment:{environment}")
                        ],
                    }
                },
            }
        ]
    )


def secret_arn_pattern(location: AwsLocation, secret: str) -> str:
    """The secret and no other: AWS ends a secret's ARN with a hyphen and six characters."""
    return location.arn("secretsmanager", f"secret:{secret}-??????")


def _repository(location: AwsLocation) -> str:
    return location.arn("ecr", f"repository/{REPOSITORY}")


def _log_group(location: AwsLocation) -> str:
    return location.arn("logs", f"log-group:{LOG_GROUP}:*")
