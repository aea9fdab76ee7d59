"""From a push to an artifact with real containers: the image that the first workflow builds and
pushes to a registry is the one in which the second one's job runs."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support import containers
from tests.support.aws import client
from tests.support.drawn import drawn, encoded
from tests.support.fake_upstage import running
from tests.support.workflow_actions import Actions
from tests.support.workflow_runner import Event, Runner, Settings

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),  # two at once would pull one image from another's feet
]

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
BUCKET = "labels-of-mine"
SECRET = "the-secret-access-key-that-shows-nowhere"
ROLES = "arn:aws:iam::123456789012:role"
ROWS = 8

# `docker` for the workflow: the rehearsal's, plus what ECR does by itself: it knows what was pushed
DOCKER = """#!/usr/bin/env bash
set -euo pipefail
case $1 in
  buildx) exit 1 ;;
  push)
    "{shim}" "$@"
    "{python}" "{know}" "{registry}" "$2" ;;
  *) exec "{shim}" "$@" ;;
esac
"""
KNOW = """
import hashlib, os, sys, urllib.request
import boto3
registry, reference = sys.argv[1:]
repository, tag = reference.split("/", 1)[1].split(":")
kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
ask = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": kinds})
data = urllib.request.urlopen(ask).read()
ecr = boto3.client("ecr", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
ecr.put_image(
    repositoryName=repository,
    imageManifest=data.decode(),
    imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
    imageTag=tag,
    imageDigest="sha256:" + hashlib.sha256(data).hexdigest(),
)
"""


@dataclass
class Place:
    runner: Runner
    engine: containers.Engine
    moto: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if lacking := containers.missing_programs():
        absent = f"this needs {', '.join(lacking)}: see .ci/apt-packages.txt"
        if os.environ.get("E2E_REQUIRED"):  # noqa: TID251 -- the tests' own shell
            pytest.fail(absent)
        pytest.skip(absent)
    folder = tmp_path_factory.mktemp("place")
    moto_port, registry_port = free_port(), free_port()
    moto = f"http://127.0.0.1:{moto_port}"
    tools = folder / "venv"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--seed", "--python", sys.executable, tools], check=True)
    with running(FakeSettings(latency=Latency(0.05))) as fake:
        environment = {
            **os.environ,  # noqa: TID251 -- pip's and podman's own settings
            "AWS_ENDPOINT_URL": moto,
            "AWS_ACCESS_KEY_ID": "of-the-job-role",
            "AWS_SECRET_ACCESS_KEY": "of-the-job-role",
            "AWS_REGION": "us-east-1",
            "UPSTAGE_BASE_URL": fake.base_url,
        }
        secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:upstage-api-key"
        made = containers.engine(folder, registry_port, {**environment, "AWS_SECRET_ARN": secret})
        containers.docker_shim(folder, made.registry)
        containers.base_image(made)
        with (
            containers.registry(folder, registry_port, made.environment),
            containers.batch_on_containers(made, moto_port),
        ):
            settings = Settings(account(moto), {"AWS_REGION": "us-east-1"})
            machine = {**made.environment, "PATH": f"{docker(folder, made)}:{os.environ['PATH']}"}  # noqa: TID251 -- as above
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
                machine.pop(name)
            actions = Actions(tools / "bin", moto)
            yield Place(Runner(folder, machine, actions.table(), settings), made, moto)


def docker(folder: Path, made: containers.Engine) -> Path:
    """The folder with the workflow's `docker`."""
    where = folder / "bin"
    where.mkdir()
    (where / "know.py").write_text(KNOW)
    program = where / "docker"
    program.write_text(
        DOCKER.format(
            shim=folder / "docker",
            python=sys.executable,
            know=where / "know.py",
            registry=made.registry,
        )
    )
    program.chmod(0o755)
    return where


def account(moto: str) -> dict[str, str]:
    """What deploy makes, by AWS's own calls, and the guide's eight secrets."""
    client("s3", moto).create_bucket(Bucket=BUCKET)
    client("ecr", moto).create_repository(repositoryName="batch-processor")
    made = client("secretsmanager", moto).create_secret(
        Name="upstage-api-key", SecretString="up_a_key"
    )
    iam, ec2, batch = client("iam", moto), client("ec2", moto), client("batch", moto)
    for name in ("service", "ocrlabel-JobRole-1", "ocrlabel-ExecutionRole-1"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    groups = [each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]]
    batch.create_compute_environment(
        computeEnvironmentName="spot",
        type="MANAGED",
        state="ENABLED",
        serviceRole=f"{ROLES}/service",
        computeResources={
            "type": "FARGATE_SPOT",
            "maxvCpus": 4,
            "subnets": subnets[:1],
            "securityGroupIds": groups[:1],
        },
    )
    batch.create_job_queue(
        jobQueueName="batch-processor-queue",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "spot"}],
    )
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "S3_BUCKET": BUCKET,
        "ECR_URI": f"{containers.ECR_HOST}/batch-processor",
        "JOB_ROLE_ARN": f"{ROLES}/ocrlabel-JobRole-1",
        "EXEC_ROLE_ARN": f"{ROLES}/ocrlabel-ExecutionRole-1",
        "SECRET_ARN": made["ARN"],
    }


def test_a_push_and_a_click_label_a_dataset_in_the_image_that_was_pushed(place: Place) -> None:
    deploy = Event("push", changed=("src/ocrlabel/labels.py",))
    deployed = place.runner.run(WORKFLOWS / "deploy-batch-processor.yml", deploy)
    assert deployed.jobs["deploy"] == "success", deployed.log
    assert "## The batch processor is deployed" in deployed.summary

    held = io.BytesIO()
    images = [encoded(drawn(f"receipt {n}", width=300, height=80)) for n in range(ROWS)]
    rows = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(images)]
    ids = [f"receipt-{n}" for n in range(ROWS)]
    pq.write_table(pa.table({"id": ids, "image": rows}), held)
    client("s3", place.moto).put_object(
        Bucket=BUCKET, Key="data/processed/baseline_train.parquet", Body=held.getvalue()
    )
    click = Event("workflow_dispatch", {"dataset": "baseline_train"})
    ran = place.runner.run(WORKFLOWS / "run-batch-job.yml", click)

    assert ran.jobs == {"label": "success"}, ran.log
    tables = ran.artifacts["results"]
    labels = pq.read_table(tables / "baseline_train_pseudo_labels.parquet").to_pylist()
    assert [row["id"] for row in labels] == ids
    assert all(row["texts"] for row in labels)
    assert "| labelled | 8 |" in ran.summary
    (definition,) = client("batch", place.moto).describe_job_definitions()["jobDefinitions"]
    image = definition["containerProperties"]["image"]
    assert image.startswith(f"{containers.ECR_HOST}/batch-processor@sha256:")
    assert place.engine.podman("image", "exists", image) == "", "it was pulled by its digest"
    assert SECRET not in deployed.log + ran.log + deployed.summary + ran.summary
