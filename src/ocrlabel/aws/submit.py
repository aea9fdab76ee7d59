"""One SubmitJob for a dataset: an array where there are several workers, settings as argv."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ocrlabel.aws.job_definition import COMMAND, deadline
from ocrlabel.aws.names import DEFINITION, QUEUE, TAGS, checked_dataset, ec2_name
from ocrlabel.aws.session import Aws, translated
from ocrlabel.aws.sizing import Sizing

MAX_NAME = 128


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What the runner is told; None leaves its own default."""

    dataset: str
    resume: bool = False
    fresh: bool = False
    batch_size: int | None = None
    concurrency: int | None = None
    engine: str | None = None
    rps: float | None = None
    max_cost_usd: float | None = None


def argv(settings: JobSettings) -> list[str]:
    """The worker's command, as the guide writes it."""
    command = [*COMMAND, "--dataset-name", checked_dataset(settings.dataset)]
    for flag, value in (
        ("--batch-size", settings.batch_size),
        ("--concurrency", settings.concurrency),
        ("--engine", settings.engine),
        ("--rps", settings.rps),
        ("--max-cost", settings.max_cost_usd),
    ):
        if value is not None:
            command += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    command += ["--resume"] if settings.resume else []
    command += ["--fresh"] if settings.fresh else []
    return command


def job_name(dataset: str, stamp: str) -> str:
    """As the guide names jobs: pseudo-label-DATASET-STAMP, in Batch's letters."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"pseudo-label-{dataset}-{stamp}")[:MAX_NAME]


def request(settings: JobSettings, sizing: Sizing, *, stamp: str, on_ec2: bool) -> dict[str, Any]:
    """SubmitJob's parameters."""
    return {
        "jobName": job_name(settings.dataset, stamp),
        "jobQueue": ec2_name(QUEUE) if on_ec2 else QUEUE,
        "jobDefinition": ec2_name(DEFINITION) if on_ec2 else DEFINITION,
        "containerOverrides": {
            "command": argv(settings),
            "environment": [deadline(sizing.timeout_s)],
        },
        "timeout": {"attemptDurationSeconds": sizing.timeout_s},
        "propagateTags": True,
        "tags": {**TAGS, "Dataset": settings.dataset},
        **({"arrayProperties": {"size": sizing.workers}} if sizing.workers > 1 else {}),
    }


def submit(aws: Aws, parameters: dict[str, Any]) -> str:
    """Submit it and return the job's id."""
    with translated(f"submit job {parameters['jobName']}"):
        return str(aws.client("batch").submit_job(**parameters)["jobId"])


def cancel(aws: Aws, job_id: str, reason: str) -> None:
    """Stop a job, waiting or running; an array with all of its jobs."""
    with translated(f"stop job {job_id}"):
        aws.client("batch").terminate_job(jobId=job_id, reason=reason)
