from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ocrlabel.aws import names
from ocrlabel.aws.job_definition import (
    COMMAND,
    STOP_BEFORE_S,
    JobValues,
    covers,
    ec2,
    fargate,
    file_text,
    plan_definition,
)
from ocrlabel.errors import ConfigError, Interrupted
from ocrlabel.options import DATASET
from tests.support.aws import CONFIG

ROOT = Path(__file__).parents[3]
VALUES = JobValues(CONFIG, "uri@sha256:1")
PATTERNS = ("onExitCode", "onReason", "onStatusReason")


def test_the_file_keeps_the_guides_five_placeholders():
    text = file_text()
    for placeholder in ("ECR_URI", "JOB_ROLE_ARN", "EXEC_ROLE_ARN", "SECRET_ARN", "S3_BUCKET"):
        assert text.count(f"<{placeholder}>") == 1


def test_filling_the_placeholders_gives_what_register_sends_but_for_the_digest():
    text = file_text()
    for name, value in {
        "<ECR_URI>:latest": "uri@sha256:1",
        "<JOB_ROLE_ARN>": CONFIG.job_role_arn,
        "<EXEC_ROLE_ARN>": CONFIG.exec_role_arn,
        "<SECRET_ARN>": CONFIG.secret_arn,
        "<S3_BUCKET>": CONFIG.s3_bucket,
    }.items():
        text = text.replace(name, value)
    assert json.loads(text) == fargate(VALUES)


def test_a_worker_that_stopped_early_is_tried_again_and_one_that_ended_is_not():
    rules = fargate(VALUES)["retryStrategy"]["evaluateOnExit"]
    assert rules[0] == {"onExitCode": str(Interrupted.exit_status), "action": "RETRY"}
    assert rules[-1] == {"onReason": "*", "action": "EXIT"}


def test_the_key_is_injected_and_never_written_down():
    container = fargate(VALUES)["containerProperties"]
    assert container["secrets"] == [{"name": "UPSTAGE_API_KEY", "valueFrom": CONFIG.secret_arn}]
    assert {each["name"] for each in container["environment"]} == {
        "S3_BUCKET",
        "DATASET_NAME",
        "OCRLABEL_DEADLINE",
    }


def test_a_worker_stops_by_itself_before_its_time_out():
    definition = fargate(VALUES)
    (deadline,) = [
        each["value"]
        for each in definition["containerProperties"]["environment"]
        if each["name"] == "OCRLABEL_DEADLINE"
    ]
    assert definition["timeout"]["attemptDurationSeconds"] - int(deadline) == STOP_BEFORE_S


def test_what_commands_know_of_a_worker_is_the_same_in_the_file():
    definition = json.loads(file_text())
    container = definition["containerProperties"]
    assert (definition["jobDefinitionName"], definition["tags"]) == (names.DEFINITION, names.TAGS)
    assert tuple(container["command"]) == COMMAND
    assert container["logConfiguration"]["options"]["awslogs-group"] == names.LOG_GROUP
    assert {"name": "DATASET_NAME", "value": DATASET} in container["environment"]


def test_the_container_cannot_write_to_its_own_files():
    for definition in (fargate(VALUES), ec2(VALUES)):
        assert definition["containerProperties"]["readonlyRootFilesystem"] is True


def test_the_temporary_folder_is_a_volume_that_the_image_declares_too():
    dockerfile = (ROOT / "scripts" / "cloud" / "Dockerfile.batch").read_text()
    (declared,) = re.findall(r"^VOLUME (\S+)$", dockerfile, re.MULTILINE)
    for definition in (fargate(VALUES), ec2(VALUES)):
        container = definition["containerProperties"]
        (volume,) = container["volumes"]
        assert container["mountPoints"] == [
            {"sourceVolume": volume["name"], "containerPath": declared, "readOnly": False}
        ]
        assert set(volume) == {"name"}, "Fargate takes no host"


def test_the_ec2_twin_names_its_region_and_has_nothing_of_fargate():
    twin = ec2(VALUES)
    assert twin["jobDefinitionName"] == "pseudo-label-processor-ec2"
    assert {"name": "AWS_REGION", "value": "us-east-1"} in twin["containerProperties"][
        "environment"
    ]
    assert not {"networkConfiguration", "fargatePlatformConfiguration"} & set(
        twin["containerProperties"]
    )


def test_the_same_definition_is_not_registered_twice():
    present = {**fargate(VALUES), "revision": 3, "status": "ACTIVE"}
    present["containerProperties"] = {**present["containerProperties"], "ulimits": []}
    assert plan_definition(present, fargate(VALUES)) == []


def test_another_image_is_another_revision():
    present = {**fargate(VALUES), "revision": 3}
    other = fargate(replace(VALUES, image="uri@sha256:2"))
    (change,) = plan_definition(present, other)
    assert change.line == (
        "~ change  job definition pseudo-label-processor (revision 4, image uri@sha256:2)"
    )


def test_what_aws_adds_by_itself_is_no_difference():
    assert covers({"a": 1, "b": []}, {"a": 1})
    assert not covers({"a": [1, 2]}, {"a": [1]})
    assert not covers(None, {"a": 1})


def test_the_retry_rules_keep_to_what_aws_batch_takes():
    for definition in (fargate(VALUES), ec2(VALUES)):
        strategy = definition["retryStrategy"]
        assert 1 <= strategy["attempts"] <= 10
        assert 1 <= len(strategy["evaluateOnExit"]) <= 5
        patterns = [rule.get(name) for rule in strategy["evaluateOnExit"] for name in PATTERNS]
        assert all("*" not in each[:-1] and "?" not in each for each in patterns if each)
        assert definition["timeout"]["attemptDurationSeconds"] >= 60


@pytest.mark.parametrize(
    ("vcpu", "memory_mib", "said"),
    [
        ("1", "9000", "2048, 3072, 4096, 5120, 6144, 7168, 8192 MiB"),
        ("0.25", "1536", "512, 1024, 2048 MiB"),
        ("3", "2048", "vCPUs: 0.25, 0.5, 1, 2, 4, 8, 16"),
    ],
)
def test_a_size_that_fargate_lacks_is_refused_before_aws_sees_it(vcpu, memory_mib, said):
    wanted = replace(VALUES, vcpu=vcpu, memory_mib=memory_mib)
    with pytest.raises(ConfigError, match=rf"no {vcpu} vCPU with {memory_mib} MiB \({said}\)"):
        plan_definition(None, fargate(wanted))
    assert plan_definition(None, ec2(wanted))


@pytest.mark.parametrize(
    ("vcpu", "memory_mib"), [("0.25", "2048"), ("1", "8192"), ("2", "5120"), ("16", "122880")]
)
def test_a_size_that_fargate_has_is_registered(vcpu, memory_mib):
    assert plan_definition(None, fargate(replace(VALUES, vcpu=vcpu, memory_mib=memory_mib)))
