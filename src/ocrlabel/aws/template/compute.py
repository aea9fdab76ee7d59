"""Compute environments and queues: Fargate Spot before Fargate, and EC2 Spot by choice."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws import names
from ocrlabel.aws.template.functions import NO_VALUE, attribute, either, ref
from ocrlabel.aws.template.network import SECURITY_GROUPS, SUBNETS

# Current families of two makers, so that Spot has pools to choose from.
FAMILIES_X86 = ["c7i", "m7i", "c6i", "m6i", "c7a", "m7a", "c6a", "m6a"]
FAMILIES_ARM = ["c7g", "m7g", "c6g", "m6g"]

# The Spot notice becomes SIGTERM for the containers; without this they die with the machine.
USER_DATA = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==OCRLABEL=="

--==OCRLABEL==
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config

--==OCRLABEL==--
"""

# A job that cannot start is cancelled with a reason instead of waiting for ever.
STUCK = [
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


def compute() -> dict[str, Any]:
    """Names are left to CloudFormation where a change may mean a replacement."""
    return {
        "FargateSpot": _fargate("FARGATE_SPOT"),
        "Fargate": _fargate("FARGATE"),
        "Queue": _queue(names.QUEUE, ["FargateSpot", "Fargate"]),
        "Ec2LaunchTemplate": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Condition": "Ec2Wanted",
            "Properties": {
                "LaunchTemplateData": {
                    # containers must not reach the machine's own role
                    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
                    "UserData": {"Fn::Base64": USER_DATA},
                }
            },
        },
        "Ec2Spot": _ec2_spot(),
        "QueueEc2": {
            "Condition": "Ec2Wanted",
            **_queue(names.ec2_name(names.QUEUE), ["Ec2Spot"]),
        },
    }


def _environment(resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "AWS::Batch::ComputeEnvironment",
        "Properties": {
            "Type": "MANAGED",
            "State": "ENABLED",
            "ServiceRole": either("HasServiceRole", ref("ServiceRoleArn"), NO_VALUE),
            # change in place: a replacement would stop what runs
            "ReplaceComputeEnvironment": False,
            "ComputeResources": {
                **resources,
                "Subnets": SUBNETS,
                "SecurityGroupIds": SECURITY_GROUPS,
            },
            "Tags": names.TAGS,
        },
    }


def _fargate(kind: str) -> dict[str, Any]:
    return _environment({"Type": kind, "MaxvCpus": ref("MaxVcpusFargate")})


def _ec2_spot() -> dict[str, Any]:
    environment = _environment(
        {
            "Type": "SPOT",
            "AllocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "MinvCpus": 0,
            "MaxvCpus": ref("MaxVcpusEc2"),
            "InstanceRole": attribute("InstanceProfile", "Arn"),
            "InstanceTypes": either("IsArm", FAMILIES_ARM, FAMILIES_X86),
            "Ec2Configuration": [{"ImageType": "ECS_AL2023"}],
            "LaunchTemplate": {
                "LaunchTemplateId": ref("Ec2LaunchTemplate"),
                "Version": attribute("Ec2LaunchTemplate", "LatestVersionNumber"),
            },
            "Tags": names.TAGS,
        }
    )
    environment["Properties"]["UpdatePolicy"] = {
        "TerminateJobsOnUpdate": False,
        "JobExecutionTimeoutMinutes": 60,
    }
    return {"Condition": "Ec2Wanted", **environment}


def _queue(name: str, environments: list[str]) -> dict[str, Any]:
    return {
        "Type": "AWS::Batch::JobQueue",
        "Properties": {
            "JobQueueName": name,
            "Priority": 1,
            "State": "ENABLED",
            "ComputeEnvironmentOrder": [
                {"Order": order, "ComputeEnvironment": ref(environment)}
                for order, environment in enumerate(environments, start=1)
            ],
            "JobStateTimeLimitActions": STUCK,
            "Tags": names.TAGS,
        },
    }
