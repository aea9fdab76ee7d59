"""Jobs as Batch lists and describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from ocrlabel.aws.session import Aws, said, translated
from ocrlabel.errors import ConfigError

ACTIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
ENDED = ("SUCCEEDED", "FAILED")
DESCRIBE_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a job. Times are Unix seconds, None where it never got so far."""

    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    stream: str = ""
    started_s: float | None = None
    stopped_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job, or a whole array of them. children counts an array's jobs by status."""

    id: str
    name: str
    status: str
    reason: str = ""
    queue: str = ""
    created_s: float | None = None
    started_s: float | None = None
    stopped_s: float | None = None
    tries: tuple[Try, ...] = ()
    children: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    index: int | None = None
    vcpu: float = 0.0
    memory_mib: float = 0.0
    command: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """No further attempt will be made."""
        return self.status in ENDED


def to_job(answer: Mapping[str, Any]) -> Job:
    """One of describe-jobs' or list-jobs' answers."""
    container = answer.get("container") or {}
    array = answer.get("arrayProperties") or {}
    tries = [_to_try(each) for each in answer.get("attempts", ())]
    if container and not any(each.stream == container.get("logStreamName") for each in tries):
        # the attempt that is running is described by the job itself
        tries.append(_to_try({**answer, "container": container}))
    needs = {need["type"]: need["value"] for need in container.get("resourceRequirements", ())}
    return Job(
        id=str(answer["jobId"]),
        name=str(answer.get("jobName", "")),
        status=str(answer.get("status", "")),
        reason=str(answer.get("statusReason") or ""),
        queue=str(answer.get("jobQueue", "")).rsplit("/", 1)[-1],
        created_s=_seconds(answer.get("createdAt")),
        started_s=_seconds(answer.get("startedAt")),
        stopped_s=_seconds(answer.get("stoppedAt")),
        tries=tuple(tries),
        children={key: int(n) for key, n in (array.get("statusSummary") or {}).items() if n},
        size=int(array.get("size") or 0),
        index=array.get("index"),
        vcpu=float(needs.get("VCPU", container.get("vcpus") or 0)),
        memory_mib=float(needs.get("MEMORY", container.get("memory") or 0)),
        command=tuple(container.get("command", ())),
    )


def _to_try(answer: Mapping[str, Any]) -> Try:
    container = answer.get("container") or {}
    return Try(
        exit_code=container.get("exitCode"),
        reason=str(container.get("reason") or ""),
        status_reason=str(answer.get("statusReason") or ""),
        stream=str(container.get("logStreamName") or ""),
        started_s=_seconds(answer.get("startedAt")),
        stopped_s=_seconds(answer.get("stoppedAt")),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None


def describe(aws: Aws, ids: Sequence[str]) -> list[Job]:
    """These jobs, those that Batch knows; just after SubmitJob that may be none yet."""
    found: list[Job] = []
    for start in range(0, len(ids), DESCRIBE_AT_ONCE):
        with translated("describe jobs"):
            answer = aws.client("batch").describe_jobs(jobs=ids[start : start + DESCRIBE_AT_ONCE])
        found.extend(map(to_job, answer["jobs"]))
    return found


def known(aws: Aws, job_id: str) -> Job:
    """This job. Raises ConfigError where Batch knows none of that id."""
    found = describe(aws, [job_id])
    if not found:
        raise ConfigError(
            f"AWS Batch knows no job {job_id}: it forgets jobs 7 days after their end; "
            "`ocrlabel aws status` lists those it knows"
        )
    return found[0]


def children(aws: Aws, job: Job, only: Iterable[str] = ()) -> list[Job]:
    """An array's jobs, or those with one of these statuses, described; one that is none: itself."""
    if not job.size:
        return [job]
    wanted = set(only)
    if not wanted:
        return describe(aws, [f"{job.id}:{index}" for index in range(job.size)])
    ids: list[str] = []
    for status in sorted(wanted):
        with translated("list an array's jobs"):
            pages = aws.client("batch").get_paginator("list_jobs")
            for page in pages.paginate(arrayJobId=job.id, jobStatus=status):
                ids.extend(each["jobId"] for each in page["jobSummaryList"])
    return describe(aws, ids)


def jobs_in(aws: Aws, queue: str, statuses: Iterable[str]) -> list[Job]:
    """A queue's jobs of these statuses; none where there is no such queue."""
    found: list[Job] = []
    for status in statuses:
        with translated(f"list the jobs of {queue}"):
            try:
                pages = aws.client("batch").get_paginator("list_jobs")
                for page in pages.paginate(jobQueue=queue, jobStatus=status):
                    found.extend(to_job({"jobQueue": queue, **e}) for e in page["jobSummaryList"])
            except ClientError as error:
                if "does not exist" in said(error) or "not found" in said(error).lower():
                    return []
                raise
    return found
