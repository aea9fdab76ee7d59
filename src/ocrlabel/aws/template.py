"""The stack, as a CloudFormation template: all that AWS Batch needs to run the jobs.

    registry   one ECR repository
    roles      of the job, of its start, and by choice of EC2 machines and a GitHub repository
    network    a security group that lets nothing in, and by choice a VPC of its own
    compute    a queue on Fargate Spot before Fargate, and by choice one on EC2 Spot
    alarms     a topic for failed jobs; by choice an e-mail address, a monthly budget, and an alarm
               on the OCR bill, which no budget of AWS's sees

What roles may do is in iam.py. Bucket, secret and log group are outside (deploy.py), so that they
outlive the stack; job definitions too, since every image is a new one (job_definition.py). This is
the only source of aws/stack-template.json: `make render` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ocrlabel.aws import iam, names
from ocrlabel.aws.iam import document
from ocrlabel.aws.names import GITHUB_ISSUER, QUEUE, REPOSITORY, STACK, TAGS, AwsLocation

HERE = AwsLocation("${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")
"""Account and region of the deployment, as references that CloudFormation fills in."""
NO_VALUE = {"Ref": "AWS::NoValue"}


def _text(description: str, default: str | None = "", **rules: Any) -> dict[str, Any]:
    given = {} if default is None else {"Default": default}
    return {"Type": "String", "Description": description, **given, **rules}


def _number(description: str, default: int, least: int) -> dict[str, Any]:
    return {
        "Type": "Number",
        "Description": description,
        "Default": default,
        "MinValue": least,
    }


def _switch(description: str, default: str) -> dict[str, Any]:
    return _text(description, default, AllowedValues=["true", "false"])


PARAMETERS: dict[str, dict[str, Any]] = {
    "BucketName": _text(
        "The bucket with datasets and results; made outside this stack",
        None,
        AllowedPattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    ),
    "SecretName": _text("The secret with the Upstage key; made outside this stack", names.SECRET),
    "CpuArchitecture": _text(
        "Of the image and of the EC2 machines", "X86_64", AllowedValues=["X86_64", "ARM64"]
    ),
    "MaxVcpusFargate": _number(
        "The most vCPUs of Fargate Spot, and again of Fargate on demand", 64, 1
    ),
    "WithEc2": _switch("Also an EC2 Spot queue, for the local engine", "false"),
    "MaxVcpusEc2": _number("The most vCPUs of EC2 Spot", 128, 1),
    "VpcId": _text("An existing VPC; empty for one of its own with an S3 gateway endpoint"),
    "SubnetIds": {
        "Type": "CommaDelimitedList",
        "Description": "Subnets of that VPC with a way to the internet; empty with an own VPC",
        "Default": "",
    },
    "ServiceRoleArn": _text(
        "Empty for Batch's service-linked role (updates in place need that one)"
    ),
    "NotifyEmail": _text("Who hears of failed jobs and of the budget; empty for nobody"),
    "MonthlyBudgetUsd": _number(
        "Alarms: at 80 % of it a month, and when OCR of one day costs it; 0: none", 0, 0
    ),
    "GitHubRepository": _text(
        "owner/name that may push and run through OIDC; empty for none",
        AllowedPattern="^$|^[A-Za-z0-9._-]+(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?$",
    ),
    "GitHubRepositoryWithIds": _text(
        "The same as owner@id/name@id, of immutable subjects; empty where unknown",
        AllowedPattern="^$|^[A-Za-z0-9._-]+@[0-9]+/[A-Za-z0-9._-]+@[0-9]+$",
    ),
    "GitHubEnvironment": _text(
        "The GitHub environment whose jobs are trusted beside main",
        "aws",
        AllowedPattern="^[A-Za-z0-9._-]+$",
    ),
    "CreateGitHubProvider": _switch(
        "false where the account already has GitHub's OIDC provider", "true"
    ),
}


def _is(name: str, value: str) -> dict[str, Any]:
    return {"Fn::Equals": [{"Ref": name}, value]}


def _is_not(name: str, value: str) -> dict[str, Any]:
    return {"Fn::Not": [_is(name, value)]}


CONDITIONS: dict[str, dict[str, Any]] = {
    "OwnNetwork": _is("VpcId", ""),
    "HasServiceRole": _is_not("ServiceRoleArn", ""),
    "Ec2Wanted": _is("WithEc2", "true"),
    "IsArm": _is("CpuArchitecture", "ARM64"),
    "HasEmail": _is_not("NotifyEmail", ""),
    "HasBudget": _is_not("MonthlyBudgetUsd", "0"),
    "HasGitHub": _is_not("GitHubRepository", ""),
    "HasGitHubIds": _is_not("GitHubRepositoryWithIds", ""),
    "MakeGitHubProvider": {
        "Fn::And": [_is_not("GitHubRepository", ""), _is("CreateGitHubProvider", "true")]
    },
}


def template() -> dict[str, Any]:
    """The template as a value. It names no account, no region and no secret's value."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "ocrlabel: OCR pseudo-labels with AWS Batch on Fargate Spot and EC2 Spot",
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {**_registry(), **_roles(), **_network(), **_compute(), **_alarms()},
        "Outputs": _outputs(),
    }


