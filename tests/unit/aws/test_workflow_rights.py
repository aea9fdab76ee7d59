"""What a workflow's commands ask of AWS, beside what its role may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ocrlabel.aws import image
from ocrlabel.aws.names import AwsConfig, AwsLocation
from ocrlabel.aws.session import Aws
from ocrlabel.aws.template import policies
from ocrlabel.cli import aws_jobs
from ocrlabel.cli import aws_stack as aws_image
from ocrlabel.cli import aws_workflow as aws_workflow_results
from ocrlabel.cli import aws_workflow as aws_workflow_run
from ocrlabel.cli.aws_wiring import Shell
from ocrlabel.errors import ConfigError
from tests.support.aws import ACCOUNT, REGION, FakeTime
from tests.support.docker_at_ecr import Docker

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")

# the right to a call, where it is not called as the call is
RIGHTS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
NAMES_NO_RIGHT = {"sts:GetCallerIdentity"}
ESTIMATE = {"pricing:GetProducts", "ec2:DescribeSpotPriceHistory"}
LOOK = {"cloudformation:DescribeStacks", "ecr:DescribeImages", "batch:TerminateJob"}
COMMIT = "4f2c"
ONCE = Config(retries={"total_max_attempts": 1})  # moto has no price list


@dataclass(eq=False)
class Watched:
    """The options of a command, whose clients write down the right that each call needs."""

    url: str
    asked: set[str] = field(default_factory=set)
    time: FakeTime = field(default_factory=FakeTime)

    @cache  # noqa: B019 -- clients are slow to make, and one test has one of these
    def aws(self) -> Aws:
        return Aws(self._client, REGION, sleep=self.time.sleep, now_s=self.time.clock)

    def config(self) -> AwsConfig:
        return Shell(None, None, Path("aws/config.env")).config()

    def _client(self, service: str) -> Any:
        session = boto3.Session("testing", "testing", region_name=REGION)
        made = session.client(service, endpoint_url=self.url, config=ONCE)
        made.meta.events.register("before-call", self._note)
        return made

    def _note(self, model: Any, **_: object) -> None:
        call = f"{model.service_model.signing_name}:{model.name}"
        self.asked.add(RIGHTS.get(call, call))


@pytest.fixture
def watched(deployed, monkeypatch) -> Iterator[Watched]:
    for name, value in deployed.variables.items():
        monkeypatch.setenv(name, value)
    for name, value in {"DATASET": "train", "ENGINE": "rapidocr", "ON_CANCEL": "stop"}.items():
        monkeypatch.setenv(f"INPUT_{name}", value)
    deployed.put_dataset("train", 3)
    return Watched(deployed.variables["AWS_ENDPOINT_URL"])


def test_every_call_of_the_two_workflows_is_one_that_their_role_may_make(
    watched, deployed, tmp_path
):
    here = SimpleNamespace(obj=watched)
    config, docker = watched.config(), Docker(deployed.aws.client("ecr"))
    ecr = watched.aws().client("ecr")
    image.log_in(docker, "docker", ecr, config.ecr_uri)
    image.push(docker, "docker", ecr, name="x", uri=config.ecr_uri, tags=[COMMIT])
    aws_image.register(here, tag=COMMIT, vcpu=2.0, memory_mib=4096)
    aws_workflow_results.deployed(here, COMMIT)
    aws_workflow_run.check(here)
    aws_workflow_run.submit(here)
    job = deployed.aws.client("batch").list_jobs(jobQueue="batch-processor-queue")
    (job_id,) = [each["jobId"] for each in job["jobSummaryList"]]
    aws_workflow_run.follow(here, job_id, "1m")
    aws_workflow_results.results(here, job_id, tmp_path)
    aws_jobs.explain(here, job_id)
    aws_workflow_run.stop(here)
    with pytest.raises(ConfigError, match="not there"):
        aws_jobs.download(here, "train", tmp_path)

    may = {
        action
        for statement in policies(AwsLocation(ACCOUNT, REGION), config.s3_bucket, "key")["github"]
        for action in statement["Action"]
    }
    assert watched.asked - NAMES_NO_RIGHT <= may
    assert watched.asked >= ESTIMATE | LOOK
