"""Every block of the guide, run by bash in its order: real containers, a real registry, no account.

The guide lies beside the project; docs/aws.md has its blocks too, and lists what is done otherwise.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from ocrlabel import read_labels
from tests.support import containers
from tests.support.aws import wait_for_port
from tests.support.containers import Engine, batch_on_containers, process, run, until
from tests.support.shared_data import SHARED, shared_data

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("containers"),  # one rehearsal, not one a worker
]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "aws.md"
GUIDE = SHARED / "guide.md"
BUCKET = "ocrlabel-123456789012-us-east-1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:upstage-api-key"
IMAGES = 40
BUILT = "localhost/batch-processor:latest"
IN_ECR = f"{containers.ECR_HOST}/batch-processor:latest"
RUNNER = ["python", "-m", "runners.batch_pseudo_labels_aws"]


def fenced(text: str, mark: str = "") -> list[str]:
    """The blocks between ``` of a page, in order; those under a comment of this mark."""
    under = f"<!-- {mark} -->\n" if mark else ""
    return re.findall(rf"^{under}```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def guide_blocks() -> list[str]:
    """The guide's own where it is at hand, else those of docs/aws.md, which are the same."""
    if GUIDE.is_file():
        return fenced(GUIDE.read_text(encoding="utf-8"))
    return fenced(PAGE.read_text(encoding="utf-8"), "guide")


@dataclass(frozen=True)
class Otherwise:
    """What of the guide is not run as it stands: a pattern, what stands in its place, and why."""

    pattern: str
    instead: str
    why: str


FOLDER = Otherwise(r"^cd /workspaces/\S+\n\n", "", "its author's folder: ours is a fresh clone")
KEY = Otherwise(r"your-api-key-here", "up_rehearsal_key", "no key")
JOB = Otherwise(r"<JOB_ID>|<your-job-id>", "{job}", "the id that submit-job printed")
DIAGRAM = Otherwise(r"\AGitHub Repository\n.*", "", "a diagram")
ROLE = Otherwise(
    r"aws-batch-setup\.sh$",
    "aws-batch-setup.sh --service-role arn:aws:iam::123456789012:role/service",
    "moto wants a service role",
)
EXCEPTIONS = (FOLDER, KEY, JOB, DIAGRAM, ROLE)


def as_run(block: str) -> str:
    """A block, with the exceptions made."""
    for one in EXCEPTIONS:
        block = re.sub(one.pattern, one.instead, block, flags=re.MULTILINE | re.DOTALL)
    return block


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


def packed_table(path: Path, pages: Sequence[int]) -> None:
    """As `ocrlabel push --pack` makes it: ids, and the images as Hugging Face writes them."""
    rows = range(len(pages))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(
            {
                "id": [f"receipt_{n:05}" for n in rows],
                "image": [{"bytes": page(n), "path": f"{n}.png"} for n in pages],
            }
        ),
        path,
    )


@dataclass
class Rehearsal:
    """Someone at a shell in a copy of the project, who has typed the guide's lines one by one."""

    engine: Engine
    project: Path
    fake: str
    environment: dict[str, str]
    shell: subprocess.Popen[str]
    typed: int = 0

    def start(self, script: str) -> Path:
        """Type lines; they run on. Their output goes to files of this name."""
        self.typed += 1
        file = self.engine.folder / f"typed {self.typed}"
        file.write_text(script)
        assert self.shell.stdin is not None
        self.shell.stdin.write(
            f'failed=; . "{file}" </dev/null >"{file}.out" 2>"{file}.err"; '
            f'echo "$failed" >"{file}.status"; mv "{file}.status" "{file}.ended"\n'
        )
        self.shell.stdin.flush()
        return file

    def bash(self, script: str, timeout_s: float = 900) -> str:
        """Type lines and wait for their end; variables and folder stay. What they printed."""
        file = self.start(script)
        until(Path(f"{file}.ended").exists, timeout_s)
        said = Path(f"{file}.out").read_text()
        if failed := Path(f"{file}.ended").read_text().strip():
            pytest.fail(f"{failed}\n{said}\n{Path(f'{file}.err').read_text()}")
        return said

    def watched(self, script: str, sign: str) -> str:
        """Type lines whose last one never ends, and press Ctrl-C once it printed the sign."""
        file = self.start(script)
        out = Path(f"{file}.out")
        until(lambda: out.exists() and sign in out.read_text(), 120)
        children = Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text()
        for child in children.split():
            os.kill(int(child), signal.SIGINT)
        until(Path(f"{file}.ended").exists, 60)
        return out.read_text()

    def in_project(self, block: str) -> str:
        """Run a block that submits nothing, from the project's folder."""
        return self.bash(f'cd "{self.project}"\n{block}')

    def submitted(self, lines: str) -> str:
        """Run lines that submit a job, wait until it has succeeded, and return its id."""
        job_id = json.loads(self.bash(f'cd "{self.project}"\n{lines}'))["jobId"]
        job = self.wait_for(job_id)
        assert job["status"] == "SUCCEEDED", self.log()
        return str(job_id)

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
    aws_command_line(folder)
    project = copied_project(folder)
    fake = ["ocrlabel", "fake-upstage", "--port", str(fake_port), "--rps", "20"]
    fake += ["--latency", "0.3,0.1", "--pages-per-minute", "0"]
    with (
        containers.registry(folder, registry_port, made.environment),
        process(fake, environment, folder / "fake.log"),
        batch_on_containers(made, moto_port),
    ):
        wait_for_port(fake_port, 60)
        person = {**made.environment, "PATH": environment["PATH"], "HOME": str(folder)}
        for name in [name for name in person if name.startswith("AWS_") and "ENDPOINT" not in name]:
            del person[name]  # `aws configure` is asked for them
        # what an earlier rehearsal pulled must not stand in for what this one pushes
        made.podman("rmi", "--force", "--ignore", IN_ECR)
        with open_shell(person, project) as shell:
            yield Rehearsal(made, project, f"http://127.0.0.1:{fake_port}", person, shell)
        pushed = f"{made.registry}/batch-processor:latest"
        made.podman("rmi", "--force", "--ignore", IN_ECR, pushed)


