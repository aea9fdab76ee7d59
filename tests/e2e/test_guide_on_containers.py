"""The guide of docs/aws.md, run by bash in its order: real containers, a real registry, no account.

docs/aws.md lists what is done otherwise than there; nothing else is.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from tests.support import containers
from tests.support.aws import wait_for_port
from tests.support.containers import Engine, batch_on_containers, process, run, until

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("containers"),  # one rehearsal, not one a worker
]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "aws.md"
BUCKET = "ocrlabel-123456789012-us-east-1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:upstage-api-key"
IMAGES = 40
BUILT = "localhost/batch-processor:latest"
IN_ECR = f"{containers.ECR_HOST}/batch-processor:latest"
RUNNER = ["python", "-m", "runners.batch_pseudo_labels_aws"]


def blocks() -> dict[str, str]:
    """The guide's commands by the names of their blocks, in order."""
    found = re.findall(r"<!-- guide: (\w+) -->\n```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return dict(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page(number: int) -> bytes:
    image = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(image).text((20, 40), f"receipt {number}", fill="black", font_size=30)
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


def packed_table(path: Path, first: int) -> None:
    """As `ocrlabel push --pack` makes it: ids, and the images as Hugging Face writes them."""
    rows = range(first, first + IMAGES)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(
            {
                "id": [f"receipt_{n:05}" for n in rows],
                "image": [{"bytes": page(n), "path": f"receipt_{n:05}.png"} for n in rows],
            }
        ),
        path,
    )


@dataclass
class Rehearsal:
    """Someone at a shell in a copy of the project; what one block exports, the next one has."""

    engine: Engine
    project: Path
    fake: str
    environment: dict[str, str]

    def bash(self, script: str) -> str:
        """Run lines of the guide; variables and folder stay for the next ones."""
        state = self.engine.folder / "state"
        printed = run(
            ["bash", "-euo", "pipefail", "-c", f'{script}\nenv -0 > "{state}"'],
            self.environment,
            cwd=self.project,
        )
        pairs = state.read_text().split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return printed

    def block(self, name: str) -> str:
        return self.bash(blocks()[name].replace("up_...", "up_rehearsal_key"))

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client("batch").describe_jobs(jobs=[job_id])["jobs"][0]

    def wait_for(self, job_id: str, within_s: float = 300) -> dict[str, Any]:
        """The job once it has ended."""
        until(lambda: self.job(job_id)["status"] in {"SUCCEEDED", "FAILED"}, within_s, 0.5)
        return self.job(job_id)

    def log(self) -> str:
        events = self.client("logs").filter_log_events(logGroupName="/aws/batch/job")["events"]
        return "\n".join(event["message"] for event in events)

    def stats(self) -> dict[str, Any]:
        return dict(httpx2.get(f"{self.fake}/stats").raise_for_status().json())

    def control(self, **settings: Any) -> None:
        httpx2.post(f"{self.fake}/control", json=settings).raise_for_status()

    def put(self, dataset: str, first: int) -> None:
        """Another dataset of forty images that no other has, pushed as a user would."""
        folder = self.engine.folder / dataset
        folder.mkdir()
        for number in range(first, first + IMAGES):
            (folder / f"receipt_{number:05}").write_bytes(page(number))
        self.bash(f"ocrlabel push '{folder}' s3://{BUCKET}/data/processed/{dataset}.parquet --pack")

    def labels(self, dataset: str) -> list[dict[str, Any]]:
        held = io.BytesIO()
        key = f"data/processed/{dataset}_pseudo_labels.parquet"
        self.client("s3").download_fileobj(BUCKET, key, held)
        return pq.read_table(held).to_pylist()


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    lacking = containers.missing_programs()
    if lacking:
        absent = f"the rehearsal needs {', '.join(lacking)}: see .ci/apt-packages.txt"
        if os.environ.get("E2E_REQUIRED"):  # noqa: TID251 -- the tests' own shell
            pytest.fail(absent)
        pytest.skip(absent)
    folder = tmp_path_factory.mktemp("rehearsal")
    moto_port, registry_port, fake_port = free_port(), free_port(), free_port()
    environment = {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",  # noqa: TID251 -- as above
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "UPSTAGE_BASE_URL": f"http://127.0.0.1:{fake_port}/v1",
    }
    made = containers.engine(folder, registry_port, {**environment, "AWS_SECRET_ARN": SECRET})
    containers.docker_shim(folder, made.registry)
    containers.base_image(made)
    aws_command_line(folder, made)
    project = copied_project(folder)
    fake = ["ocrlabel", "fake-upstage", "--port", str(fake_port), "--rps", "20"]
    fake += ["--latency", "0.3,0.1", "--pages-per-minute", "0"]
    with (
        containers.registry(folder, registry_port, made.environment),
        process(fake, environment, folder / "fake.log"),
        batch_on_containers(made, moto_port),
    ):
        wait_for_port(fake_port, 60)
        person = {**made.environment, **environment}
        # what an earlier rehearsal pulled must not stand in for what this one pushes
        made.podman("rmi", "--force", "--ignore", IN_ECR)
        yield Rehearsal(made, project, f"http://127.0.0.1:{fake_port}", person)
        pushed = f"{made.registry}/batch-processor:latest"
        made.podman("rmi", "--force", "--ignore", IN_ECR, pushed)


