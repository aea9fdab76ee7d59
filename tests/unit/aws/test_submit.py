from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.aws.jobs import MAX_TIMEOUT_S, command, for_local, for_service, job_name, request
from ocrlabel.errors import ConfigError


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
    sizing = for_local(100_000, max_workers=64)
    assert sizing.workers == 39
    assert 3400 < sizing.seconds < 3600


def test_a_local_engine_stays_within_the_vcpus():
    assert for_local(10_000_000, max_workers=32).workers == 32


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
    given = {"batch_size": 500, "concurrency": 3, "resume": True, "fresh": None}
    assert command("baseline_train", given) == [
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
