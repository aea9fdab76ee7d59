"""Jobs of AWS Batch: sizing, submitting, watching, describing and stopping them.

A job is an array where several workers help; each of them is a job of its own, `id:index`. What
they wrote is fetched by `download`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ocrlabel.aws.job_definition import COMMAND, deadline
from ocrlabel.aws.names import DEFINITIONS, QUEUES, TAGS, checked_dataset
from ocrlabel.aws.session import Aws, AwsRefused, if_there, pauses_s, reason, translated
from ocrlabel.errors import ConfigError
from ocrlabel.options import SLICE_ROWS, argv

ACTIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
ENDED = ("SUCCEEDED", "FAILED")
DESCRIBE_AT_ONCE = 100
MAX_NAME = 128
# just after submit-job, describe-jobs may answer with no jobs: for this long it is no error
UNSEEN_S = 120.0
LABELS: Final = "_pseudo_labels.parquet"
TABLES: Final = (LABELS, "_failures.parquet", "_run.json")
RESULTS: Final = (*TABLES, "_report.html")
# what a run that ended early, or labelled a part of the rows, writes instead
PARTIAL: Final = ("_pseudo_labels_partial.parquet", "_failures_partial.parquet", "_run.json")
MAX_ARRAY: Final = 10_000
MAX_TIMEOUT_S: Final = 24 * 3600
MIN_TIMEOUT_S: Final = 15 * 60  # pulling the image and a slow start are in it
WORKER_REQUESTS_PER_S: Final = 20.0  # a cautious figure for one vCPU that reads, sends and saves
# On two cores, measured 2026-11-23 over 55 photographed, scanned and printed pages: rapidocr 3.10
# 0.75 images/s, tesseract 5.3 with Korean 1.03 on each core.
LOCAL_SECONDS_PER_IMAGE: Final = {"rapidocr": 1.4, "tesseract": 0.49}
LOCAL_VCPUS: Final = 2
LOCAL_MEMORY_MIB: Final = 4096
LOCAL_AIM_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class JobAttempt:
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
    attempts: tuple[JobAttempt, ...] = ()
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


@dataclass(frozen=True, slots=True)
class Sizing:
    """Workers, expected seconds, the time-out of each attempt, and why."""

    workers: int
    seconds: float
    timeout_s: int
    why: str


def for_service(rows: int, *, requests_per_s: float, workers: int | None = None) -> Sizing:
    """A service limits the fleet as a whole: more workers than fill its rate add nothing."""
    enough = max(1, math.ceil(requests_per_s / WORKER_REQUESTS_PER_S))
    chosen = _chosen(workers, rows, enough)
    why = (
        f"{'one worker saturates' if enough == 1 else f'{enough} workers saturate'} "
        f"{requests_per_s:g} requests/s"
    )
    if chosen > enough:
        why += f"; {chosen} share that rate, so they are not faster, only safer against spot losses"
    return _sized(chosen, rows / requests_per_s, why)


def for_local(rows: int, engine: str, *, max_workers: int, workers: int | None = None) -> Sizing:
    """A local engine is as fast as its cores: enough workers to be done in about an hour."""
    work_s = local_seconds(rows, engine, vcpu=LOCAL_VCPUS)
    enough = max(1, min(math.ceil(work_s / LOCAL_AIM_S), max_workers))
    chosen = _chosen(workers, rows, enough)
    why = f"{work_s / 3600:.1f} hours of reading on two vCPUs, over {chosen} workers"
    return _sized(chosen, work_s / chosen, why)


def local_seconds(rows: int, engine: str, *, vcpu: float) -> float:
    """How long one worker of so many vCPUs reads."""
    return rows * LOCAL_SECONDS_PER_IMAGE[engine] * LOCAL_VCPUS / vcpu


def _chosen(workers: int | None, rows: int, enough: int) -> int:
    most = max(1, min(MAX_ARRAY, math.ceil(rows / SLICE_ROWS)))
    if workers is None:
        return min(enough, most)
    if not 1 <= workers <= MAX_ARRAY:
        raise ConfigError(f"--workers {workers}: AWS Batch takes 1 to {MAX_ARRAY:,} of them")
    if workers > most:
        raise ConfigError(
            f"--workers {workers}: {rows:,} rows are {most} slices of {SLICE_ROWS}, so at "
            f"most {most} workers have something to do"
        )
    return workers


def _sized(workers: int, seconds: float, why: str) -> Sizing:
    timeout_s = min(MAX_TIMEOUT_S, max(MIN_TIMEOUT_S, math.ceil(3 * seconds)))
    return Sizing(workers, seconds, timeout_s, why)


def submit(aws: Aws, parameters: dict[str, Any]) -> str:
    """Submit it and return the job's id."""
    with translated(f"submit job {parameters['jobName']}"):
        return str(aws.client("batch").submit_job(**parameters)["jobId"])


