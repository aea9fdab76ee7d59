from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from ocrlabel.aws.job_definition import (
    PLACEHOLDERS,
    JobValues,
    checked,
    covers,
    ec2,
    fargate,
    faults,
    file_text,
    plan_definition,
    values_of,
)
from ocrlabel.errors import ConfigError, Interrupted
from tests.support.aws import CONFIG

ROOT = Path(__file__).parents[3]
VALUES = values_of(CONFIG, "uri@sha256:1", architecture="X86_64", vcpu="1", memory_mib="2048")


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
    rules = fargate(PLACEHOLDERS)["retryStrategy"]["evaluateOnExit"]
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
    assert 0 < definition["timeout"]["attemptDurationSeconds"] - int(deadline) <= 600


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
    other = fargate(JobValues("uri@sha256:2", "j", "e", "s", "b"))
    (change,) = plan_definition(present, other)
    assert change.line == (
        "~ change  job definition pseudo-label-processor (revision 4, image uri@sha256:2)"
    )


def test_what_aws_adds_by_itself_is_no_difference():
    assert covers({"a": 1, "b": []}, {"a": 1})
    assert not covers({"a": [1, 2]}, {"a": [1]})
    assert not covers(None, {"a": 1})


def test_both_definitions_have_no_fault():
    assert list(faults(fargate(PLACEHOLDERS))) == []
    assert list(faults(ec2(PLACEHOLDERS))) == []


def attempts(definition):
    definition["retryStrategy"]["attempts"] = 50


def rules(definition):
    definition["retryStrategy"]["evaluateOnExit"] *= 2


def timeout(definition):
    definition["timeout"]["attemptDurationSeconds"] = 5


def storage(definition):
    definition["containerProperties"]["ephemeralStorage"] = {"sizeInGiB": 300}


def memory(definition):
    definition["containerProperties"]["resourceRequirements"][1]["value"] = "9000"


def vcpu(definition):
    definition["containerProperties"]["resourceRequirements"][0]["value"] = "3"


def host(definition):
    definition["containerProperties"]["volumes"][0]["host"] = {"sourcePath": "/srv"}


def no_volume(definition):
    definition["containerProperties"]["volumes"] = []


def no_execution_role(definition):
    del definition["containerProperties"]["executionRoleArn"]


def processor(definition):
    definition["containerProperties"]["runtimePlatform"]["cpuArchitecture"] = "X64"


def glob(definition):
    definition["retryStrategy"]["evaluateOnExit"][1]["onStatusReason"] = "Your*interrupted"


@pytest.mark.parametrize(
    ("mutate", "fault"),
    [
        (attempts, "50 attempts are not within 1 to 10"),
        (rules, "8 retry rules are more than 5"),
        (timeout, "a time-out of 5 s is below 60"),
        (storage, "300 GiB of storage are not within 21 to 200"),
        (memory, "Fargate has no 1 vCPU with 9000 MiB (2048 to 8192 MiB in steps of 1024)"),
        (vcpu, "Fargate has no 3 vCPU with 2048 MiB (vCPUs: 0.25, 0.5, 1, 2, 4, 8, 16)"),
        (host, "Fargate has no host, and volume 'tmp' names one"),
        (no_volume, "/tmp is on a volume 'tmp' not defined"),
        (no_execution_role, "Fargate needs an execution role"),
        (processor, "there is no processor X64: X86_64 or ARM64"),
        (glob, "the retry rule 'Your*interrupted' may have one *, at its end"),
    ],
)
def test_a_fault_that_cfn_lint_misses_is_found(mutate, fault):
    mutated = copy.deepcopy(fargate(PLACEHOLDERS))
    mutate(mutated)
    assert list(faults(mutated)) == [fault]


def test_a_faulty_definition_is_refused_before_aws_sees_it():
    mutated = copy.deepcopy(fargate(PLACEHOLDERS))
    memory(mutated)
    with pytest.raises(ConfigError, match="2048 to 8192 MiB"):
        checked(mutated)