def aws_command_line(folder: Path) -> None:
    """`aws` of PyPI; its version 1 has no `logs tail`, so Debian's 2.9 does that.

    Debian's knows neither AWS_ENDPOINT_URL nor the runtimePlatform of a job definition.
    """
    venv = ROOT / ".venv-awscli"
    if not (venv / "bin" / "aws").exists():
        run([sys.executable, "-m", "venv", str(venv)], os.environ)  # noqa: TID251 -- pip's own settings
        run([str(venv / "bin" / "pip"), "install", "-q", "awscli>=1.40,<2"], os.environ)  # noqa: TID251 -- as above
    program = folder / "aws"
    program.write_text(
        '#!/bin/sh\ncase "$1 $2" in\n'
        '"logs tail") exec /usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@" ;;\n'
        f'*) exec "{venv}/bin/aws" "$@" ;;\nesac\n'
    )
    program.chmod(0o755)


@contextmanager
def open_shell(environment: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A bash that reads what is typed, and remembers the last line that failed."""
    with subprocess.Popen(
        ["bash"], stdin=subprocess.PIPE, text=True, env=dict(environment), cwd=folder
    ) as shell:
        assert shell.stdin is not None
        shell.stdin.write("set -Eo pipefail; trap 'failed=\"this failed: $BASH_COMMAND\"' ERR\n")
        yield shell


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


@dataclass
class Guide:
    """What the guide's blocks printed, by what they are for, and the jobs that they submitted."""

    printed: dict[str, str]
    jobs: dict[str, str]


@pytest.fixture(scope="module")
def guide(rehearsal: Rehearsal) -> Guide:
    """The guide's blocks, run in order."""
    blocks = [block for block in map(as_run, guide_blocks()) if block]
    configure, setup, upload, image, secrets, definition, by_hand, log, checkpoints, go_on = blocks
    page = PAGE.read_text(encoding="utf-8")
    printed: dict[str, str] = {}
    jobs: dict[str, str] = {}
    rehearsal.client("iam").create_role(RoleName="service", AssumeRolePolicyDocument="{}")
    processed = rehearsal.project / "data" / "processed"
    packed_table(processed / "baseline_train.parquet", range(IMAGES))
    # the guide's 404 images, of which many are equal: they are sent once
    packed_table(processed / "baseline_val.parquet", [500 + n % IMAGES for n in range(404)])

    printed["configure"] = subprocess.run(
        ["bash", "-euc", configure],
        input="testing\ntesting\nus-east-1\njson\n",
        env=rehearsal.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    printed["setup"] = rehearsal.in_project(setup)
    # moto denies all because of the TLS-only statement: it does not look at the condition
    rehearsal.client("s3").delete_bucket_policy(Bucket=BUCKET)
    printed["upload"] = rehearsal.in_project(upload)
    printed["image"] = rehearsal.in_project(image)
    printed["secrets"] = rehearsal.in_project(secrets)
    printed["definition"] = rehearsal.in_project(definition)
    (first,) = fenced(page, "first")
    jobs["first"] = rehearsal.submitted(first)
    submit, describe, download = by_hand_lines(by_hand)
    jobs["train"] = rehearsal.submitted(submit)
    printed["describe"] = rehearsal.bash(describe.replace("{job}", jobs["train"]))
    printed["download"] = rehearsal.bash(download)
    printed["log"] = rehearsal.watched(log.replace("{job}", jobs["train"]), "starting")
    printed["checkpoints"] = rehearsal.in_project(checkpoints)
    jobs["again"] = rehearsal.submitted(go_on)
    (spent,) = fenced(page, "spent")
    printed["spent"] = rehearsal.bash(spent)
    return Guide(printed, jobs)


def by_hand_lines(block: str) -> list[str]:
    """The parts of the block that submits a job, looks at it and fetches its labels.

    A person waits between them.
    """
    return block.split("\n\n")


def test_the_page_has_the_guides_blocks_as_they_stand_there_but_for_its_folder_and_diagram():
    blocks = fenced(shared_data("guide.md").read_text(encoding="utf-8"))
    assert len(blocks) == 11
    for one in (FOLDER, DIAGRAM):
        blocks = [
            re.sub(one.pattern, "", block, flags=re.MULTILINE | re.DOTALL) for block in blocks
        ]
    page = fenced(PAGE.read_text(encoding="utf-8"), "guide")
    assert page == [block for block in blocks if block]


def test_at_most_five_things_of_the_guide_are_done_otherwise_and_the_page_lists_them():
    assert len(EXCEPTIONS) <= 5
    listed = re.findall(
        r"^\d\. ", PAGE.read_text().split("## What the rehearsal does")[1], re.MULTILINE
    )
    assert len(listed) == len(EXCEPTIONS)


def test_the_set_up_prints_the_secrets_with_their_values(guide):
    assert f"S3_BUCKET: {BUCKET}\n" in guide.printed["secrets"]
    assert (
        f"ECR_REPOSITORY_URI: {containers.ECR_HOST}/batch-processor\n" in guide.printed["secrets"]
    )
    assert f"SECRET_ARN: {SECRET}\n" in guide.printed["secrets"]


def test_the_log_of_a_job_is_followed_by_the_stream_that_describe_jobs_names(guide, rehearsal):
    assert '"runner": "batch_pseudo_labels_aws"' in guide.printed["log"]
    job = json.loads(guide.printed["describe"])["jobs"][0]
    assert job["jobId"] == guide.jobs["train"]
    assert job["container"]["logStreamName"]


def test_the_validation_set_was_labelled_first_and_equal_images_once(guide, rehearsal):
    rows = rehearsal.labels("baseline_val")
    assert [row["id"] for row in rows] == [f"receipt_{n:05}" for n in range(404)]
    assert {row["image_sha256"] for row in rows} == {
        hashlib.sha256(page(500 + n)).hexdigest() for n in range(IMAGES)
    }


def test_a_checkpoint_that_was_downloaded_is_read(guide, rehearsal):
    assert "checkpoints/baseline_train_batch_0000.parquet" in guide.printed["checkpoints"]
    fetched = rehearsal.project / "baseline_train_batch_0000.parquet"
    labels = rehearsal.project / "baseline_train_pseudo_labels.parquet"
    assert list(read_labels(fetched)) == list(read_labels(labels))
    rehearsal.bash(f'ocrlabel report "{fetched}" -o page.html')


def test_what_the_page_looks_at_when_something_goes_wrong_can_be_looked_at(guide, rehearsal):
    rows = (PAGE.parent / "troubleshooting.md").read_text().splitlines()
    looks = [row.split("|")[2].strip(" `") for row in rows if row.count("|") == 4]
    looks = [look for look in looks if look.startswith("aws ")]
    assert len(looks) == 5
    for look in looks:
        rehearsal.bash(look)


def test_cost_explorer_is_asked_for_what_carries_the_projects_tag(guide):
    assert "ResultsByTime" in json.loads(guide.printed["spent"])


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
    assert checkpoint in guide.printed["checkpoints"]
    validated = IMAGES
    assert billed(rehearsal) == validated + IMAGES


def test_the_commands_tell_the_same_of_the_job(guide, rehearsal):
    told = rehearsal.bash("ocrlabel aws status baseline_train")
    assert f"done {IMAGES} of {IMAGES}" in told
    assert "it succeeded" in rehearsal.bash(f"ocrlabel aws explain {guide.jobs['train']}")
    assert '"starting"' in rehearsal.bash(f"ocrlabel aws logs {guide.jobs['train']}")
    assert "_pseudo_labels.parquet" in rehearsal.bash("ocrlabel aws download baseline_train")


def test_the_key_is_in_no_log(guide, rehearsal):
    assert "up_rehearsal_key" not in rehearsal.log()
    assert "up_rehearsal_key" not in "".join(guide.printed.values())


def billed(rehearsal: Rehearsal) -> int:
    """Pages that the service has billed in all."""
    return int(rehearsal.stats()["billed_pages"])


def test_an_array_of_four_makes_the_same_table(guide, rehearsal):
    rehearsal.put("baseline_array", 100)
    before = billed(rehearsal)
    submitted = rehearsal.bash(
        "aws batch submit-job --job-name pseudo-label-array --job-definition pseudo-label-processor "
        "--job-queue batch-processor-queue --array-properties size=4 --container-overrides "
        f"'{json.dumps({'command': [*RUNNER, '--dataset-name', 'baseline_array', '--batch-size', '10']})}'"
    )
    job_id = json.loads(submitted)["jobId"]
    job = rehearsal.wait_for(job_id)
    assert job["status"] == "SUCCEEDED", rehearsal.log()
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 4
    rows = rehearsal.labels("baseline_array")
    assert [row["id"] for row in rows] == [f"receipt_{n:05}" for n in range(100, 140)]
    assert billed(rehearsal) - before == IMAGES
    described = "aws batch describe-jobs --query 'jobs[0].container.logStreamName' --output text"
    assert rehearsal.bash(f"{described} --jobs {job_id}") == "None\n"
    stream = rehearsal.bash(f"{described} --jobs {job_id}:0").strip()
    assert "starting" in rehearsal.bash(f"aws logs tail /aws/batch/job --log-stream-names {stream}")


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
    running = rehearsal.engine.podman("ps", "--quiet", "--filter", f"name={job_id}").strip()
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
    argv = ["--read-only", "--env", f"S3_BUCKET={BUCKET}", "batch-processor:latest"]
    argv += [*RUNNER, "--dataset-name", "baseline_stop"]
    # by the id that podman gives: a run that was killed may have left a container of any name
    worker = rehearsal.engine.podman("run", "--detach", *argv).strip()
    try:
        until(lambda: billed(rehearsal) - before >= 5, 120)
        rehearsal.engine.podman("stop", "--time", "30", worker)
        ended = rehearsal.engine.podman("inspect", "--format", "{{.State.ExitCode}}", worker)
        assert ended.strip() == "75", rehearsal.engine.podman("logs", worker)
    finally:
        rehearsal.engine.podman("rm", "--force", worker)
        rehearsal.control(rps=20)
    cut_at = billed(rehearsal) - before
    assert cut_at < IMAGES
    command = [*RUNNER, "--dataset-name", "baseline_stop", "--resume"]
    again = ["--rm", "--read-only", "--env", f"S3_BUCKET={BUCKET}", "batch-processor:latest"]
    rehearsal.engine.podman("run", *again, *command)
    assert len(rehearsal.labels("baseline_stop")) == IMAGES
    assert billed(rehearsal) - before == IMAGES, "a drained worker leaves nothing to pay again"


@pytest.fixture(scope="module")
def local_image(guide: Guide, rehearsal: Rehearsal) -> None:
    """The image with the free engines, as if pulled already, and in the newest definition.

    The other image has shown the way through the registry, and this one is large.
    """
    rehearsal.in_project(
        "docker build -f scripts/cloud/Dockerfile.batch --target local -t batch-processor:local .\n"
        'sed \'s|batch-processor:latest|batch-processor:local|; s|"2048"|"4096"|; '
        's|"value": "1"|"value": "2"|\' aws/batch-job-definition.json >local.json\n'
        "aws batch register-job-definition --cli-input-json file://local.json"
    )
    rehearsal.engine.podman(
        "tag", "batch-processor:local", f"{containers.ECR_HOST}/batch-processor:local"
    )
    # moto's ECR has no registry behind it: what would have been pushed is told to it
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    rehearsal.client("ecr").put_image(
        repositoryName="batch-processor",
        imageManifest=json.dumps({**manifest, "layers": []}),
        imageTag="local",
    )


@pytest.mark.parametrize(("engine", "first"), [("rapidocr", 400), ("tesseract", 500)])
def test_a_fleet_of_a_free_engine_is_one_command(local_image, rehearsal, engine, first):
    rehearsal.put(f"free_{engine}", first)
    before = billed(rehearsal)
    submit = f"ocrlabel aws submit free_{engine} --engine {engine} --workers 2"
    job = rehearsal.wait_for(rehearsal.bash(submit).strip(), 600)
    assert job["status"] == "SUCCEEDED", rehearsal.log()
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2
    rows = rehearsal.labels(f"free_{engine}")
    assert [row["id"] for row in rows] == [f"receipt_{n:05}" for n in range(first, first + IMAGES)]
    assert {row["engine"] for row in rows} == {engine}
    assert all("receipt" in " ".join(row["texts"]) for row in rows)
    assert billed(rehearsal) == before


def test_the_local_image_reads_korean(local_image, rehearsal):
    command = ["run", "--rm", "--read-only", "localhost/batch-processor:local"]
    languages = rehearsal.engine.podman(*command, "tesseract", "--list-langs").split()
    assert {"kor", "eng"} <= set(languages)
