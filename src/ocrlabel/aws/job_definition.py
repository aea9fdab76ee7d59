"""The job definition of AWS Batch: the worker's command, resources, time-out and retries.

`fargate` is the guide's definition and `ec2` the same for the EC2 Spot queue. `plan_definition`
registers a new revision where the newest one differs; `checked` refuses a size that AWS would
refuse later. `file_text` is aws/batch-job-definition.json, with the guide's placeholders; deploy
writes it, so that filling it in changes no file of the project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ocrlabel.aws.names import DEFINITION, LOG_GROUP, LOG_PREFIX, TAGS, AwsConfig, ec2_name
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import translated
from ocrlabel.errors import ConfigError
from ocrlabel.options import DATASET

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

GUIDES_DEFINITION: Final = "batch-job-definition.json"
COMMAND: Final = ("python", "-m", "runners.batch_pseudo_labels_aws")
ATTEMPTS: Final = 10
TIMEOUT_S: Final = 24 * 3600
# The runner stops by itself before its time is up: Batch does not retry what ran into a time-out.
STOP_BEFORE_S: Final = 300
RUN_AGAIN: Final = 75  # the runner's "stopped early, all is saved"
# Tried again is what was stopped, by a signal or with its machine; nothing that could not start.
# Batch tries again what no rule matches, so the last one ends the rest (documented: "Automated job
# retries"; read 2026-11-28). ECS's sentence on Fargate Spot is the task's reason, not the
# container's (reproio/wrapbox#53), and so Batch's status reason (inferred).
RETRY_RULES: Final = (
    {"onExitCode": str(RUN_AGAIN), "action": "RETRY"},
    {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
)
# Fargate's sizes: vCPUs, and the MiB that go with them
_FARGATE_MIB: Final[Mapping[str, Sequence[int]]] = {
    "0.25": (512, 1024, 2048),
    "0.5": range(1024, 4096 + 1, 1024),
    "1": range(2048, 8192 + 1, 1024),
    "2": range(4096, 16384 + 1, 1024),
    "4": range(8192, 30720 + 1, 1024),
    "8": range(16384, 61440 + 1, 4096),
    "16": range(32768, 122880 + 1, 8192),
}
_FARGATE_VCPUS: Final = ", ".join(_FARGATE_MIB)


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
        image,
        config.job_role_arn,
        config.exec_role_arn,
        config.secret_arn,
        config.s3_bucket,
        architecture,
        vcpu,
        memory_mib,
        config.aws_region,
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
        # /tmp alone can be written to. Of a volume with a name and no host (the documented form on
        # Fargate) owner and mode are those of the image's VOLUME at the same path, else root, 0755
        "readonlyRootFilesystem": True,
        "volumes": [{"name": "tmp"}],
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp", "readOnly": False}],  # noqa: S108 -- in the container
        # an init process hands SIGTERM on and collects what the children leave
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": LOG_GROUP, "awslogs-stream-prefix": LOG_PREFIX},
        },
    }


def plan_definition(present: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[Change]:
    """A new revision where the last one is not what is wanted; AWS keeps the old ones."""
    if present is not None and covers(present, wanted):
        return []
    name = str(wanted["jobDefinitionName"])
    revision = int(present["revision"]) + 1 if present else 1
    return [
        Change(
            Kind.ADD if present is None else Kind.CHANGE,
            "job definition",
            name,
            f"revision {revision}, image {wanted['containerProperties']['image']}",
            (Call("batch", "register_job_definition", dict(checked(wanted))),),
        )
    ]


def wanted_definitions(values: JobValues, *, with_ec2: bool) -> list[dict[str, Any]]:
    """The Fargate definition, and its EC2 twin where there is such a queue."""
    return [fargate(values), *([ec2(values)] if with_ec2 else [])]


def look_definition(batch: BatchClient, name: str) -> dict[str, Any] | None:
    """The newest active revision; None where there is none."""
    found = active_revisions(batch, name)
    return max(found, key=lambda definition: int(definition["revision"]), default=None)


def active_revisions(batch: BatchClient, name: str) -> list[dict[str, Any]]:
    """The revisions that were not deregistered."""
    with translated(f"look at job definition {name}"):
        return [
            dict(definition)
            for page in batch.get_paginator("describe_job_definitions").paginate(
                jobDefinitionName=name, status="ACTIVE"
            )
            for definition in page["jobDefinitions"]
        ]


def covers(present: Any, wanted: Any) -> bool:
    """Whether everything wanted is there; AWS adds empty lists and defaults of its own."""
    match wanted:
        case Mapping():
            return isinstance(present, Mapping) and all(
                key in present and covers(_as_given(present[key], key), _as_given(value, key))
                for key, value in wanted.items()
            )
        case list() | tuple():
            return (
                isinstance(present, Sequence)
                and len(present) == len(wanted)
                and all(map(covers, present, wanted))
            )
        case _:
            return bool(present == wanted)


def _as_given(value: Any, key: str) -> Any:
    """Batch takes RETRY and retry for the same, and gives either back."""
    return value.lower() if key == "action" and isinstance(value, str) else value


def size_of(definition: Mapping[str, Any]) -> tuple[str, str]:
    """A worker's vCPUs and MiB of memory."""
    listed = definition["containerProperties"]["resourceRequirements"]
    needs = {need["type"]: str(need["value"]) for need in listed}
    return needs["VCPU"], needs["MEMORY"]


def checked(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same definition. Raises ConfigError for a size that Fargate does not have."""
    if definition["platformCapabilities"] == ["FARGATE"]:
        vcpu, memory_mib = size_of(definition)
        sizes = _FARGATE_MIB.get(vcpu, ())
        if int(memory_mib) not in sizes:
            there = f"{', '.join(map(str, sizes))} MiB" if sizes else f"vCPUs: {_FARGATE_VCPUS}"
            raise ConfigError(f"Fargate has no {vcpu} vCPU with {memory_mib} MiB ({there})")
    return definition
