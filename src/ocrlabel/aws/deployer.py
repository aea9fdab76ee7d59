"""The rights of whoever runs `ocrlabel aws deploy`, the guide's commands, and `destroy`.

It can make roles, so it is as strong as an administrator of what those roles may reach: give it
to a person or a protected pipeline, never to a job.
"""

from __future__ import annotations

from ocrlabel.aws.names import LOG_GROUP, STACK, Place
from ocrlabel.aws.policies import Statement, allow, secret_arn_pattern
from ocrlabel.aws.stack_rights import stack_rights


def deployer(place: Place, bucket: str, secret: str) -> list[Statement]:
    """Everything from the first deploy to the last destroy, bound to our names where AWS can."""
    return [
        *_data(place, bucket, secret),
        *_prices_and_limits(),
        *_stack(place),
        *stack_rights(place),
        *_jobs(place),
    ]


def _data(place: Place, bucket: str, secret: str) -> list[Statement]:
    return [
        allow(
            [
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            place.bucket_arn(bucket),
        ),
        allow(
            [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:GetObject",
                "s3:PutObject",
            ],
            place.bucket_arn(bucket, "*"),
        ),
        allow(
            [
                "secretsmanager:CreateSecret",
                "secretsmanager:DeleteSecret",
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:RestoreSecret",
                "secretsmanager:TagResource",
            ],
            secret_arn_pattern(place, secret),
        ),
        allow(
            [
                "logs:CreateLogGroup",
                "logs:DescribeLogStreams",
                "logs:FilterLogEvents",
                "logs:GetLogEvents",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
            ],
            [
                place.arn("logs", f"log-group:{LOG_GROUP}"),
                place.arn("logs", f"log-group:{LOG_GROUP}:*"),
            ],
        ),
    ]


def _prices_and_limits() -> list[Statement]:
    return [
        allow(
            [
                "ec2:DescribeSpotPriceHistory",
                "logs:DescribeLogGroups",
                "pricing:GetProducts",
                "servicequotas:GetServiceQuota",
            ],
            "*",
        ),
    ]


def _stack(place: Place) -> list[Statement]:
    return [
        allow(
            [
                "cloudformation:CreateChangeSet",
                "cloudformation:CreateStack",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:GetTemplate",
                "cloudformation:ListStackResources",
                "cloudformation:TagResource",
            ],
            place.arn("cloudformation", f"stack/{STACK}/*"),
        ),
    ]


def _jobs(place: Place) -> list[Statement]:
    return [
        allow(
            [
                "batch:CancelJob",
                "batch:CreateComputeEnvironment",
                "batch:CreateJobQueue",
                "batch:DeleteComputeEnvironment",
                "batch:DeleteJobQueue",
                "batch:DeregisterJobDefinition",
                "batch:RegisterJobDefinition",
                "batch:SubmitJob",
                "batch:TagResource",
                "batch:TerminateJob",
                "batch:UpdateComputeEnvironment",
                "batch:UpdateJobQueue",
            ],
            place.arn("batch", "*"),
        ),
        allow(
            [
                "batch:DescribeComputeEnvironments",
                "batch:DescribeJobDefinitions",
                "batch:DescribeJobQueues",
                "batch:DescribeJobs",
                "batch:ListJobs",
                "batch:ListTagsForResource",
            ],
            "*",
        ),
    ]
