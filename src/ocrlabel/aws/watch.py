"""Watching a job: its states from one describe call, its progress from wherever that is kept."""

from __future__ import annotations

from collections.abc import Callable

from ocrlabel.aws.queues import Job, describe
from ocrlabel.aws.session import Aws, AwsRefused
from ocrlabel.aws.wait import pauses_s

UNSEEN_S = 120.0
"""describe-jobs may answer with no jobs just after submit-job: for this long it is no error."""


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
            raise AwsRefused(
                f"AWS Batch knows no job {job_id}: it forgets jobs 7 days after their end\n"
                "  `ocrlabel aws status` lists those it knows"
            )
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
    if len(job.tries) > 1:
        parts.append(f"attempt {len(job.tries)}")
    if job.reason and job.status != "RUNNING":
        parts.append(job.reason)
    return " · ".join([*parts, *([progress] if progress else [])])