def _outputs() -> dict[str, Any]:
    values = {
        "RepositoryUri": _attribute("Repository", "RepositoryUri"),
        "JobRoleArn": _attribute("JobRole", "Arn"),
        "ExecutionRoleArn": _attribute("ExecutionRole", "Arn"),
        "ComputeEnvironment": _ref("FargateSpot"),
        "JobQueue": _ref("Queue"),
        "NoticesTopicArn": _ref("Notices"),
    }
    return {
        **{name: {"Value": value} for name, value in values.items()},
        "GitHubRoleArn": {"Condition": "HasGitHub", "Value": _attribute("GitHubRole", "Arn")},
    }


def body(value: Mapping[str, Any]) -> str:
    """As it is sent: CloudFormation takes at most 51,200 bytes inline."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def made_by(value: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """Logical id -> type of every resource that these parameters make, in the template's order."""
    given = {
        name: parameters.get(name, str(spec.get("Default", "")))
        for name, spec in value["Parameters"].items()
    }
    return {
        name: resource["Type"]
        for name, resource in value["Resources"].items()
        if "Condition" not in resource or _holds(value, resource["Condition"], given)
    }


def _holds(value: Mapping[str, Any], rule: Any, given: Mapping[str, str]) -> bool:
    """Whether a condition, by its name or written out, holds for these parameter values."""
    match rule:
        case str():
            return _holds(value, value["Conditions"][rule], given)
        case {"Fn::Not": [part]}:
            return not _holds(value, part, given)
        case {"Fn::And": parts}:
            return all(_holds(value, part, given) for part in parts)
        case {"Fn::Equals": [{"Ref": name}, wanted]}:
            return bool(given[name] == wanted)
        case _:
            raise ValueError(f"the template has {rule}, which is not evaluated here")


# Tags move (the guide pushes :latest again and again), job definitions are pinned by digest.
# Untagged images expire long after any job that was registered with them. Each deployment from
# GitHub leaves one with its commit's tag: of those the newest stay, and with them the one in use.
def _expiry(priority: int, description: str, **selection: Any) -> dict[str, Any]:
    return {
        "rulePriority": priority,
        "description": description,
        "selection": selection,
        "action": {"type": "expire"},
    }


_EXPIRY = {
    "rules": [
        _expiry(
            1,
            "untagged images go after 90 days",
            tagStatus="untagged",
            countType="sinceImagePushed",
            countUnit="days",
            countNumber=90,
        ),
        _expiry(
            2,
            "of tagged images the newest 30 stay",
            tagStatus="tagged",
            tagPatternList=["*"],
            countType="imageCountMoreThan",
            countNumber=30,
        ),
    ]
}


def _registry() -> dict[str, Any]:
    """One mutable repository, scanned on push; it goes with the stack, images and all."""
    repository = _made(
        "AWS::ECR::Repository",
        policy="Delete",
        RepositoryName=REPOSITORY,
        ImageTagMutability="MUTABLE",
        ImageScanningConfiguration={"ScanOnPush": True},
        EmptyOnDelete=True,
        LifecyclePolicy={"LifecyclePolicyText": json.dumps(_EXPIRY)},
    )
    return {"Repository": repository}


