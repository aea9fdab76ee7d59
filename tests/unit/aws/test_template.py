from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocrlabel.aws import names
from ocrlabel.aws.template import body, made_by, template
from ocrlabel.cli.progress import JsonLines
from tests.support.template_rules import template_faults

ROOT = Path(__file__).parents[3]
RENDERED = ROOT / "aws" / "stack-template.json"
OWN = {"BucketName": "labels"}


@pytest.mark.parametrize(
    ("resource", "known"),
    [
        ("Repository", {"RepositoryName": names.REPOSITORY}),
        ("Queue", {"JobQueueName": names.QUEUE, "Tags": names.TAGS}),
        ("QueueEc2", {"JobQueueName": names.QUEUES[1], "Tags": names.TAGS}),
        ("FargateSpot", {"Tags": names.TAGS}),
        ("GitHubProvider", {"Url": f"https://{names.GITHUB_ISSUER}"}),
        ("Notices", {"TopicName": f"{names.STACK}-notices"}),
    ],
)
def test_a_name_that_commands_know_is_the_same_in_the_template(resource, known):
    assert known.items() <= template()["Resources"][resource]["Properties"].items()


@pytest.mark.parametrize("role", ["GitHubRole", "ExecutionRole"])
def test_the_roles_are_bound_to_the_names_that_commands_know(role):
    text = json.dumps(template()["Resources"][role]["Properties"]["Policies"])
    own = {"GitHubRole": [f"/{names.DEFINITION}*", f"/{names.QUEUE}*", f"stack/{names.STACK}/*"]}
    for name in (*own.get(role, ()), f":{names.LOG_GROUP}:*", f"/{names.REPOSITORY}"):
        assert f'{name}"' in text


def test_the_secret_of_a_template_without_a_choice_is_the_one_of_the_commands():
    assert template()["Parameters"]["SecretName"]["Default"] == names.SECRET


def test_the_template_fits_into_one_request():
    assert len(body(template()).encode()) < 51_200


def test_the_template_names_no_account_and_no_region():
    text = body(template())
    assert not re.search(r"\d{12}", text)
    assert "us-east-1" not in text


def test_the_template_takes_no_secret_and_makes_none():
    kinds = {resource["Type"] for resource in template()["Resources"].values()}
    assert "AWS::SecretsManager::Secret" not in kinds
    assert not any("Key" in name for name in template()["Parameters"])


def test_what_a_kept_bucket_or_a_shared_log_group_would_block_is_not_in_the_stack():
    kinds = {resource["Type"] for resource in template()["Resources"].values()}
    assert not kinds & {"AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::Batch::JobDefinition"}


def test_no_role_has_full_access():
    text = json.dumps([r for r in template()["Resources"].values() if r["Type"].endswith("Role")])
    assert "FullAccess" not in text
    assert "ManagedPolicyArns" not in text


def test_every_condition_and_parameter_is_used():
    text = body(template())
    for name in template()["Conditions"]:
        assert text.count(f'"{name}"') > 1, name
    for name in template()["Parameters"]:
        assert f'"Ref":"{name}"' in text or f"${{{name}}}" in text, name


def test_a_given_vpc_makes_no_network():
    made = made_by(template(), {**OWN, "VpcId": "vpc-1", "SubnetIds": "subnet-1"})
    assert "AWS::EC2::VPC" not in made.values()
    assert "AWS::EC2::SecurityGroup" in made.values()
    assert made_by(template(), OWN)["S3Endpoint"] == "AWS::EC2::VPCEndpoint"


@pytest.mark.parametrize(
    ("parameter", "value", "resources"),
    [
        ("WithEc2", "true", {"Ec2Spot", "QueueEc2", "InstanceRole", "Ec2LaunchTemplate"}),
        ("NotifyEmail", "me@example.org", {"NoticesEmail"}),
        ("MonthlyBudgetUsd", "50", {"Budget", "OcrBill"}),
        ("GitHubRepository", "me/labels", {"GitHubRole", "GitHubProvider"}),
    ],
)
def test_a_choice_adds_its_resources_and_only_with_it(parameter, value, resources):
    without, chosen = (
        set(made_by(template(), OWN)),
        set(made_by(template(), {**OWN, parameter: value})),
    )
    assert not resources & without
    assert resources <= chosen - without


