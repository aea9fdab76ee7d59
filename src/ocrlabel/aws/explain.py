"""Why a job is where it is: a sentence, what to do about it, and the end of its log.

`explained` asks AWS for what it needs; `explain` decides from values, by AWS's own sentences first
and then by the worker's exit status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ocrlabel.aws.jobs import Job, JobAttempt, children
from ocrlabel.aws.logs import tail
from ocrlabel.aws.session import Aws

STUCK_S = 15 * 60
EXIT_STATUSES = {
    1: ("the worker failed in a way that it does not know", "read the log: ocrlabel aws logs JOB"),
    2: (
        "the settings or the input cannot be used",
        "the log's last line says which; ocrlabel aws doctor checks table and images",
    ),
    3: (
        "the checkpoints there are another run's",
        "submit with --resume to go on (--grow if the input has grown), or --fresh to pay anew",
    ),
    4: (
        "the OCR service refuses the key, or its credit is used up",
        "put a good key with UPSTAGE_API_KEY=... ocrlabel aws deploy, then submit with --resume",
    ),
    5: (
        "the cap on money was reached",
        "submit with --resume and a higher --max-cost; what was paid for is saved",
    ),
    6: (
        "all rows were reached, and more of them failed than allowed",
        "look at the failures (ocrlabel aws download DATASET), then submit with --retry-failed all",
    ),
    75: (
        "the worker stopped early (signal, outage or deadline), and all it had is saved",
        "submit with --resume: it goes on where it stopped",
    ),
    127: (
        "the image lacks the command",
        "build and push it again: ocrlabel aws push-image",
    ),
    137: (
        "the container was killed (SIGKILL)",
        "if memory is the cause, register more of it; then submit with --resume",
    ),
    139: ("the container crashed (SIGSEGV)", "submit with --resume, and keep the log for a report"),
    143: (
        "the container was ended by SIGTERM before it could save",
        "submit with --resume",
    ),
}
# AWS's sentences, in lower case; the first that fits decides.
_TEXTS = (
    (
        "outofmemory",
        "it needed more memory than it was given",
        "register with more: ocrlabel aws register --memory-mib 4096, then submit with --resume",
    ),
    (
        "spot task was interrupted",
        "AWS took the Fargate Spot capacity back",
        "nothing is lost: submit with --resume",
    ),
    (
        "host ec2",
        "AWS took the EC2 Spot machine back",
        "nothing is lost: submit with --resume",
    ),
    (
        "cannotpullcontainer",
        "the image could not be pulled",
        "ocrlabel aws doctor says whether it is in ECR and of the right architecture",
    ),
    (
        "exec format error",
        "the image is for another processor",
        "build it for the queue's: ocrlabel aws push-image",
    ),
    (
        "retrieve secret",
        "the key could not be read from the secret",
        "ocrlabel aws doctor checks secret and role; ocrlabel aws deploy mends them",
    ),
    (
        "failed to validate logger args",
        "its log group is not there, and without one no container starts",
        "ocrlabel aws deploy makes it again",
    ),
    (
        "resourceinitializationerror",
        "ECS could not start the container: no way to ECR, Secrets Manager or the logs",
        "the subnets need a way to the internet: ocrlabel aws deploy --network own",
    ),
    (
        "exceeded timeout",
        "it ran into its time-out, which Batch does not retry",
        "submit with --resume: it goes on where it stopped",
    ),
    (
        "compute_environment_max_resource",
        "no compute environment is large enough for it",
        "ocrlabel aws deploy --max-vcpus with a larger number",
    ),
    (
        "job_resource_requirement",
        "no machine of the queue has the vCPUs and memory that it asks for",
        "register with less: ocrlabel aws register --vcpu 1 --memory-mib 2048",
    ),
    (
        "insufficient_instance_capacity",
        "AWS had no capacity for it within the limit",
        "submit it again later, or on the other queue",
    ),
    (
        "dependent job failed",
        "a job that it depends on failed",
        "ocrlabel aws explain of that job",
    ),
)
LOG_TAIL: Final = 15


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, what to do ("" where nothing is to be done), the end of the log."""

    what: str
    remedy: str = ""
    log: tuple[str, ...] = ()


def explained(aws: Aws, job: Job) -> Explanation:
    """Why this job is where it is; of an array, why its workers failed."""
    failed = children(aws, job, only=["FAILED"]) if job.size and job.ended else []
    shown = failed[0] if failed else job
    return explain(job, failed, tail(aws, shown, LOG_TAIL), aws.now_s())


def explain(job: Job, failed: Sequence[Job], log: Sequence[str], now_s: float) -> Explanation:
    """failed: the failed jobs of an array. log: the last lines of the last attempt."""
    if job.status == "SUCCEEDED":
        return Explanation(_with_tries(job, "it succeeded"), "", tuple(log))
    if not job.ended:
        return _unfinished(job, now_s)
    if job.size:
        return _array(job, failed, log)
    what, remedy = _why(job)
    return Explanation(_with_tries(job, f"it failed: {what}"), remedy, tuple(log))


def _why(job: Job) -> tuple[str, str]:
    last = job.attempts[-1] if job.attempts else JobAttempt()
    given = f"{job.reason} {last.status_reason} {last.reason}".lower()
    for text, what, remedy in _TEXTS:
        if text in given:
            return what, remedy
    if last.exit_code in EXIT_STATUSES:
        what, remedy = EXIT_STATUSES[last.exit_code]
        return f"{what} (exit status {last.exit_code})", remedy
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
        return Explanation(what + reason, "submit with --resume", tuple(log))
    listed = "; ".join(f"{n} because {why}" for (why, _), n in reasons.most_common())
    (_, remedy), _ = reasons.most_common(1)[0]
    return Explanation(f"{what}: {listed}", remedy, tuple(log))


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
