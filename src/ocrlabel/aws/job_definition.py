"""The job definition, in one place: for the guide's file, for `register` and for the -ec2 twin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ocrlabel.aws.config_env import AwsConfig
from ocrlabel.aws.names import DEFINITION, LOG_GROUP, LOG_PREFIX, TAGS, ec2_name

COMMAND: Final = ("python", "-m", "runners.batch_pseudo_labels_aws")
DATASET: Final = "baseline_train"
ATTEMPTS: Final = 10
TIMEOUT_S: Final = 24 * 3600
# The runner stops by itself before its time is up: Batch does not retry what ran into a time-out.
STOP_BEFORE_S: Final = 300
RUN_AGAIN: Final = 75  # the runner's "stopped early, all is saved"

# What matches nothing is tried again: host loss, capacity, an image that could not be pulled.
RETRY_RULES: Final = (
    {"onExitCode": str(RUN_AGAIN), "action": "RETRY"},
    {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
    {"onReason": "OutOfMemoryError*", "action": "EXIT"},
    {"onStatusReason": "Essential container in task exited*", "action": "EXIT"},
)


@dataclass(frozen=True, slots=True)
class JobValues:
    """What differs from one deployment to the next; for the guide's file its placeholders."""

    image: str
    job_role_arn: str
    execution_role_arn: str
    secret_arn: str
    bucket: str
    architecture: str = "X86_64"
    vcpu: str = "1"
    memory_mib: str = "2048"
    region: str = ""


PLACEHOLDERS: Final = JobValues(
    image="<ECR_URI>:latest",
    job_role_arn="<JOB_ROLE_ARN>",
    execution_role_arn="<EXEC_ROLE_ARN>",
    secret_arn="<SECRET_ARN>",  # noqa: S106 -- a placeholder
    bucket="<S3_BUCKET>",
)


def values_of(
    config: AwsConfig, image: str, *, architecture: str, vcpu: str, memory_mib: str
) -> JobValues:
    """The values of a deployed stack; image is pinned by its digest."""
    return JobValues(
        image=image,
        job_role_arn=config.job_role_arn,
        execution_role_arn=config.exec_role_arn,
        secret_arn=config.secret_arn,
        bucket=config.s3_bucket,
        architecture=architecture,
        vcpu=vcpu,
        memory_mib=memory_mib,
        region=config.aws_region,
    )


def fargate(values: JobValues) -> dict[str, Any]:
    """The guide's definition: Fargate, read-only root, retried after spot losses."""
    return {
        **_common(DEFINITION),
        "platformCapabilities": ["FARGATE"],
        "containerProperties": {
            **_container(values),
            "runtimePlatform": {
                "operatingSystemFamily": "LINUX",
                "cpuArchitecture": values.architecture,
            },
            "networkConfiguration": {"assignPublicIp": "ENABLED"},
            "fargatePlatformConfiguration": {"platformVersion": "LATEST"},
        },
    }


def ec2(values: JobValues) -> dict[str, Any]:
    """Its twin for the EC2 Spot queue: ECS sets no region there."""
    container = _container(values)
    if values.region:
        container["environment"].append({"name": "AWS_REGION", "value": values.region})
    return {
        **_common(ec2_name(DEFINITION)),
        "platformCapabilities": ["EC2"],
        "containerProperties": container,
    }


def deadline(timeout_s: int) -> dict[str, str]:
    """The variable that makes a worker save and stop (exit 75) well before its time-out."""
    return {"name": "OCRLABEL_DEADLINE", "value": str(timeout_s - STOP_BEFORE_S)}


def file_text() -> str:
    """aws/batch-job-definition.json, with the guide's placeholders."""
    return json.dumps(fargate(PLACEHOLDERS), indent=2) + "\n"


def _common(name: str) -> dict[str, Any]:
    return {
        "jobDefinitionName": name,
        "type": "container",
        "propagateTags": True,
        "tags": dict(TAGS),
        "retryStrategy": {
            "attempts": ATTEMPTS,
            "evaluateOnExit": [dict(rule) for rule in RETRY_RULES],
        },
        "timeout": {"attemptDurationSeconds": TIMEOUT_S},
    }


def _container(values: JobValues) -> dict[str, Any]:
    return {
        "image": values.image,
        "command": list(COMMAND),
        "jobRoleArn": values.job_role_arn,
        "executionRoleArn": values.execution_role_arn,
        "resourceRequirements": [
            {"type": "VCPU", "value": values.vcpu},
            {"type": "MEMORY", "value": values.memory_mib},
        ],
        "environment": [
            {"name": "S3_BUCKET", "value": values.bucket},
            {"name": "DATASET_NAME", "value": DATASET},
            deadline(TIMEOUT_S),
        ],
        "secrets": [{"name": "UPSTAGE_API_KEY", "valueFrom": values.secret_arn}],
        # the image declares /tmp as a volume, the only place that can be written to
        "readonlyRootFilesystem": True,
        # an init process hands SIGTERM on and collects what the children leave
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": LOG_GROUP, "awslogs-stream-prefix": LOG_PREFIX},
        },
    }