def _roles() -> dict[str, Any]:
    """The job's and the execution role; with conditions the instance's and GitHub's."""
    bucket, secret = "${BucketName}", "${SecretName}"
    tasks, machines = iam.trust(iam.TASKS, HERE.account), iam.trust("ec2.amazonaws.com")
    return {
        "JobRole": _role(tasks, "data", iam.job(HERE, bucket)),
        "ExecutionRole": _role(tasks, "start", iam.execution(HERE, secret)),
        "InstanceRole": _role(machines, "agent", iam.instance(HERE), "Ec2Wanted"),
        "InstanceProfile": _made(
            "AWS::IAM::InstanceProfile", "Ec2Wanted", Roles=[_ref("InstanceRole")]
        ),
        "GitHubProvider": _made(
            "AWS::IAM::OIDCProvider",
            "MakeGitHubProvider",
            policy="Retain",  # one an account, shared by every repository: not ours to delete
            Url=f"https://{GITHUB_ISSUER}",
            ClientIdList=["sts.amazonaws.com"],
        ),
        "GitHubRole": _github_role(bucket),
    }


def _github_role(bucket: str) -> dict[str, Any]:
    by_name, by_ids_too = (
        iam.trust_github(HERE, "${GitHubRepository}", "${GitHubEnvironment}", with_ids)
        for with_ids in ("", "${GitHubRepositoryWithIds}")
    )
    role = _role(by_name, "push-and-run", iam.github(HERE, bucket), "HasGitHub")
    role["Properties"]["AssumeRolePolicyDocument"] = _either(
        "HasGitHubIds", filled(by_ids_too), filled(by_name)
    )
    # a run that is followed for hours outlives the default session of one hour
    role["Properties"]["MaxSessionDuration"] = 6 * 3600
    return role


def _role(
    trust: dict[str, Any], policy: str, statements: list[iam.Statement], condition: str = ""
) -> dict[str, Any]:
    return _made(
        "AWS::IAM::Role",
        condition,
        AssumeRolePolicyDocument=filled(trust),
        Policies=[{"PolicyName": policy, "PolicyDocument": filled(document(statements))}],
    )


_ZONES = {"SubnetA": (0, "10.42.0.0/20"), "SubnetB": (1, "10.42.16.0/20")}


def _network() -> dict[str, Any]:
    """Public subnets with no way in: a NAT gateway would cost more than the compute.

    The S3 gateway endpoint is free, and keeps images and checkpoints off the internet.
    """
    vpc, gateway, table = _ref("Vpc"), _ref("InternetGateway"), _ref("RouteTable")
    route = _made(
        "AWS::EC2::Route",
        "OwnNetwork",
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway,
    )
    https = {
        "Description": "HTTPS to ECR, S3, Secrets Manager, CloudWatch and the OCR",
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "CidrIp": "0.0.0.0/0",
    }
    return {
        "Vpc": _made(
            "AWS::EC2::VPC",
            "OwnNetwork",
            CidrBlock="10.42.0.0/16",
            EnableDnsHostnames=True,
            EnableDnsSupport=True,
        ),
        "InternetGateway": _made("AWS::EC2::InternetGateway", "OwnNetwork"),
        "GatewayAttachment": _made(
            "AWS::EC2::VPCGatewayAttachment", "OwnNetwork", VpcId=vpc, InternetGatewayId=gateway
        ),
        "RouteTable": _made("AWS::EC2::RouteTable", "OwnNetwork", VpcId=vpc),
        "DefaultRoute": {"DependsOn": "GatewayAttachment", **route},
        "S3Endpoint": _made(
            "AWS::EC2::VPCEndpoint",
            "OwnNetwork",
            VpcId=vpc,
            VpcEndpointType="Gateway",
            ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
            RouteTableIds=[table],
        ),
        **_subnets(),
        "JobSecurityGroup": _made(
            "AWS::EC2::SecurityGroup",
            GroupDescription="OCR jobs: HTTPS out, nothing in",
            VpcId=_either("OwnNetwork", vpc, _ref("VpcId")),
            SecurityGroupEgress=[https],
        ),
    }


