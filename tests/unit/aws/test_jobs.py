"""Jobs: sizing and requests as values, and against Batch's double what moto cannot produce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.aws.explain import explain
from ocrlabel.aws.jobs import (
    ACTIVE,
    MAX_TIMEOUT_S,
    Sizing,
    cancel,
    children,
    command,
    describe,
    for_local,
    for_service,
    job_name,
    jobs_in,
    request,
    submit,
    watch,
)
from ocrlabel.aws.session import AwsRefused
from ocrlabel.errors import ConfigError
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
    lines: list[str] = []
    return watch(aws, job_id, progress, lines.append), lines


def reason(aws, job, **how):
    failed = children(aws, job, only="FAILED") if job.size else []
    return explain(job, how.get("failed", failed), how.get("log", []), aws.now_s())


def test_a_submitted_job_is_followed_to_its_end(aws, batch):
    batch.life_of_submitted = life("SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED")
    job_id = submit(aws, request("train", {}, SIZING, stamp="1", on_ec2=False))
    job, lines = watched(aws, job_id)
    assert job.status == "SUCCEEDED"
    assert lines == ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def test_the_moment_after_submit_when_batch_knows_no_job_is_no_error(aws, batch):
    batch.empty = 3
    batch.lives["job"] = life("SUCCEEDED")
    job, lines = watched(aws, "job")
    assert job.status == "SUCCEEDED"
    assert lines[0] == "submitted, not listed yet"


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
    _, lines = watched(aws, "job", lambda: "10 of 20 done")
    assert lines[0] == "PENDING · 9 running · 10 of 20 done"
    assert [action for action, _ in batch.calls] == ["describejobs"] * 2


def test_watching_can_hand_over_before_the_end(aws, batch, time):
    batch.lives["job"] = life("RUNNING")
    job = watch(aws, "job", str, lambda _: None, until_s=time.now_s + 60)
    assert job.status == "RUNNING"


def test_a_retry_after_a_spot_loss_is_reported(aws, batch):
    batch.lives["job"] = [
        {"status": "RUNNING", "attempts": [], "container": {"logStreamName": "a"}},
        {"status": "RUNNABLE", "attempts": [spot()]},
        {
            "status": "SUCCEEDED",
            "attempts": [spot(), {"container": {"exitCode": 0, "logStreamName": "b"}}],
            "container": {"exitCode": 0, "logStreamName": "b"},
        },
    ]
    job, lines = watched(aws, "job")
    assert lines == ["RUNNING", "RUNNABLE", "SUCCEEDED · attempt 2"]
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
    assert [*one(aws, batch, **ended(1)).log] == ["the last line"]


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


def test_one_worker_saturates_the_documented_rate_and_says_so():
    sizing = for_service(3272, requests_per_s=3.0)
    assert sizing.workers == 1
    assert sizing.why == "one worker saturates 3 requests/s"
    assert sizing.seconds == pytest.approx(1091, abs=1)


def test_the_time_out_is_three_times_the_estimate():
    assert for_service(10_000, requests_per_s=3.0).timeout_s == 10_000


def test_more_workers_than_the_rate_feeds_are_allowed_and_explained():
    sizing = for_service(3272, requests_per_s=3.0, workers=4)
    assert sizing.workers == 4
    assert "not faster" in sizing.why


def test_a_higher_rate_takes_more_workers():
    assert for_service(100_000, requests_per_s=50).workers == 3


def test_a_local_engine_gets_the_workers_for_about_an_hour():
    sizing = for_local(100_000, "rapidocr", max_workers=64)
    assert sizing.workers == 39
    assert 3400 < sizing.seconds < 3600


def test_a_local_engine_stays_within_the_vcpus():
    assert for_local(10_000_000, "rapidocr", max_workers=32).workers == 32


@pytest.mark.parametrize("workers", [0, 10_001])
def test_more_workers_than_batch_takes_are_refused(workers):
    with pytest.raises(ConfigError, match="1 to 10,000"):
        for_service(10**9, requests_per_s=3, workers=workers)


def test_workers_with_nothing_to_do_are_refused():
    with pytest.raises(ConfigError, match="40 rows are 2 slices of 25"):
        for_service(40, requests_per_s=3, workers=4)


@given(rows=st.integers(1, 10**8), rps=st.floats(0.1, 1000))
def test_every_size_stays_within_batchs_limits(rows, rps):
    sizing = for_service(rows, requests_per_s=rps)
    assert 1 <= sizing.workers <= 10_000
    assert 60 <= sizing.timeout_s <= MAX_TIMEOUT_S


def sized(workers):
    return for_service(40_000, requests_per_s=3, workers=workers)


def test_one_worker_is_no_array_and_two_are():
    assert "arrayProperties" not in request("train", {}, sized(1), stamp="1", on_ec2=False)
    made = request("train", {}, sized(2), stamp="1", on_ec2=False)
    assert made["arrayProperties"] == {"size": 2}


def test_the_command_is_the_guides():
    options = {"batch_size": 500, "concurrency": 3, "resume": True, "fresh": None}
    assert command("baseline_train", options) == [
        "python",
        "-m",
        "runners.batch_pseudo_labels_aws",
        "--dataset-name",
        "baseline_train",
        "--batch-size",
        "500",
        "--concurrency",
        "3",
        "--resume",
    ]


def test_money_and_rates_are_written_as_people_write_them():
    assert command("t", {"rps": "2.5", "max_cost": 10.0})[-4:] == [
        "--rps",
        "2.5",
        "--max-cost",
        "10",
    ]


def test_the_ec2_queue_has_its_own_definition():
    made = request("train", {}, sized(1), stamp="1", on_ec2=True)
    assert (made["jobQueue"], made["jobDefinition"]) == (
        "batch-processor-queue-ec2",
        "pseudo-label-processor-ec2",
    )


def test_a_job_name_has_batchs_letters():
    assert job_name("v1.2", "20261124-1") == "pseudo-label-v1-2-20261124-1"
    assert len(job_name("x" * 300, "1")) == 128


@pytest.mark.parametrize("name", ["", "../x", "a b", "$(id)", 'x"; rm -rf /; "', "a\nb", "-x"])
def test_a_hostile_dataset_name_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be used"):
        command(name, {})
