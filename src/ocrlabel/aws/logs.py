"""A job's log lines from CloudWatch, each once, also while they are being written.

`read` gives all of them (with follow until the job has ended), `tail` the last ones. Every attempt
of a job, and every worker of an array, writes a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ocrlabel.aws.jobs import Job, children, describe, unknown
from ocrlabel.aws.names import LOG_GROUP
from ocrlabel.aws.session import Aws, AwsRefused, if_there, pauses_s

METRICS: Final = '"_aws":'  # of a line in CloudWatch's embedded metric format


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
