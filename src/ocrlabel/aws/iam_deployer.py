"""What whoever deploys may do: everything from the first deploy to the last destroy.

The rights are bound to our names where AWS can do that. CloudFormation makes a stack with the
rights of its caller, so those for everything in the stack (registry, alarms, roles, network, Batch)
are the deployer's too: what the handlers of its resource types name, as far as our template needs
it (tests/unit/aws/test_handler_rights.py). All of it is too long for one managed policy.
"""

from __future__ import annotations

from ocrlabel.aws.iam import TASKS, Statement, allow, secret_arn_pattern
from ocrlabel.aws.names import GITHUB_ISSUER, LOG_GROUP, REPOSITORY, STACK, AwsLocation


def deployer(location: AwsLocation, bucket: str, secret: str) -> dict[str, list[Statement]]:
    """Its two policies by name; `ocrlabel aws policy deployer` prints them."""
    return {
        "deployer-jobs": [
            *_data(location, bucket, secret),
            *_prices_and_limits(),
            *_registry(location),
            *_jobs(location),
        ],
        "deployer-stack": [
            *_stack(location),
            *_alarms(location),
            *_roles(location),
            *_network(location),
        ],
    }


def _data(location: AwsLocation, bucket: str, secret: str) -> list[Statement]:
    return [
        allow(
            """s3:CreateBucket DeleteBucket GetBucketOwnershipControls GetBucketPolicy
            GetBucketPublicAccessBlock GetBucketTagging GetBucketVersioning
            GetEncryptionConfiguration GetLifecycleConfiguration ListBucket
            ListBucketVersions PutBucketOwnershipControls PutBucketPolicy
            PutBucketPublicAccessBlock PutBucketTagging PutBucketVersioning
            PutEncryptionConfiguration PutLifecycleConfiguration""",
            location.bucket_arn(bucket),
        ),
        allow(
            "s3:AbortMultipartUpload DeleteObject DeleteObjectVersion GetObject PutObject",
            location.bucket_arn(bucket, "*"),
        ),
        allow(
            """secretsmanager:CreateSecret DeleteSecret DescribeSecret GetSecretValue PutSecretValue
            RestoreSecret TagResource""",
            secret_arn_pattern(location, secret),
        ),
        allow(
            """logs:CreateLogGroup DescribeLogStreams FilterLogEvents GetLogEvents
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
            """ec2:DescribeSpotPriceHistory logs:DescribeLogGroups pricing:GetProducts
            servicequotas:GetServiceQuota""",
            "*",
        ),
    ]


def _stack(location: AwsLocation) -> list[Statement]:
    return [
        allow(
            """cloudformation:CreateChangeSet CreateStack DeleteChangeSet DeleteStack
            DescribeChangeSet DescribeStackEvents DescribeStackResourceDrifts DescribeStacks
            DetectStackDrift ExecuteChangeSet GetTemplate ListStackResources TagResource""",
            location.arn("cloudformation", f"stack/{STACK}/*"),
        ),
        allow("cloudformation:DescribeStackDriftDetectionStatus", "*"),
    ]


def _registry(location: AwsLocation) -> list[Statement]:
    return [
        allow(
            """ecr:BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload
            CreateRepository DeleteLifecyclePolicy DeleteRepository DeleteRepositoryPolicy
            DescribeImages DescribeRepositories GetDownloadUrlForLayer GetLifecyclePolicy
            GetRepositoryPolicy InitiateLayerUpload ListImages ListTagsForResource PutImage
            PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy
            SetRepositoryPolicy TagResource UntagResource UploadLayerPart""",
            location.arn("ecr", f"repository/{REPOSITORY}"),
        ),
        allow("ecr:GetAuthorizationToken", "*"),
    ]


def _alarms(location: AwsLocation) -> list[Statement]:
    return [
        allow(
            """events:DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule
            PutTargets RemoveTargets TagResource UntagResource""",
            location.arn("events", f"rule/{STACK}-*"),
        ),
        allow(
            """sns:CreateTopic DeleteTopic GetDataProtectionPolicy GetSubscriptionAttributes
            GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource
            PutDataProtectionPolicy SetSubscriptionAttributes SetTopicAttributes Subscribe
            TagResource Unsubscribe UntagResource""",
            location.arn("sns", f"{STACK}-*"),
        ),
        allow(
            "budgets:ListTagsForResource ModifyBudget TagResource UntagResource ViewBudget",
            location.global_arn("budgets", f"budget/{STACK}-*"),
        ),
        # the budget is of the account's own bill, which is the only view there is here
        allow("billing:GetBillingViewData", location.global_arn("billing", "billingview/*")),
        allow(
            "cloudwatch:DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
            location.arn("cloudwatch", f"alarm:{STACK}-*"),
        ),
        allow("cloudwatch:DescribeAlarms", "*"),
    ]


def _roles(location: AwsLocation) -> list[Statement]:
    ours = location.global_arn("iam", f"role/{STACK}-*")
    profile = location.global_arn("iam", f"instance-profile/{STACK}-*")
    return [
        allow(
            """iam:CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy
            ListAttachedRolePolicies ListRolePolicies PutRolePolicy TagRole UntagRole
            UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription""",
            ours,
        ),
        allow(
            """iam:AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile
            GetInstanceProfile RemoveRoleFromInstanceProfile""",
            profile,
        ),
        allow(
            "iam:PassRole",
            ours,
            {"StringEquals": {"iam:PassedToService": [TASKS, "ec2.amazonaws.com"]}},
        ),
        allow(
            "iam:CreateServiceLinkedRole",
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
            "iam:CreateOpenIDConnectProvider GetOpenIDConnectProvider TagOpenIDConnectProvider",
            location.global_arn("iam", f"oidc-provider/{GITHUB_ISSUER}"),
        ),
    ]


def _network(location: AwsLocation) -> list[Statement]:
    # ids are made by AWS, so these cannot be bound by name: bound to the region instead
    return [
        allow(
            """ec2:AssociateRouteTable AttachInternetGateway
            AuthorizeSecurityGroupEgress CreateInternetGateway CreateLaunchTemplate
            CreateLaunchTemplateVersion CreateRoute CreateRouteTable
            CreateSecurityGroup CreateSubnet CreateTags CreateVpc CreateVpcEndpoint
            DeleteInternetGateway DeleteLaunchTemplate DeleteRoute DeleteRouteTable
            DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints
            DescribeAvailabilityZones DescribeInstances DescribeInternetGateways
            DescribeLaunchTemplateVersions DescribeLaunchTemplates
            DescribeNetworkAcls DescribeNetworkInterfaces DescribeRouteTables
            DescribeSecurityGroups DescribeSubnets DescribeVpcAttribute
            DescribeVpcEncryptionControls DescribeVpcEndpoints DescribeVpcs
            DescribeVpnGateways DetachInternetGateway DisassociateRouteTable
            ModifySubnetAttribute ModifyVpcAttribute ModifyVpcEndpoint ReplaceRoute
            ReplaceRouteTableAssociation RevokeSecurityGroupEgress
            UpdateSecurityGroupRuleDescriptionsEgress""",
            "*",
            {"StringEquals": {"aws:RequestedRegion": location.region}},
        )
    ]


def _jobs(location: AwsLocation) -> list[Statement]:
    return [
        allow(
            """batch:CancelJob CreateComputeEnvironment CreateJobQueue DeleteComputeEnvironment
            DeleteJobQueue DeregisterJobDefinition RegisterJobDefinition SubmitJob
            SetCapacityTags TagResource TerminateJob UntagResource UpdateComputeEnvironment
            UpdateJobQueue""",
            location.arn("batch", "*"),
        ),
        allow(
            """batch:DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues
            DescribeJobs ListJobs ListTagsForResource""",
            "*",
        ),
    ]
