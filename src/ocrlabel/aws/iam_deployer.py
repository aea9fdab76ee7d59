"""What CloudFormation does in the name of whoever deploys: make, change and delete what it has.

A stack is made with the rights of its caller, so these are rights of the deployer.
"""

from __future__ import annotations

from ocrlabel.aws.iam import TASKS, Statement, allow, secret_arn_pattern
from ocrlabel.aws.names import GITHUB_ISSUER, LOG_GROUP, REPOSITORY, STACK, Place


def stack_rights(place: Place) -> list[Statement]:
    """ECR, notices and budget, roles, and network; what Batch has is the deployer's own too."""
    return [*_registry(place), *_alarms(place), *_roles(place), *_network(place)]


def _registry(place: Place) -> list[Statement]:
    return [
        allow(
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchDeleteImage",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:CreateRepository",
                "ecr:DeleteLifecyclePolicy",
                "ecr:DeleteRepository",
                "ecr:DescribeImages",
                "ecr:DescribeRepositories",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetLifecyclePolicy",
                "ecr:InitiateLayerUpload",
                "ecr:ListImages",
                "ecr:ListTagsForResource",
                "ecr:PutImage",
                "ecr:PutImageScanningConfiguration",
                "ecr:PutImageTagMutability",
                "ecr:PutLifecyclePolicy",
                "ecr:TagResource",
                "ecr:UploadLayerPart",
            ],
            place.arn("ecr", f"repository/{REPOSITORY}"),
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
    ]


def _alarms(place: Place) -> list[Statement]:
    return [
        allow(
            [
                "events:DeleteRule",
                "events:DescribeRule",
                "events:ListTargetsByRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:TagResource",
            ],
            place.arn("events", f"rule/{STACK}-*"),
        ),
        allow(
            [
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetTopicAttributes",
                "sns:ListSubscriptionsByTopic",
                "sns:SetTopicAttributes",
                "sns:Subscribe",
                "sns:TagResource",
                "sns:Unsubscribe",
            ],
            place.arn("sns", f"{STACK}-*"),
        ),
        allow(
            ["budgets:ModifyBudget", "budgets:TagResource", "budgets:ViewBudget"],
            place.global_arn("budgets", f"budget/{STACK}-*"),
        ),
    ]


def _roles(place: Place) -> list[Statement]:
    ours = place.global_arn("iam", f"role/{STACK}-*")
    profile = place.global_arn("iam", f"instance-profile/{STACK}-*")
    return [
        allow(
            [
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:PutRolePolicy",
                "iam:TagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
            ],
            ours,
        ),
        allow(
            [
                "iam:AddRoleToInstanceProfile",
                "iam:CreateInstanceProfile",
                "iam:DeleteInstanceProfile",
                "iam:GetInstanceProfile",
                "iam:RemoveRoleFromInstanceProfile",
            ],
            profile,
        ),
        allow(
            ["iam:PassRole"],
            ours,
            {"StringEquals": {"iam:PassedToService": [TASKS, "ec2.amazonaws.com"]}},
        ),
        allow(
            ["iam:CreateServiceLinkedRole"],
            place.global_arn("iam", "role/aws-service-role/*"),
            {
                "StringEquals": {
                    "iam:AWSServiceName": [
                        "batch.amazonaws.com",
                        "ecs.amazonaws.com",
                        "spot.amazonaws.com",
                    ]
                }
            },
        ),
        allow(
            [
                "iam:CreateOpenIDConnectProvider",
                "iam:GetOpenIDConnectProvider",
                "iam:TagOpenIDConnectProvider",
            ],
            place.global_arn("iam", f"oidc-provider/{GITHUB_ISSUER}"),
        ),
    ]


def _network(place: Place) -> list[Statement]:
    # ids are made by AWS, so these cannot be bound by name: bound to the region instead
    return [
        allow(
            [
                "ec2:AssociateRouteTable",
                "ec2:AttachInternetGateway",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:CreateInternetGateway",
                "ec2:CreateLaunchTemplate",
                "ec2:CreateLaunchTemplateVersion",
                "ec2:CreateRoute",
                "ec2:CreateRouteTable",
                "ec2:CreateSecurityGroup",
                "ec2:CreateSubnet",
                "ec2:CreateTags",
                "ec2:CreateVpc",
                "ec2:CreateVpcEndpoint",
                "ec2:DeleteInternetGateway",
                "ec2:DeleteLaunchTemplate",
                "ec2:DeleteRoute",
                "ec2:DeleteRouteTable",
                "ec2:DeleteSecurityGroup",
                "ec2:DeleteSubnet",
                "ec2:DeleteVpc",
                "ec2:DeleteVpcEndpoints",
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcAttribute",
                "ec2:DescribeVpcEndpoints",
                "ec2:DescribeVpcs",
                "ec2:DetachInternetGateway",
                "ec2:DisassociateRouteTable",
                "ec2:ModifySubnetAttribute",
                "ec2:ModifyVpcAttribute",
                "ec2:RevokeSecurityGroupEgress",
            ],
            "*",
            {"StringEquals": {"aws:RequestedRegion": place.region}},
        )
    ]


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
