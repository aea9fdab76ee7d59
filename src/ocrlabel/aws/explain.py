"""Why a job is where it is: a sentence, what to do about it, and its log.

`explained` asks AWS for what it needs; `explain` decides from values, by AWS's own sentences first
and then by the worker's exit status: what both mean stands in remedies.toml.

`read` gives a log's lines from CloudWatch, each once, also while they are being written (with
follow until the job has ended), `tail` the last ones. Every attempt of a job, and every worker of
an array, writes a stream of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ocrlabel.aws.jobs import Job, JobAttempt, children, describe, unknown
from ocrlabel.aws.names import LOG_GROUP
from ocrlabel.aws.session import REMEDIES, Aws, AwsRefused, if_there, pauses_s, remedy_of

STUCK_S = 15 * 60
LOG_TAIL: Final = 15
METRICS: Final = '"_aws":'  # of a line in CloudWatch's embedded metric format


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, what to do ("" where nothing is to be done), the end of the log."""

    what: str
    remedy: str = ""
    log: Sequence[str] = ()


def explained(aws: Aws, job: Job) -> Explanation:
    """Why this job is where it is; of an array, why its workers failed."""
    failed = children(aws, job, only="FAILED") if job.size and job.ended else []
    shown = failed[0] if failed else job
    return explain(job, failed, tail(aws, shown, LOG_TAIL), aws.now_s())


def explain(job: Job, failed: Sequence[Job], log: Sequence[str], now_s: float) -> Explanation:
    """failed: the failed jobs of an array. log: the last lines of the last attempt."""
    if job.status == "SUCCEEDED":
        return Explanation(_with_tries(job, "it succeeded"), "", log)
    if not job.ended:
        return _unfinished(job, now_s)
    if job.size:
        return _array(job, failed, log)
    what, remedy = _why(job)
    return Explanation(_with_tries(job, f"it failed: {what}"), remedy, log)


def _why(job: Job) -> tuple[str, str]:
    last = job.attempts[-1] if job.attempts else JobAttempt()
    if known := remedy_of("job", f"{job.reason} {last.status_reason} {last.reason}"):
        return known["what"], known["do"]
    if known := REMEDIES["exit"].get(str(last.exit_code)):
        return f"{known['what']} (exit status {last.exit_code})", known["do"]
    if last.exit_code is not None:
        return f"exit status {last.exit_code}", "read the log: ocrlabel aws logs JOB"
    if job.reason:
        return f"it was stopped: {job.reason}", "submit with --resume to go on"
    return "AWS gives no reason", "ocrlabel aws doctor, then submit with --resume"


def _array(job: Job, failed: Sequence[Job], log: Sequence[str]) -> Explanation:
    reasons = Counter(_why(each) for each in failed)
    number = job.children.get("FAILED", len(failed))
    what = f"{number} of {job.size} workers failed"
    if not reasons:
        reason = f": {job.reason}" if job.reason else ""
        return Explanation(what + reason, "submit with --resume", log)
    listed = "; ".join(f"{n} because {why}" for (why, _), n in reasons.most_common())
    (_, remedy), _ = reasons.most_common(1)[0]
    return Explanation(f"{what}: {listed}", remedy, log)


def _unfinished(job: Job, now_s: float) -> Explanation:
    waited_s = now_s - job.created_s if job.created_s else 0.0
    minutes = f"{waited_s / 60:.0f} min"
    if job.status == "RUNNABLE" and job.reason:
        what, remedy = _why(job)
        return Explanation(f"it waits for a machine since {minutes}: {what}", remedy)
    if job.status == "RUNNABLE" and waited_s > STUCK_S:
        return Explanation(
            f"it waits for a machine since {minutes}, and AWS gives no reason",
            "ocrlabel aws doctor checks queue, compute, quotas and network; a job that cannot "
            "start is cancelled by its queue",
        )
    waiting = {
        "SUBMITTED": "it was taken, and waits to be scheduled",
        "PENDING": "it waits for a job that it depends on, or for its array",
        "RUNNABLE": f"it waits for a machine since {minutes}; that is normal up to 15 min",
        "STARTING": "its machine is there, and the image is being pulled",
        "RUNNING": "it runs",
    }
    return Explanation(_with_tries(job, waiting.get(job.status, f"it is {job.status}")))


def _with_tries(job: Job, what: str) -> str:
    if len(job.attempts) < 2:
        return what
    before = Counter(_attempt_text(each) for each in job.attempts[:-1])
    listed = ", ".join(f"{n} ended by {text}" for text, n in before.most_common())
    return f"{what}, in attempt {len(job.attempts)} ({listed})"


def _attempt_text(attempt: JobAttempt) -> str:
    given = f"{attempt.status_reason} {attempt.reason}".lower()
    if "spot task was interrupted" in given or "host ec2" in given:
        return "a spot loss"
    if "outofmemory" in given:
        return "lack of memory"
    if attempt.exit_code is not None:
        return f"exit status {attempt.exit_code}"
    return attempt.reason or attempt.status_reason or "no reason given"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; worker is the array index, None in a job that is no array."""

    at_s: float
    worker: int | None
    text: str


def read(aws: Aws, job_id: str, tell: Callable[[LogLine], None], *, follow: bool) -> Job:
    """Every line of every attempt, in time's order within a look; with follow until the end."""
    logs, tokens = aws.client("logs"), dict[str, str]()
    looks_after_end = 0
    for pause_s in pauses_s(1.0, 5.0):
        found = describe(aws, [job_id])
        if not found and not follow:
            raise AwsRefused(unknown(job_id))
        job = found[0] if found else None
        lines = [
            line
            for worker in (children(aws, job) if job else ())
            for attempt in worker.attempts
            if attempt.stream
            for line in _new_lines(logs, attempt.stream, worker.index, tokens)
        ]
        for line in sorted(lines, key=lambda line: line.at_s):
            tell(line)
        if job is not None and not follow:
            return job
        # the last lines arrive a little after the end: go on until a later look brings none
        looks_after_end += 1 if job is not None and job.ended else 0
        if job is not None and looks_after_end > 1 and not lines:
            return job
        aws.sleep(pause_s)
    raise AssertionError


def tail(aws: Aws, job: Job, count: int) -> list[str]:
    """The last lines of the last attempt that wrote any; those of metrics are for CloudWatch."""
    for attempt in reversed(job.attempts):
        if not attempt.stream:
            continue
        page = _page(aws.client("logs"), attempt.stream, startFromHead=False, limit=10 * count)
        lines = [str(event["message"]) for event in page["events"]] if page else []
        if told := [line for line in lines if METRICS not in line]:
            return told[-count:]
    return []


def _new_lines(
    logs: Any, stream: str, worker: int | None, tokens: dict[str, str]
) -> Iterator[LogLine]:
    """A stream's lines since the last call; none where it is not there yet.

    tokens: where each was read to. CloudWatch's forward token repeats at a stream's end.
    """
    while True:
        token = tokens.get(stream)
        more = {"nextToken": token} if token else {}
        page = _page(logs, stream, startFromHead=True, **more)
        if page is None:
            return
        for event in page["events"]:
            yield LogLine(event.get("timestamp", 0) / 1000, worker, event.get("message", ""))
        tokens[stream] = page["nextForwardToken"]
        if page["nextForwardToken"] == token:
            return


def _page(logs: Any, stream: str, **how: Any) -> dict[str, Any] | None:
    """One page of a stream; None where the container has not written its first line."""
    return if_there(
        f"read log stream {stream}",
        lambda: dict(logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, **how)),
        "ResourceNotFoundException",
    )