def test_an_oidc_provider_that_is_there_is_not_made_again():
    made = made_by(
        template(), {**OWN, "GitHubRepository": "me/labels", "CreateGitHubProvider": "false"}
    )
    assert "GitHubRole" in made
    assert "GitHubProvider" not in made


def test_cfn_lint_finds_nothing():
    # W1030: SubnetIds is empty only together with an own network, where it is not looked at
    done = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "--ignore-checks",
            "W1030",
            "-t",
            str(RENDERED),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_template_has_no_fault_that_cfn_lint_misses():
    assert list(template_faults(template())) == []


def with_instance_type(value):
    value["Resources"]["Ec2Spot"]["Properties"]["ComputeResources"]["InstanceTypes"] = ["z99x"]


def with_a_mixed_queue(value):
    order = value["Resources"]["Queue"]["Properties"]["ComputeEnvironmentOrder"]
    order.append({"Order": 3, "ComputeEnvironment": {"Ref": "Ec2Spot"}})


def with_an_unknown_reason(value):
    value["Resources"]["Queue"]["Properties"]["JobStateTimeLimitActions"][0]["Reason"] = "SLOW"


def with_min_vcpus_on_fargate(value):
    value["Resources"]["Fargate"]["Properties"]["ComputeResources"]["MinvCpus"] = 1


# Four of the twelve faults that cfn-lint lets through; the eight of a job definition are tested
# in test_job_definition.py.
@pytest.mark.parametrize(
    ("mutate", "fault"),
    [
        (with_instance_type, "Ec2Spot: z99x is no current instance family"),
        (with_a_mixed_queue, "Queue: one queue cannot mix EC2 and Fargate"),
        (with_an_unknown_reason, "Queue: AWS knows no time limit for SLOW"),
        (with_min_vcpus_on_fargate, "Fargate: MinvCpus is not for Fargate"),
    ],
)
def test_a_fault_that_cfn_lint_misses_is_found(mutate, fault):
    mutated = json.loads(body(template()))
    mutate(mutated)
    assert list(template_faults(mutated)) == [fault]


def test_images_with_a_commits_tag_expire_too_and_the_newest_stay():
    # "any" and patterns: documented, "Lifecycle policy properties in Amazon ECR" (2026-11-28)
    policy = template()["Resources"]["Repository"]["Properties"]["LifecyclePolicy"]
    untagged, tagged = json.loads(policy["LifecyclePolicyText"])["rules"]
    assert untagged["selection"]["tagStatus"] == "untagged"
    assert tagged["selection"] == {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "imageCountMoreThan",
        "countNumber": 30,
    }
    assert untagged["rulePriority"] < tagged["rulePriority"]


def test_the_alarm_on_the_ocr_bill_counts_the_metric_that_workers_write():
    out = io.StringIO()
    with JsonLines(lambda: 0.0, lambda: 0.0, out):
        pass
    (metric,) = json.loads(out.getvalue())["_aws"]["CloudWatchMetrics"]
    alarm = template()["Resources"]["OcrBill"]["Properties"]
    assert alarm["Namespace"] == metric["Namespace"]
    assert alarm["MetricName"] in {each["Name"] for each in metric["Metrics"]}
    assert "Dimensions" not in alarm
    assert metric["Dimensions"] == [[]]
    # the most that EvaluationPeriods of an hour and more may cover: documented, PutMetricAlarm
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 86_400
    policy = template()["Resources"]["NoticesPolicy"]["Properties"]["PolicyDocument"]
    assert "cloudwatch.amazonaws.com" in json.dumps(policy)
