from __future__ import annotations

import copy

import pytest

from ocrlabel.aws.job_definition import PLACEHOLDERS, checked, ec2, fargate, faults
from ocrlabel.errors import ConfigError


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