def request(
    dataset: str, given: Mapping[str, Any], sizing: Sizing, *, stamp: str, on_ec2: bool
) -> dict[str, Any]:
    """SubmitJob's parameters."""
    return {
        "jobName": job_name(dataset, stamp),
        "jobQueue": QUEUES[on_ec2],
        "jobDefinition": DEFINITIONS[on_ec2],
        "containerOverrides": {
            "command": command(dataset, given),
            "environment": [deadline(sizing.timeout_s)],
        },
        "timeout": {"attemptDurationSeconds": sizing.timeout_s},
        "propagateTags": True,
        "tags": {**TAGS, "Dataset": dataset},
        **({"arrayProperties": {"size": sizing.workers}} if sizing.workers > 1 else {}),
    }


def command(dataset: str, given: Mapping[str, Any]) -> list[str]:
    """The worker's command, as the guide writes it; given: options for the runner."""
    # with a key a worker takes this engine anyway, and without one it says so
    options = {
        name: value for name, value in given.items() if (name, value) != ("engine", "upstage")
    }
    return [*COMMAND, "--dataset-name", checked_dataset(dataset), *argv(options)]


def job_name(dataset: str, stamp: str) -> str:
    """As the guide names jobs: pseudo-label-DATASET-STAMP, in Batch's letters."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"pseudo-label-{dataset}-{stamp}")[:MAX_NAME]


def cancel(aws: Aws, job_id: str, reason: str) -> None:
    """Stop a job, waiting or running; an array with all of its jobs."""
    with translated(f"stop job {job_id}"):
        aws.client("batch").terminate_job(jobId=job_id, reason=reason)


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
        raise ConfigError(unknown(job_id))
    return found[0]


def unknown(job_id: str) -> str:
    """The sentence on a job that Batch does not know."""
    return (
        f"AWS Batch knows no job {job_id}: it forgets jobs 7 days after their end\n"
        "  `ocrlabel aws status` lists those it knows"
    )


def children(aws: Aws, job: Job, only: str = "") -> list[Job]:
    """An array's jobs, or those with this status, described; one that is none: itself."""
    if not job.size:
        return [job]
    if not only:
        return describe(aws, [f"{job.id}:{index}" for index in range(job.size)])
    with translated("list an array's jobs"):
        listed = [each["jobId"] for each in _listed(aws, arrayJobId=job.id, jobStatus=only)]
    return describe(aws, listed)


def jobs_in(aws: Aws, queue: str, statuses: Iterable[str]) -> list[Job]:
    """A queue's jobs of these statuses; none where there is no such queue."""
    found: list[Job] = []
    for status in statuses:
        with translated(f"list the jobs of {queue}"):
            try:
                listed = list(_listed(aws, jobQueue=queue, jobStatus=status))
            except aws.client("batch").exceptions.ClientError as error:
                if "does not exist" in reason(error) or "not found" in reason(error).lower():
                    return []
                raise
        found.extend(to_job({"jobQueue": queue, **each}) for each in listed)
    return found


def last_ended(aws: Aws, queues: Iterable[str], dataset: str) -> Job | None:
    """The newest job of a dataset that has ended; Batch knows it for a week."""
    name = re.compile(re.escape(job_name(dataset, "")) + r"\d{8}-\d{6}")
    found = [each for queue in queues for each in jobs_in(aws, queue, ENDED)]
    ended = [each for each in found if name.fullmatch(each.name)]
    return max(ended, key=lambda each: each.name, default=None)


def _listed(aws: Aws, **wanted: Any) -> Iterator[Mapping[str, Any]]:
    pages = aws.client("batch").get_paginator("list_jobs").paginate(**wanted)
    found: Iterator[Mapping[str, Any]] = pages.search("jobSummaryList")
    return found


