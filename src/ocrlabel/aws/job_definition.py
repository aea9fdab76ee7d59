"""The job definition of AWS Batch: the worker's command, resources, time-out and retries.

`fargate` is the guide's definition and `ec2` the same for the EC2 Spot queue. `plan_definition`
registers a new revision where the newest one differs; `checked` refuses beforehand what AWS would
refuse later, which cfn-lint does not look at. `file_text` is aws/batch-job-definition.json, with
the guide's placeholders; deploy writes it, so that filling it in changes no file of the project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
MAX_ATTEMPTS: Final = 10
MAX_RULES: Final = 5
MIN_TIMEOUT_S: Final = 60
EPHEMERAL_GIB: Final = (21, 200)
ARCHITECTURES: Final = ("X86_64", "ARM64")
# vCPU -> memory in MiB: (least, most, step), and what 0.25 vCPU takes.
_QUARTER: Final = (512, 1024, 2048)
_MEMORY: Final = {
    "0.5": (1024, 4096, 1024),
    "1": (2048, 8192, 1024),
    "2": (4096, 16384, 1024),
    "4": (8192, 30720, 1024),
    "8": (16384, 61440, 4096),
    "16": (32768, 122880, 8192),
}
_GLOB = re.compile(r"[^*?]*\*?\Z")
_EXIT_GLOB = re.compile(r"[0-9]*\*?\Z")


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


def checked(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same definition. Raises ConfigError with everything that is wrong with it."""
    if found := list(faults(definition)):
        raise ConfigError("AWS Batch would not take this job definition: " + "; ".join(found))
    return definition


def faults(definition: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong with it, in sentences."""
    yield from _retries(definition.get("retryStrategy", {}))
    timeout_s = definition.get("timeout", {}).get("attemptDurationSeconds", MIN_TIMEOUT_S)
    if timeout_s < MIN_TIMEOUT_S:
        yield f"a time-out of {timeout_s} s is below {MIN_TIMEOUT_S}"
    container = definition["containerProperties"]
    gib = container.get("ephemeralStorage", {}).get("sizeInGiB", EPHEMERAL_GIB[0])
    if not EPHEMERAL_GIB[0] <= gib <= EPHEMERAL_GIB[1]:
        yield f"{gib} GiB of storage are not within 21 to 200"
    platform = container.get("runtimePlatform", {}).get("cpuArchitecture", ARCHITECTURES[0])
    if platform not in ARCHITECTURES:
        yield f"there is no processor {platform}: X86_64 or ARM64"
    volumes = {volume["name"] for volume in container.get("volumes", ())}
    for mount in container.get("mountPoints", ()):
        if mount["sourceVolume"] not in volumes:
            yield f"{mount['containerPath']} is on a volume {mount['sourceVolume']!r} not defined"
    if definition.get("platformCapabilities") == ["FARGATE"]:
        yield from _fargate(container)


def _retries(strategy: Mapping[str, Any]) -> Iterator[str]:
    attempts = strategy.get("attempts", 1)
    if not 1 <= attempts <= MAX_ATTEMPTS:
        yield f"{attempts} attempts are not within 1 to {MAX_ATTEMPTS}"
    rules = strategy.get("evaluateOnExit", ())
    if len(rules) > MAX_RULES:
        yield f"{len(rules)} retry rules are more than {MAX_RULES}"
    for rule in rules:
        for field, value in rule.items():
            pattern = _EXIT_GLOB if field == "onExitCode" else _GLOB
            if field != "action" and not pattern.match(value):
                yield f"the retry rule {value!r} may have one *, at its end"


def _fargate(container: Mapping[str, Any]) -> Iterator[str]:
    if not container.get("executionRoleArn"):
        yield "Fargate needs an execution role"
    for volume in container.get("volumes", ()):
        if "host" in volume:
            yield f"Fargate has no host, and volume {volume['name']!r} names one"
    needs = {need["type"]: str(need["value"]) for need in container["resourceRequirements"]}
    vcpu, memory = needs["VCPU"], int(needs["MEMORY"])
    if not _fits(vcpu, memory):
        yield f"Fargate has no {vcpu} vCPU with {memory} MiB ({_choices(vcpu)})"


def _fits(vcpu: str, memory: int) -> bool:
    if vcpu == "0.25":
        return memory in _QUARTER
    if vcpu not in _MEMORY:
        return False
    least, most, step = _MEMORY[vcpu]
    return least <= memory <= most and memory % step == 0


def _choices(vcpu: str) -> str:
    if vcpu not in _MEMORY:
        return "vCPUs: 0.25, 0.5, 1, 2, 4, 8, 16"
    least, most, step = _MEMORY[vcpu]
    return f"{least} to {most} MiB in steps of {step}"
