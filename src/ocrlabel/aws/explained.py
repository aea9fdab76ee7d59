"""Looking up what explains a job: its failed workers, and the end of the log of one of them."""

from __future__ import annotations

from typing import Final

from ocrlabel.aws.explain import Explanation, explain
from ocrlabel.aws.logs import tail
from ocrlabel.aws.queues import Job, children
from ocrlabel.aws.session import Aws

LOG_TAIL: Final = 15


def explained(aws: Aws, job: Job) -> Explanation:
    """Why it is where it is."""
    failed = children(aws, job, only=["FAILED"]) if job.size and job.ended else []
    shown = failed[0] if failed else job
    return explain(job, failed, tail(aws, shown, LOG_TAIL), aws.now_s())