def to_job(answer: Mapping[str, Any]) -> Job:
    """One of describe-jobs' or list-jobs' answers."""
    container = answer.get("container") or {}
    array = answer.get("arrayProperties") or {}
    attempts = [_to_attempt(each) for each in answer.get("attempts", ())]
    if container and not any(each.stream == container.get("logStreamName") for each in attempts):
        # the attempt that is running is described by the job itself
        attempts.append(_to_attempt({**answer, "container": container}))
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
        attempts=tuple(attempts),
        children={key: int(n) for key, n in (array.get("statusSummary") or {}).items() if n},
        size=int(array.get("size") or 0),
        index=array.get("index"),
        vcpu=float(needs.get("VCPU", container.get("vcpus") or 0)),
        memory_mib=float(needs.get("MEMORY", container.get("memory") or 0)),
        command=tuple(container.get("command", ())),
    )


def _to_attempt(answer: Mapping[str, Any]) -> JobAttempt:
    container = answer.get("container") or {}
    return JobAttempt(
        exit_code=container.get("exitCode"),
        reason=str(container.get("reason") or ""),
        status_reason=str(answer.get("statusReason") or ""),
        stream=str(container.get("logStreamName") or ""),
        started_s=_seconds(answer.get("startedAt")),
        stopped_s=_seconds(answer.get("stoppedAt")),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None


def watch(
    aws: Aws,
    job_id: str,
    progress: Callable[[], str],
    tell: Callable[[str], None],
    *,
    until_s: float | None = None,
) -> Job:
    """Tell what is new until the job ends, or until the clock says until_s; the job as last seen.

    progress gives one line on the work done, or "" where nothing is known yet. Raises AwsRefused
    where Batch knows no such job.
    """
    since_s = aws.now_s()
    last = ""
    job: Job | None = None
    for pause_s in pauses_s(2.0, 15.0):
        seen = describe(aws, [job_id])
        job = seen[0] if seen else job
        if job is None and aws.now_s() - since_s > UNSEEN_S:
            raise AwsRefused(unknown(job_id))
        line = line_of(job, progress()) if job else "submitted, not listed yet"
        if line != last:
            tell(line)
            last = line
        if job is not None and (job.ended or (until_s is not None and aws.now_s() >= until_s)):
            return job
        aws.sleep(pause_s)
    raise AssertionError


def line_of(job: Job, progress: str) -> str:
    """One line: the job's state, its array's, how often it was tried, what is done."""
    parts = [job.status]
    if job.children:
        parts.append(", ".join(f"{n} {status.lower()}" for status, n in job.children.items()))
    if len(job.attempts) > 1:
        parts.append(f"attempt {len(job.attempts)}")
    if job.reason and job.status != "RUNNING":
        parts.append(job.reason)
    return " · ".join([*parts, *([progress] if progress else [])])


def download(
    aws: Aws, bucket: str, dataset: str, folder: Path, endings: Sequence[str] = RESULTS
) -> list[Path]:
    """Labels, failures, numbers and report, as far as they are there; or these endings' files.

    Of a run that is not finished the partial tables, where it has written them. A file appears
    under its name only when it is whole. Raises ConfigError without labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = f"data/processed/{checked_dataset(dataset)}"
    labels = _fetch(aws, bucket, f"{table}{endings[0]}", folder)
    if labels is None and endings[0] == LABELS:
        endings = (*PARTIAL, "_report_partial.html")
        labels = _fetch(aws, bucket, f"{table}{endings[0]}", folder)
    others = [_fetch(aws, bucket, f"{table}{ending}", folder) for ending in endings[1:]]
    found = [path for path in (labels, *others) if path]
    if labels is None:
        raise ConfigError(
            f"s3://{bucket}/{table}{LABELS} is not there: the run has not ended, or not begun\n"
            f"  `ocrlabel aws status {dataset}` says how far it is; of what is done"
            f" `ocrlabel merge s3://{bucket}/{table}.parquet --output s3://{bucket}/{table}{LABELS}"
            " --partial` makes a table"
        )
    return found


def _fetch(aws: Aws, bucket: str, key: str, folder: Path) -> Path | None:
    path = folder / key.rsplit("/", 1)[-1]

    def fetch() -> Path:
        aws.client("s3").download_file(bucket, key, str(path))
        return path

    return if_there(f"download s3://{bucket}/{key}", fetch, "404", "NoSuchKey")