def aws_command_line(folder: Path, made: Engine) -> None:
    """`aws` of PyPI, in a venv of its own: Debian's is too old to know AWS_ENDPOINT_URL."""
    venv = ROOT / ".venv-awscli"
    if not (venv / "bin" / "aws").exists():
        run([sys.executable, "-m", "venv", str(venv)], made.environment)
        settings = {**os.environ, **made.environment}  # noqa: TID251 -- pip's own settings
        run([str(venv / "bin" / "pip"), "install", "-q", "awscli>=1.40,<2"], settings)
    (folder / "aws").symlink_to(venv / "bin" / "aws")


def copied_project(folder: Path) -> Path:
    """What git has, in a folder where the guide may write."""
    project = folder / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    return project


@pytest.fixture(scope="module")
def guide(rehearsal: Rehearsal) -> dict[str, str]:
    """The guide's blocks, run in order; what each printed."""
    steps = blocks()
    printed: dict[str, str] = {}
    rehearsal.client("iam").create_role(RoleName="service", AssumeRolePolicyDocument="{}")
    packed_table(rehearsal.project / "data" / "processed" / "baseline_train.parquet", 0)

    rehearsal.bash("export UPSTAGE_API_KEY=up_rehearsal_key")  # aws configure would ask
    setup = steps["setup"].replace(
        "aws-batch-setup.sh",
        "aws-batch-setup.sh --service-role arn:aws:iam::123456789012:role/service",
    )
    printed["setup"] = rehearsal.bash(setup)
    # moto denies all because of the TLS-only statement: it does not look at the condition
    rehearsal.client("s3").delete_bucket_policy(Bucket=BUCKET)
    printed["dataset"] = rehearsal.block("dataset")
    printed["image"] = rehearsal.block("image") + rehearsal.bash(f"cd {rehearsal.project}")
    printed["definition"] = rehearsal.block("definition")
    printed["submit"] = rehearsal.block("submit")
    job_id = json.loads(printed["submit"])["jobId"]
    job = rehearsal.wait_for(job_id)
    assert job["status"] == "SUCCEEDED", rehearsal.log()
    rehearsal.bash(f"export JOB_ID={job_id}")
    printed["look"] = rehearsal.block("look")
    printed["resume"] = rehearsal.block("resume")
    again = rehearsal.wait_for(json.loads(printed["resume"])["jobId"])
    assert again["status"] == "SUCCEEDED", rehearsal.log()
    printed["download"] = rehearsal.block("download")
    return printed


def test_every_block_of_the_guide_was_run(guide):
    assert set(guide) == set(blocks()) - {"credentials"}