def _subnets() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, (zone, cidr) in _ZONES.items():
        made[name] = _made(
            "AWS::EC2::Subnet",
            "OwnNetwork",
            VpcId=_ref("Vpc"),
            CidrBlock=cidr,
            AvailabilityZone={"Fn::Select": [zone, {"Fn::GetAZs": ""}]},
            MapPublicIpOnLaunch=True,
        )
        made[f"{name}Route"] = _made(
            "AWS::EC2::SubnetRouteTableAssociation",
            "OwnNetwork",
            SubnetId=_ref(name),
            RouteTableId=_ref("RouteTable"),
        )
    return made


# Current families of two makers, so that Spot has pools to choose from.
_FAMILIES_X86 = ["c7i", "m7i", "c6i", "m6i", "c7a", "m7a", "c6a", "m6a"]
_FAMILIES_ARM = ["c7g", "m7g", "c6g", "m6g"]
# The Spot notice becomes SIGTERM for the containers; without this they die with the machine.
_USER_DATA = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==OCRLABEL=="

--==OCRLABEL==
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config

--==OCRLABEL==--
"""
# A job that cannot start is cancelled with a reason instead of waiting for ever.
_STUCK = [
    {
        "Action": "CANCEL",
        "State": "RUNNABLE",
        "Reason": reason,
        "MaxTimeSeconds": seconds,
    }
    for reason, seconds in (
        ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", 600),
        ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", 600),
        ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", 4 * 3600),
    )
]


def _compute() -> dict[str, Any]:
    """Names are left to CloudFormation where a change may mean a replacement."""
    fargate = {"MaxvCpus": _ref("MaxVcpusFargate")}
    template = {
        # A stolen address of a page gets no token (IMDSv2). It does not keep our containers from
        # the machine's role: Batch runs them in the host's network (documented: "Networking modes
        # for AWS Batch jobs", read 2026-11-28), so that role may only what the ECS agent must, and
        # nothing of data (iam.instance).
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "UserData": {"Fn::Base64": _USER_DATA},
    }
    return {
        "FargateSpot": _environment({"Type": "FARGATE_SPOT", **fargate}),
        "Fargate": _environment({"Type": "FARGATE", **fargate}),
        "Queue": _queue(QUEUE, ["FargateSpot", "Fargate"]),
        "Ec2LaunchTemplate": _made(
            "AWS::EC2::LaunchTemplate", "Ec2Wanted", LaunchTemplateData=template
        ),
        "Ec2Spot": _ec2_spot(),
        "QueueEc2": _queue(names.ec2_name(QUEUE), ["Ec2Spot"], "Ec2Wanted"),
    }


def _environment(
    resources: dict[str, Any], condition: str = "", **properties: Any
) -> dict[str, Any]:
    subnets = _either("OwnNetwork", [_ref("SubnetA"), _ref("SubnetB")], _ref("SubnetIds"))
    return _made(
        "AWS::Batch::ComputeEnvironment",
        condition,
        Type="MANAGED",
        State="ENABLED",
        ServiceRole=_either("HasServiceRole", _ref("ServiceRoleArn"), NO_VALUE),
        ReplaceComputeEnvironment=False,  # change in place: a replacement would stop what runs
        ComputeResources={
            **resources,
            "Subnets": subnets,
            "SecurityGroupIds": [_attribute("JobSecurityGroup", "GroupId")],
        },
        Tags=TAGS,
        **properties,
    )


def _ec2_spot() -> dict[str, Any]:
    resources = {
        "Type": "SPOT",
        "AllocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
        "MinvCpus": 0,
        "MaxvCpus": _ref("MaxVcpusEc2"),
        "InstanceRole": _attribute("InstanceProfile", "Arn"),
        "InstanceTypes": _either("IsArm", _FAMILIES_ARM, _FAMILIES_X86),
        "Ec2Configuration": [{"ImageType": "ECS_AL2023"}],
        "LaunchTemplate": {
            "LaunchTemplateId": _ref("Ec2LaunchTemplate"),
            "Version": _attribute("Ec2LaunchTemplate", "LatestVersionNumber"),
        },
        "Tags": TAGS,
    }
    update = {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 60}
    return _environment(resources, "Ec2Wanted", UpdatePolicy=update)


def _queue(name: str, environments: list[str], condition: str = "") -> dict[str, Any]:
    return _made(
        "AWS::Batch::JobQueue",
        condition,
        JobQueueName=name,
        Priority=1,
        State="ENABLED",
        ComputeEnvironmentOrder=[
            {"Order": order, "ComputeEnvironment": _ref(environment)}
            for order, environment in enumerate(environments, start=1)
        ],
        JobStateTimeLimitActions=_STUCK,
        Tags=TAGS,
    )


def _alarms() -> dict[str, Any]:
    """A topic, a rule on failed jobs of our queues, and a monthly budget by choice."""
    notices = _ref("Notices")
    publishers = [f"{service}.amazonaws.com" for service in ("events", "budgets", "cloudwatch")]
    our_queues = {"prefix": filled(HERE.arn("batch", f"job-queue/{QUEUE}"))}
    near = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80}
    told = [{"SubscriptionType": "SNS", "Address": notices}]
    return {
        "Notices": _made("AWS::SNS::Topic", TopicName=f"{STACK}-notices"),
        "NoticesPolicy": _made(
            "AWS::SNS::TopicPolicy",
            Topics=[notices],
            PolicyDocument=document([_may_publish(service) for service in publishers]),
        ),
        "NoticesEmail": _made(
            "AWS::SNS::Subscription",
            "HasEmail",
            TopicArn=notices,
            Protocol="email",
            Endpoint=_ref("NotifyEmail"),
        ),
        "FailedJobs": _made(
            "AWS::Events::Rule",
            Name=f"{STACK}-failed-jobs",
            Description="A job of our queues failed for good",
            State="ENABLED",
            EventPattern={
                "source": ["aws.batch"],
                "detail-type": ["Batch Job State Change"],
                "detail": {"status": ["FAILED"], "jobQueue": [our_queues]},
            },
            Targets=[{"Id": "notices", "Arn": notices}],
        ),
        # AWS's budget sees AWS's bill, not the OCR's: that one is what the workers say they spent
        "OcrBill": _made(
            "AWS::CloudWatch::Alarm",
            "HasBudget",
            AlarmName=f"{STACK}-ocr-bill",
            AlarmDescription="OCR of one day cost more than the monthly budget",
            Namespace="ocrlabel",
            MetricName="SpentUSD",
            Statistic="Sum",
            Period=24 * 3600,
            EvaluationPeriods=1,
            Threshold=_ref("MonthlyBudgetUsd"),
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=[notices],
        ),
        "Budget": _made(
            "AWS::Budgets::Budget",
            "HasBudget",
            Budget={
                "BudgetName": f"{STACK}-monthly",
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": _ref("MonthlyBudgetUsd"), "Unit": "USD"},
                "CostFilters": {"TagKeyValue": [f"user:Project${TAGS['Project']}"]},
            },
            NotificationsWithSubscribers=[{"Notification": near, "Subscribers": told}],
        ),
    }


def _may_publish(service: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sns:Publish",
        "Resource": _ref("Notices"),
        "Condition": {"StringEquals": {"aws:SourceAccount": _ref("AWS::AccountId")}},
    }


def _made(kind: str, condition: str = "", *, policy: str = "", **properties: Any) -> dict[str, Any]:
    """A resource. policy: what becomes of it when it leaves the stack, where that is said."""
    return {
        "Type": kind,
        **({"Condition": condition} if condition else {}),
        **({"DeletionPolicy": policy, "UpdateReplacePolicy": policy} if policy else {}),
        "Properties": properties,
    }


def _ref(name: str) -> dict[str, str]:
    """A parameter's value or a resource's own id."""
    return {"Ref": name}


def _attribute(resource: str, name: str) -> dict[str, list[str]]:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [resource, name]}


def _either(condition: str, then: Any, otherwise: Any) -> dict[str, list[Any]]:
    """One value where the condition holds, another where not."""
    return {"Fn::If": [condition, then, otherwise]}


def filled(value: Any) -> Any:
    """The same value with every string that names `${...}` filled in by CloudFormation."""
    match value:
        case str() if "${" in value:
            return {"Fn::Sub": value}
        case dict():
            return {key: filled(inner) for key, inner in value.items()}
        case list():
            return [filled(inner) for inner in value]
        case _:
            return value
