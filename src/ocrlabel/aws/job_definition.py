"""The job definition of AWS Batch: the worker's command, resources, time-out and retries.

batch-job-definition.json is the guide's definition with its placeholders; deploy writes it to aws/,
so that filling it in changes no file of the project. `fargate` is the same with the values of a
deployment, and `ec2` its twin for the EC2 Spot queue. `plan_definition` registers a new revision
where the newest one differs; `checked` refuses a size that AWS would refuse later. In the file:

* Tried again is what was stopped, by a signal (75: the runner's "stopped early, all is saved") or
  with its machine; nothing that could not start. Batch tries again what no rule matches, so the
  last one ends the rest (documented: "Automated job retries"; read 2026-11-28). ECS's sentence on
  Fargate Spot is the task's reason, not the container's (reproio/wrapbox#53), and so Batch's status
  reason (inferred).
* /tmp alone can be written to. Of a volume with a name and no host (the documented form on Fargate)
  owner and mode are those of the image's VOLUME at the same path, else root, 0755.
* An init process hands SIGTERM on and collects what the children leave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ocrlabel.aws.names import DEFINITIONS, AwsConfig
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import translated
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

GUIDES_DEFINITION: Final = "batch-job-definition.json"
COMMAND: Final = ("python", "-m", "runners.batch_pseudo_labels_aws")
ARCHITECTURE, VCPU, MEMORY_MIB = "X86_64", "1", "2048"
# The runner stops by itself before its time is up: Batch does not retry what ran into a time-out.
STOP_BEFORE_S: Final = 300
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
    """What differs from one job definition to the next. image: pinned by its digest."""

    config: AwsConfig
    image: str
    architecture: str = ARCHITECTURE
    vcpu: str = VCPU
    memory_mib: str = MEMORY_MIB


def file_text() -> str:
    """aws/batch-job-definition.json, with the guide's placeholders."""
    return Path(__file__).with_name(GUIDES_DEFINITION).read_text(encoding="utf-8")


def fargate(values: JobValues) -> dict[str, Any]:
    """The guide's definition: Fargate, read-only root, retried after spot losses."""
    config, text = values.config, file_text()
    for placeholder, value in {
        "<ECR_URI>:latest": values.image,
        "<JOB_ROLE_ARN>": config.job_role_arn,
        "<EXEC_ROLE_ARN>": config.exec_role_arn,
        "<SECRET_ARN>": config.secret_arn,
        "<S3_BUCKET>": config.s3_bucket,
    }.items():
        text = text.replace(f'"{placeholder}"', json.dumps(value))
    definition: dict[str, Any] = json.loads(text)
    container = definition["containerProperties"]
    container["runtimePlatform"]["cpuArchitecture"] = values.architecture
    container["resourceRequirements"] = [
        {"type": "VCPU", "value": values.vcpu},
        {"type": "MEMORY", "value": values.memory_mib},
    ]
    return definition


def ec2(values: JobValues) -> dict[str, Any]:
    """Its twin for the EC2 Spot queue: ECS sets no region there."""
    definition = fargate(values)
    container = definition["containerProperties"]
    for name in ("runtimePlatform", "networkConfiguration", "fargatePlatformConfiguration"):
        del container[name]
    container["environment"].append({"name": "AWS_REGION", "value": values.config.aws_region})
    twin = {"jobDefinitionName": DEFINITIONS[True], "platformCapabilities": ["EC2"]}
    return definition | twin


def deadline(timeout_s: int) -> dict[str, str]:
    """The variable that makes a worker save and stop (exit 75) well before its time-out."""
    return {"name": "OCRLABEL_DEADLINE", "value": str(timeout_s - STOP_BEFORE_S)}


def plan_definition(present: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[Change]:
    """A new revision where the last one is not what is wanted; AWS keeps the old ones."""
    if present is not None and covers(present, wanted):
        return []
    kind, revision = (Kind.CHANGE, int(present["revision"]) + 1) if present else (Kind.ADD, 1)
    detail = f"revision {revision}, image {wanted['containerProperties']['image']}"
    register = Call("batch", "register_job_definition", dict(checked(wanted)))
    name = str(wanted["jobDefinitionName"])
    return [Change(kind, "job definition", name, detail, (register,))]


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
        pages = batch.get_paginator("describe_job_definitions")
        found = pages.paginate(jobDefinitionName=name, status="ACTIVE").search("jobDefinitions")
        return list(found)


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