def test_the_job_ran_in_a_container_of_the_pushed_image(guide, rehearsal):
    pulled = rehearsal.engine.podman("image", "inspect", "--format", "{{.Id}}", IN_ECR)
    built = rehearsal.engine.podman("image", "inspect", "--format", "{{.Id}}", BUILT)
    assert pulled == built
    assert '"starting"' in rehearsal.log()


def test_the_guides_labels_are_those_of_the_table(guide, rehearsal):
    table = pq.read_table(rehearsal.project / "baseline_train_pseudo_labels.parquet")
    assert table["id"].to_pylist() == [f"receipt_{n:05}" for n in range(IMAGES)]
    assert all(table["texts"].to_pylist())
    assert set(table["image_sha256"].to_pylist()) == {
        hashlib.sha256(page(n)).hexdigest() for n in range(IMAGES)
    }


NOWHERE_TO_WRITE = {
    "no volume at all": "--image-volume=ignore",
    "a volume that belongs to root": "--mount type=bind,source={of_root},destination=/tmp",
}


@pytest.mark.parametrize("mount", NOWHERE_TO_WRITE.values(), ids=list(NOWHERE_TO_WRITE))
def test_a_container_that_can_write_nowhere_says_so_and_how_to_mend_it(guide, rehearsal, mount):
    before = billed(rehearsal)
    of_root = rehearsal.engine.folder / "of_root"
    of_root.mkdir(mode=0o755, exist_ok=True)
    said = rehearsal.bash(
        f"podman run --rm --read-only --read-only-tmpfs=false {mount.format(of_root=of_root)} "
        f"--env S3_BUCKET={BUCKET} {BUILT} {' '.join(RUNNER)} --dataset-name baseline_train --fresh "
        "2>&1 || echo ended with $?"
    )
    assert said.splitlines()[-1] == "ended with 2"
    assert "ConfigError: user 10001 can write no temporary file" in said
    assert "VOLUME /tmp" in said
    assert "Traceback" not in said
    assert billed(rehearsal) == before


def test_the_definitions_volume_is_the_only_place_that_a_worker_needs(guide, rehearsal):
    (mount,) = json.loads((rehearsal.project / "aws" / "batch-job-definition.json").read_text())[
        "containerProperties"
    ]["mountPoints"]
    rehearsal.engine.podman(
        *("run", "--rm", "--read-only", "--read-only-tmpfs=false", "--image-volume=ignore"),
        *("--mount", f"type=volume,destination={mount['containerPath']}"),
        *("--env", f"S3_BUCKET={BUCKET}", BUILT, *RUNNER),
        *("--dataset-name", "baseline_train", "--resume"),
    )


def test_a_run_that_was_finished_is_not_paid_again(guide, rehearsal):
    checkpoint = "checkpoints/baseline_train_batch_0000.parquet"
    assert checkpoint in guide["look"]
    assert billed(rehearsal) == IMAGES


def test_the_commands_tell_the_same_of_the_job(guide, rehearsal):
    told = rehearsal.bash("ocrlabel aws status baseline_train")
    assert f"done {IMAGES} of {IMAGES}" in told
    assert "it succeeded" in rehearsal.bash("ocrlabel aws explain $JOB_ID")
    assert '"starting"' in rehearsal.bash("ocrlabel aws logs $JOB_ID")
    assert "_pseudo_labels.parquet" in rehearsal.bash("ocrlabel aws download baseline_train")


def test_the_key_is_in_no_log(guide, rehearsal):
    assert "up_rehearsal_key" not in rehearsal.log()
    assert "up_rehearsal_key" not in "".join(guide.values())


def billed(rehearsal: Rehearsal) -> int:
    """Pages that the service has billed in all."""
    return int(rehearsal.stats()["billed_pages"])


