"""What whoever deploys may do: everything from the first deploy to the last destroy.

The rights are bound to our names where AWS can do that. CloudFormation makes a stack with the
rights of its caller, so those for everything in the stack (registry, alarms, roles, network, Batch)
are the deployer's too.
"""

from __future__ import annotations

from ocrlabel.aws.iam import TASKS, Statement, allow, rights, secret_arn_pattern
from ocrlabel.aws.names import GITHUB_ISSUER, LOG_GROUP, REPOSITORY, STACK, AwsLocation


def deployer(location: AwsLocation, bucket: str, secret: str) -> list[Statement]:
    """Its statements; `ocrlabel aws policy deployer` prints them."""
    return [
        *_data(location, bucket, secret),
        *_prices_and_limits(),
        *_stack(location),
        *_registry(location),
        *_alarms(location),
        *_roles(location),
        *_network(location),
        *_jobs(location),
    ]


def _data(location: AwsLocation, bucket: str, secret: str) -> list[Statement]:
    return [
        rights(
            "s3",
            """CreateBucket DeleteBucket GetBucketOwnershipControls GetBucketPolicy
            GetBucketPublicAccessBlock GetBucketTagging GetBucketVersioning
            GetEncryptionConfiguration GetLifecycleConfiguration ListBucket
            ListBucketVersions PutBucketOwnershipControls PutBucketPolicy
            PutBucketPublicAccessBlock PutBucketTagging PutBucketVersioning
            PutEncryptionConfiguration PutLifecycleConfiguration""",
            location.bucket_arn(bucket),
        ),
        rights(
            "s3",
            "AbortMultipartUpload DeleteObject DeleteObjectVersion GetObject PutObject",
            location.bucket_arn(bucket, "*"),
        ),
        rights(
            "secretsmanager",
            """CreateSecret DeleteSecret DescribeSecret GetSecretValue PutSecretValue
            RestoreSecret TagResource""",
            secret_arn_pattern(location, secret),
        ),
        rights(
            "logs",
            """CreateLogGroup DescribeLogStreams FilterLogEvents GetLogEvents
            PutRetentionPolicy TagResource""",
            [
                location.arn("logs", f"log-group:{LOG_GROUP}"),
                location.arn("logs", f"log-group:{LOG_GROUP}:*"),
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


def _stack(location: AwsLocation) -> list[Statement]:
    return [
        rights(
            "cloudformation",
            """CreateChangeSet CreateStack DeleteChangeSet DeleteStack DescribeChangeSet
            DescribeStackEvents DescribeStacks ExecuteChangeSet GetTemplate
            ListStackResources TagResource""",
            location.arn("cloudformation", f"stack/{STACK}/*"),
        ),
    ]


def _registry(location: AwsLocation) -> list[Statement]:
    return [
        rights(
            "ecr",
            """BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload
            CreateRepository DeleteLifecyclePolicy DeleteRepository DescribeImages
            DescribeRepositories GetDownloadUrlForLayer GetLifecyclePolicy
            InitiateLayerUpload ListImages ListTagsForResource PutImage
            PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy
            TagResource UploadLayerPart""",
            location.arn("ecr", f"repository/{REPOSITORY}"),
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
    ]


def _alarms(location: AwsLocation) -> list[Statement]:
    return [
        rights(
            "events",
            """DeleteRule DescribeRule ListTargetsByRule PutRule PutTargets RemoveTargets
            TagResource""",
            location.arn("events", f"rule/{STACK}-*"),
        ),
        rights(
            "sns",
            """CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic
            SetTopicAttributes Subscribe TagResource Unsubscribe""",
            location.arn("sns", f"{STACK}-*"),
        ),
        allow(
            ["budgets:ModifyBudget", "budgets:TagResource", "budgets:ViewBudget"],
            location.global_arn("budgets", f"budget/{STACK}-*"),
        ),
    ]


def _roles(location: AwsLocation) -> list[Statement]:
    ours = location.global_arn("iam", f"role/{STACK}-*")
    profile = location.global_arn("iam", f"instance-profile/{STACK}-*")
    return [
        rights(
            "iam",
            """CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy
            ListAttachedRolePolicies ListRolePolicies PutRolePolicy TagRole
            UpdateAssumeRolePolicy UpdateRole""",
            ours,
        ),
        rights(
            "iam",
            """AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile
            GetInstanceProfile RemoveRoleFromInstanceProfile""",
            profile,
        ),
        allow(
            ["iam:PassRole"],
            ours,
            {"StringEquals": {"iam:PassedToService": [TASKS, "ec2.amazonaws.com"]}},
        ),
        allow(
            ["iam:CreateServiceLinkedRole"],
            location.global_arn("iam", "role/aws-service-role/*"),
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
            location.global_arn("iam", f"oidc-provider/{GITHUB_ISSUER}"),
        ),
    ]


def _network(location: AwsLocation) -> list[Statement]:
    # ids are made by AWS, so these cannot be bound by name: bound to the region instead
    return [
        rights(
            "ec2",
            """AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress
            CreateInternetGateway CreateLaunchTemplate CreateLaunchTemplateVersion
            CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags
            CreateVpc CreateVpcEndpoint DeleteInternetGateway DeleteLaunchTemplate
            DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteVpc
            DeleteVpcEndpoints DescribeAvailabilityZones DescribeInternetGateways
            DescribeLaunchTemplateVersions DescribeLaunchTemplates DescribeRouteTables
            DescribeSecurityGroups DescribeSubnets DescribeVpcAttribute DescribeVpcEndpoints
            DescribeVpcs DetachInternetGateway DisassociateRouteTable ModifySubnetAttribute
            ModifyVpcAttribute RevokeSecurityGroupEgress""",
            "*",
            {"StringEquals": {"aws:RequestedRegion": location.region}},
        )
    ]


def _jobs(location: AwsLocation) -> list[Statement]:
    return [
        rights(
            "batch",
            """CancelJob CreateComputeEnvironment CreateJobQueue DeleteComputeEnvironment
            DeleteJobQueue DeregisterJobDefinition RegisterJobDefinition SubmitJob
            TagResource TerminateJob UpdateComputeEnvironment UpdateJobQueue""",
            location.arn("batch", "*"),
        ),
        rights(
            "batch",
            """DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues
            DescribeJobs ListJobs ListTagsForResource""",
            "*",
        ),
    ]
