"""Jobs against Batch's double: what moto cannot produce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocrlabel.aws.explain import explain
from ocrlabel.aws.jobs import (
    ACTIVE,
    Sizing,
    cancel,
    children,
    describe,
    jobs_in,
    request,
    submit,
    watch,
)
from ocrlabel.aws.session import AwsRefused
from tests.support.aws import FakeTime, Served, aws_at, serving
from tests.support.fake_batch import FakeBatch

SIZING = Sizing(1, 1000, 3000, "")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("application/json") as server:
        yield server


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def batch(served: Served) -> FakeBatch:
    fake = FakeBatch()
    served.handle = fake.handle
    return fake


@pytest.fixture
def aws(served: Served, batch: FakeBatch, time: FakeTime):
    return aws_at({"batch": served.url}, time)


def life(*statuses: str, **last):
    return [{"status": status} for status in statuses[:-1]] + [{"status": statuses[-1], **last}]


def spot(exit_code: int | None = 137):
    return {
        "container": {"logStreamName": "a", **({"exitCode": exit_code} if exit_code else {})},
        "startedAt": 1000,
        "stoppedAt": 61000,
        "statusReason": "Your Spot Task was interrupted.",
    }


def watched(aws, job_id, progress=str):
    told: list[str] = []
    return watch(aws, job_id, progress, told.append), told


def reason(aws, job, **how):
    failed = children(aws, job, only=["FAILED"]) if job.size else []
    return explain(job, how.get("failed", failed), how.get("log", []), aws.now_s())


def test_a_submitted_job_is_followed_to_its_end(aws, batch):
    batch.life_of_submitted = life("SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED")
    job_id = submit(aws, request("train", {}, SIZING, stamp="1", on_ec2=False))
    job, told = watched(aws, job_id)
    assert job.status == "SUCCEEDED"
    assert told == ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def test_the_moment_after_submit_when_batch_knows_no_job_is_no_error(aws, batch):
    batch.empty = 3
    batch.lives["job"] = life("SUCCEEDED")
    job, told = watched(aws, "job")
    assert job.status == "SUCCEEDED"
    assert told[0] == "submitted, not listed yet"


def test_a_job_that_batch_never_knows_is_said_after_two_minutes(aws, time):
    with pytest.raises(AwsRefused, match="knows no job other"):
        watched(aws, "other")
    assert 120 < sum(time.slept) < 200


def test_throttled_describes_are_waited_out(aws, batch):
    batch.lives["job"] = life("SUCCEEDED")
    batch.throttle = 2
    assert describe(aws, ["job"])[0].status == "SUCCEEDED"


def test_one_look_is_one_describe_call_however_large_the_array(aws, batch):
    batch.lives["job"] = [
        {"status": "PENDING", "arrayProperties": {"size": 4000, "statusSummary": {"RUNNING": 9}}},
        {"status": "SUCCEEDED", "arrayProperties": {"size": 4000}},
    ]
    _, told = watched(aws, "job", lambda: "10 of 20 done")
    assert told[0] == "PENDING · 9 running · 10 of 20 done"
    assert [action for action, _ in batch.calls] == ["describejobs"] * 2


def test_watching_can_hand_over_before_the_end(aws, batch, time):
    batch.lives["job"] = life("RUNNING")
    job = watch(aws, "job", str, lambda _: None, until_s=time.now_s + 60)
    assert job.status == "RUNNING"


def test_a_retry_after_a_spot_loss_is_told(aws, batch):
    batch.lives["job"] = [
        {"status": "RUNNING", "attempts": [], "container": {"logStreamName": "a"}},
        {"status": "RUNNABLE", "attempts": [spot()]},
        {
            "status": "SUCCEEDED",
            "attempts": [spot(), {"container": {"exitCode": 0, "logStreamName": "b"}}],
            "container": {"exitCode": 0, "logStreamName": "b"},
        },
    ]
    job, told = watched(aws, "job")
    assert told == ["RUNNING", "RUNNABLE", "SUCCEEDED · attempt 2"]
    assert reason(aws, job).what == "it succeeded, in attempt 2 (1 ended by a spot loss)"


def test_a_job_whose_every_attempt_was_a_spot_loss_says_that_nothing_is_lost(aws, batch):
    batch.lives["job"] = [
        {
            "status": "FAILED",
            "statusReason": "Your Spot Task was interrupted.",
            "attempts": [spot(), spot(None)],
        }
    ]
    explanation = reason(aws, describe(aws, ["job"])[0])
    assert explanation.what.startswith("it failed: AWS took the Fargate Spot capacity back")
    assert explanation.remedy == "nothing is lost: submit with --resume"


def one(aws, batch, **description):
    batch.lives["job"] = [{"createdAt": 1_799_999_000_000, **description}]
    return reason(aws, describe(aws, ["job"])[0], log=["the last line"])


def ended(exit_code=None, why="", status_reason="Essential container in task exited"):
    container = {"logStreamName": "a", "reason": why}
    container |= {"exitCode": exit_code} if exit_code is not None else {}
    attempt = {"container": container, "statusReason": status_reason}
    return {
        "status": "FAILED",
        "statusReason": status_reason,
        "attempts": [attempt],
        "container": container,
    }


@pytest.mark.parametrize(
    ("description", "what", "remedy"),
    [
        (
            ended(137, "OutOfMemoryError: Container killed due to memory usage"),
            "needed more memory",
            "--memory-mib 4096",
        ),
        (
            ended(None, "CannotPullContainerError: pull image manifest: not found", "Task failed"),
            "could not be pulled",
            "doctor",
        ),
        (
            ended(None, "ResourceInitializationError: unable to retrieve secret from asm", ""),
            "key could not be read",
            "deploy",
        ),
        (
            ended(None, "ResourceInitializationError: failed to connect to ECR: i/o timeout", ""),
            "no way to ECR",
            "--network own",
        ),
        (ended(None, "", "Job attempt duration exceeded timeout"), "time-out", "--resume"),
        (ended(None, "", "Host EC2 (instance i-1) terminated."), "EC2 Spot machine", "--resume"),
        (ended(2), "settings or the input", "doctor"),
        (ended(3), "another run's", "--fresh"),
        (ended(4), "refuses the key", "UPSTAGE_API_KEY"),
        (ended(5), "cap on money", "--max-cost"),
        (ended(6), "more of them failed than allowed", "download"),
        (ended(75), "all it had is saved", "--resume"),
        (ended(42), "exit status 42", "logs"),
        (
            {"status": "FAILED", "statusReason": "stopped by ocrlabel"},
            "it was stopped: stopped by ocrlabel",
            "--resume",
        ),
        (
            {
                "status": "RUNNABLE",
                "statusReason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance",
            },
            "no machine of the queue has",
            "--vcpu 1",
        ),
        ({"status": "RUNNABLE"}, "AWS gives no reason", "doctor"),
    ],
)
def test_a_job_is_explained_with_what_to_do(aws, batch, description, what, remedy):
    explanation = one(aws, batch, **description)
    assert what in explanation.what
    assert remedy in explanation.remedy


def test_the_explanation_ends_with_the_log(aws, batch):
    assert one(aws, batch, **ended(1)).log == ("the last line",)


def test_a_job_that_waits_a_short_while_has_nothing_to_mend(aws, batch):
    explanation = one(aws, batch, status="RUNNABLE", createdAt=1_799_999_940_000)
    assert explanation.what == "it waits for a machine since 1 min; that is normal up to 15 min"
    assert explanation.remedy == ""


def test_an_array_of_which_a_part_failed_counts_the_reasons(aws, batch):
    batch.lives = {
        "job": [
            {
                "status": "FAILED",
                "statusReason": "Array Child Job failed",
                "arrayProperties": {"size": 4, "statusSummary": {"SUCCEEDED": 1, "FAILED": 3}},
            }
        ],
        "job:0": [{**ended(4), "arrayProperties": {"index": 0}}],
        "job:1": [{**ended(4), "arrayProperties": {"index": 1}}],
        "job:2": [{**ended(137, "OutOfMemoryError"), "arrayProperties": {"index": 2}}],
        "job:3": life("SUCCEEDED"),
    }
    explanation = reason(aws, describe(aws, ["job"])[0])
    assert explanation.what.startswith("3 of 4 workers failed: 2 because the OCR service refuses")
    assert "1 because it needed more memory" in explanation.what
    assert "UPSTAGE_API_KEY" in explanation.remedy


def test_a_job_is_stopped_with_a_reason(aws, batch):
    batch.lives["job"] = life("RUNNING")
    cancel(aws, "job", "enough")
    assert describe(aws, ["job"])[0].reason == "enough"


def test_the_active_jobs_of_a_queue_are_of_every_state(aws, batch):
    batch.lives = {"a": life("RUNNABLE"), "b": life("RUNNING"), "c": life("FAILED")}
    assert [job.id for job in jobs_in(aws, "q", ACTIVE)] == ["a", "b"]