def test_an_array_of_four_makes_the_same_table(guide, rehearsal):
    rehearsal.put("baseline_val", 100)
    before = billed(rehearsal)
    submitted = rehearsal.bash(
        "aws batch submit-job --job-name pseudo-label-val --job-definition pseudo-label-processor "
        "--job-queue batch-processor-queue --array-properties size=4 --container-overrides "
        f"'{json.dumps({'command': [*RUNNER, '--dataset-name', 'baseline_val', '--batch-size', '10']})}'"
    )
    job_id = json.loads(submitted)["jobId"]
    job = rehearsal.wait_for(job_id)
    assert job["status"] == "SUCCEEDED", rehearsal.log()
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 4
    rows = rehearsal.labels("baseline_val")
    assert [row["id"] for row in rows] == [f"receipt_{n:05}" for n in range(100, 140)]
    assert billed(rehearsal) - before == IMAGES


def test_a_job_that_was_killed_goes_on_with_resume(guide, rehearsal):
    rehearsal.put("baseline_cut", 200)
    rehearsal.control(rps=4)
    before = billed(rehearsal)
    overrides = {"command": [*RUNNER, "--dataset-name", "baseline_cut"]}
    submit = (
        "aws batch submit-job --job-name cut --job-definition pseudo-label-processor "
        "--job-queue batch-processor-queue --container-overrides "
    )
    job_id = json.loads(rehearsal.bash(f"{submit}'{json.dumps(overrides)}'"))["jobId"]
    until(lambda: billed(rehearsal) - before >= 10, 120)
    running = rehearsal.engine.podman("ps", "--quiet", "--filter", "name=cut-").strip()
    (container,) = json.loads(rehearsal.engine.podman("inspect", running))
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert [mount["Destination"] for mount in container["Mounts"]] == ["/tmp"]
    rehearsal.bash(f"aws batch terminate-job --job-id {job_id} --reason cut")
    assert rehearsal.wait_for(job_id)["status"] == "FAILED"
    assert billed(rehearsal) - before < IMAGES, "it was killed too late to show anything"
    rehearsal.control(rps=20)
    overrides["command"].append("--resume")
    again = json.loads(rehearsal.bash(f"{submit}'{json.dumps(overrides)}'"))["jobId"]
    # what it had sent and not heard of may be answered for as long as a request may take (300 s)
    job = rehearsal.wait_for(again, 600)
    assert job["status"] == "SUCCEEDED", rehearsal.log()
    rows = rehearsal.labels("baseline_cut")
    assert [row["id"] for row in rows] == [f"receipt_{n:05}" for n in range(200, 240)]
    in_flight = 8
    assert IMAGES <= billed(rehearsal) - before <= IMAGES + in_flight


def test_a_stopped_container_with_a_read_only_root_saves_and_exits_75(guide, rehearsal):
    rehearsal.put("baseline_stop", 300)
    rehearsal.control(rps=4)
    before = billed(rehearsal)
    name = "ocrlabel-rehearsal-stop"
    argv = ["--name", name, "--read-only", "--env", f"S3_BUCKET={BUCKET}"]
    argv += ["batch-processor:latest", *RUNNER, "--dataset-name", "baseline_stop"]
    rehearsal.engine.podman("run", "--detach", *argv)
    try:
        until(lambda: billed(rehearsal) - before >= 5, 120)
        rehearsal.engine.podman("stop", "--time", "30", name)
        ended = rehearsal.engine.podman("inspect", "--format", "{{.State.ExitCode}}", name)
        assert ended.strip() == "75", rehearsal.engine.podman("logs", name)
    finally:
        rehearsal.engine.podman("rm", "--force", name)
        rehearsal.control(rps=20)
    cut_at = billed(rehearsal) - before
    assert cut_at < IMAGES
    command = [*RUNNER, "--dataset-name", "baseline_stop", "--resume"]
    again = ["--rm", "--read-only", "--env", f"S3_BUCKET={BUCKET}", "batch-processor:latest"]
    rehearsal.engine.podman("run", *again, *command)
    assert len(rehearsal.labels("baseline_stop")) == IMAGES
    assert billed(rehearsal) - before == IMAGES, "a drained worker leaves nothing to pay again"
