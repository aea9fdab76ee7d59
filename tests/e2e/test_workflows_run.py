"""The two workflows of the guide, run: from a push to the tables in an artifact, with no account.

Every `run:` step is run by bash as GitHub runs it. moto is AWS, tests/support/local_batch.py is
AWS Batch (jobs are processes), the fake service answers, and `docker` is a double; the last test
does the same with real containers.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import client, moto_process, serving
from tests.support.drawn import drawn, encoded
from tests.support.fake_upstage import Running, running
from tests.support.local_batch import LocalBatch
from tests.support.workflow_actions import Actions
from tests.support.workflow_runner import Event, Ran, Refused, Runner, Settings, never

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("workflows"),  # what they need is made once, not in each process
]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / ".github/workflows/deploy-batch-processor.yml"
RUN = ROOT / ".github/workflows/run-batch-job.yml"
ACCOUNT = "123456789012"
BUCKET = "labels-of-mine"
KEY = "up_the_ocr_key_that_shows_nowhere"
ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "the-secret-access-key-that-shows-nowhere"
ROLES = f"arn:aws:iam::{ACCOUNT}:role"
ROWS = 8

# what a program of this machine needs to find the package registry
_MACHINES_OWN = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "NO_PROXY", "LANG", "LC_")


@dataclass
class Place:
    """An account, a service, and a machine that workflows run on."""

    folder: Path
    moto: str
    fake: Running
    batch: LocalBatch
    machine: dict[str, str]
    actions: Actions
    secrets: dict[str, str]
    variables: dict[str, str] = field(default_factory=lambda: {"AWS_REGION": "us-east-1"})
    runs: int = 0

    def runner(self, **changes: Any) -> Runner:
        self.runs += 1
        settings = Settings(self.secrets, self.variables)
        settings = replace(settings, **changes)
        folder = self.folder / f"runner-{self.runs}"
        return Runner(folder, self.machine, self.actions.table(), settings)

    def push(self, *changed: str) -> Ran:
        return self.runner().run(DEPLOY, Event("push", changed=changed))

    def label(
        self,
        cancel: Callable[[], bool] = never,
        settings: dict[str, Any] | None = None,
        **form: str,
    ) -> Ran:
        """Someone clicks on the button."""
        event = Event("workflow_dispatch", form, run_id=str(1000 + self.runs))
        return self.runner(**(settings or {})).run(RUN, event, cancel)

    def put(self, dataset: str, images: list[bytes]) -> None:
        held = io.BytesIO()
        rows = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(images)]
        ids = [f"{dataset}-{n}" for n in range(len(images))]
        pq.write_table(pa.table({"id": ids, "image": rows}), held)
        key = f"data/processed/{dataset}.parquet"
        client("s3", self.moto).put_object(Bucket=BUCKET, Key=key, Body=held.getvalue())

    def billed(self) -> int:
        return int(str(self.fake.stats()["billed_pages"]))

    def asked_of_docker(self) -> list[list[str]]:
        log = self.folder / "docker.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def pages(dataset: str, count: int = ROWS) -> list[bytes]:
    return [encoded(drawn(f"{dataset} {n}", width=300, height=80)) for n in range(count)]


def until(done: Callable[[], bool], timeout_s: float = 60) -> None:
    end_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s, "not so in time"
        threading.Event().wait(0.05)


def environment_of_the_locks(where: Path) -> list[str | Path]:
    """Python with all that the cloud's lock names; gives the command that installs into it."""
    uv = Path(sys.executable).with_name("uv")
    locks = [f"-r{ROOT}/requirements/{name}.lock" for name in ("build", "cloud-api")]
    subprocess.run([uv, "venv", "-q", "--seed", "--python", sys.executable, where], check=True)
    install = [uv, "pip", "install", "-q", "--python", where / "bin" / "python"]
    subprocess.run([*install, "--require-hashes", *locks], check=True)
    return install


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter that the stand-in for setup-python gives.

    It holds what the locks name already: pip still checks each version, and fetches nothing.
    """
    where = tmp_path_factory.mktemp("python") / "venv"
    environment_of_the_locks(where)
    return where / "bin"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workers' image's working directory: the wheel in an environment, and runners/ beside it.

    It is not the runner's environment, so no workflow installs anything under a running job's feet.
    """
    workdir = tmp_path_factory.mktemp("image")
    install = environment_of_the_locks(workdir / "venv")
    subprocess.run([*install, "--no-deps", "--no-build-isolation", ROOT], check=True)
    shutil.copytree(ROOT / "runners", workdir / "runners")
    return workdir


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tools: Path, image: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "bin").mkdir()
    double = ROOT / "tests" / "support" / "docker_double.py"
    docker = folder / "bin" / "docker"
    docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{double}" "{folder}" "$@"\n')
    docker.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if name.startswith(_MACHINES_OWN)}  # noqa: TID251 -- the tests' own shell
    service = FakeSettings(keys=keys_of_secret(f"{KEY}@50"), latency=Latency(0.05))
    with moto_process() as moto, running(service) as fake, serving("application/json") as served:
        cloud = {"AWS_ENDPOINT_URL": moto, "UPSTAGE_BASE_URL": fake.base_url}
        container = {
            **cloud,
            "PATH": f"{image}/venv/bin:/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": "of-the-job-role",
            "AWS_SECRET_ACCESS_KEY": "of-the-job-role",
            "AWS_REGION": "us-east-1",
            "HOME": str(folder),
        }
        batch = LocalBatch(container, moto, folder, image)
        served.handle = batch.handle
        machine = {
            **own,
            "AWS_ENDPOINT_URL": moto,
            "AWS_ENDPOINT_URL_BATCH": served.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        made = Place(folder, moto, fake, batch, machine, Actions(tools, moto), account(moto))
        try:
            yield made
        finally:
            batch.end()


def account(moto: str) -> dict[str, str]:
    """What deploy would have made, and the guide's eight secrets."""
    client("s3", moto).create_bucket(Bucket=BUCKET)
    client("ecr", moto).create_repository(repositoryName="batch-processor")
    store = client("secretsmanager", moto)
    secret = store.create_secret(Name="upstage-api-key", SecretString=KEY)
    return {
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "",
        "S3_BUCKET": BUCKET,
        "ECR_URI": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/batch-processor",
        "JOB_ROLE_ARN": f"{ROLES}/ocrlabel-JobRole-1",
        "EXEC_ROLE_ARN": f"{ROLES}/ocrlabel-ExecutionRole-1",
        "SECRET_ARN": secret["ARN"],
    }


@pytest.fixture(scope="module")
def pushed(place: Place) -> Ran:
    """The first push to main."""
    ran = place.push("README.md", "src/ocrlabel/labels.py")
    assert ran.jobs == {"build": "skipped", "deploy": "success"}, ran.log
    return ran


@pytest.fixture(scope="module")
def labelled(place: Place, pushed: Ran) -> Ran:
    """A first dataset, with the guide's eight secrets."""
    place.put("baseline_train", pages("train"))
    ran = place.label(
        dataset="baseline_train", batch_size="3", max_cost="1.50", options="--attempts 5"
    )
    assert ran.jobs == {"label": "success"}, ran.log
    return ran


def test_a_push_builds_pushes_under_its_commit_and_registers_the_digest(place, pushed):
    asked = place.asked_of_docker()
    (build,) = [argv for argv in asked if argv[0] == "build"]
    assert "--cache-to" in build
    tags = [argv[1].rsplit(":", 1)[1] for argv in asked if argv[0] == "push"]
    assert tags == [Event("push").sha, "latest"]
    (definition,) = place.batch.definitions
    image = definition["containerProperties"]["image"]
    assert image.startswith(f"{place.secrets['ECR_URI']}@sha256:")


def test_the_summary_of_a_push_links_the_image_the_revision_and_the_button(place, pushed):
    revision = place.batch.definitions[0]["jobDefinitionArn"]
    assert f"?region=us-east-1#job-definition/detail/{revision}" in pushed.summary
    assert "sha256:" in pushed.summary
    assert "https://github.com/me/my-labels/actions/workflows/run-batch-job.yml" in pushed.summary


def test_a_push_of_other_files_or_to_another_branch_does_nothing(place):
    assert place.push("README.md", "docs/aws.md").jobs == {}
    elsewhere = Event("push", changed=("src/ocrlabel/labels.py",), ref="refs/heads/try")
    assert place.runner().run(DEPLOY, elsewhere).jobs == {}


def test_a_pull_request_is_built_without_secrets_and_without_a_push(place, pushed):
    before = len(place.asked_of_docker())
    runner = place.runner(secrets={}, variables={})
    ran = runner.run(DEPLOY, Event("pull_request", changed=("src/ocrlabel/labels.py",)))
    assert ran.jobs == {"build": "success", "deploy": "skipped"}, ran.log
    asked = place.asked_of_docker()[before:]
    assert [argv[0] for argv in asked if argv[0] != "info"] == ["build", "image"]


def test_the_click_gives_the_tables_the_numbers_and_a_report_without_images(labelled):
    folder = labelled.artifacts["results"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "baseline_train_failures.parquet",
        "baseline_train_pseudo_labels.parquet",
        "baseline_train_report.html",
        "baseline_train_run.json",
    ]
    rows = pq.read_table(folder / "baseline_train_pseudo_labels.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"baseline_train-{n}" for n in range(ROWS)]
    assert all(row["texts"] for row in rows)
    assert "data:image/" not in (folder / "baseline_train_report.html").read_text()


def test_the_form_reaches_the_workers_as_arguments(place, labelled):
    (command,) = [job.command for job in place.batch.jobs.values() if "3" in job.command]
    assert command[:3] == ["python", "-m", "runners.batch_pseudo_labels_aws"]
    assert command[3:] == [
        *("--dataset-name", "baseline_train"),
        *("--batch-size", "3", "--max-cost", "1.5", "--attempts", "5"),
    ]


def test_the_summary_has_the_estimate_the_job_and_the_results(labelled):
    for text in (
        "| images | 8 |",
        "| OCR of 8 pages \\(more where documents have several\\) | $0.0120 |",
        "| cap on OCR | $1.50 |",
        "Submitted job `local-",
        "| labelled | 8 |",
        "| failed | 0 |",
        "| billed pages | 8 |",
    ):
        assert text in labelled.summary, labelled.summary


def test_no_secret_is_in_a_log_a_summary_or_an_artifact(place, pushed, labelled):
    hidden = [value for value in (*place.secrets.values(), KEY) if value]
    for text in (pushed.log, pushed.summary, labelled.log, labelled.summary):
        assert not [value for value in hidden if value in text]
    for path in labelled.artifacts["results"].iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_a_finished_run_is_picked_up_with_a_role_and_pays_nothing(place, labelled):
    before = place.billed()
    without_keys = {
        name: value
        for name, value in place.secrets.items()
        if name not in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    }
    role = {**place.variables, "AWS_ROLE_ARN": f"{ROLES}/ocrlabel-GitHubRole-1"}
    ran = place.label(
        settings={"secrets": without_keys, "variables": role},
        dataset="baseline_train",
        resume="true",
        batch_size="3",
    )
    assert ran.jobs == {"label": "success"}, ran.log
    assert place.billed() == before
    said = "this dataset is done: the job will send nothing"
    assert said in ran.summary.split("Submitted job")[0]
    assert place.actions.assumed[-1]["role-duration-seconds"] == "21600"
    assert ran.steps["label", "Credentials by the keys"] == "skipped"
    assert "results" in ran.artifacts


def test_a_job_that_fails_is_explained_with_the_end_of_its_log(place, pushed):
    place.put("refused", pages("refused"))
    place.fake.control({"refuse": f"{KEY}@0:401"})
    try:
        ran = place.label(dataset="refused")
    finally:
        place.fake.control({"refuse": ""})
    assert ran.jobs == {"label": "failure"}
    assert "## `refused` failed" in ran.summary
    assert "the OCR service refuses the key" in ran.summary
    assert "**What to do:**" in ran.summary
    assert "```text" in ran.summary
    assert "this job wrote no tables" in ran.log
    assert ran.artifacts == {}
    assert KEY not in ran.log + ran.summary


def test_too_many_failed_rows_fail_the_workflow_and_still_give_their_table(place, pushed):
    place.put("broken", [*pages("broken", 4), *[b"no image at all %d" % n for n in range(4)]])
    ran = place.label(dataset="broken")
    assert ran.jobs == {"label": "failure"}
    assert "more of them failed than allowed" in ran.summary
    assert "| `not_an_image` | 4 |" in ran.summary
    failures = pq.read_table(ran.artifacts["results"] / "broken_failures.parquet").to_pylist()
    assert [row["id"] for row in failures] == [f"broken-{n}" for n in range(4, 8)]


def handed_over(ran: Ran) -> dict[str, Path]:
    return {path.name: path for path in ran.artifacts["results"].iterdir()}


def test_a_part_of_a_dataset_is_handed_over_as_partial_tables(place, pushed):
    place.put("part", pages("part"))
    ran = place.label(dataset="part", options="--limit 3")
    assert ran.jobs == {"label": "success"}, ran.log
    found = handed_over(ran)
    assert set(found) == {
        "part_pseudo_labels_partial.parquet",
        "part_failures_partial.parquet",
        "part_run.json",
        "part_report.html",
    }
    labels = pq.read_table(found["part_pseudo_labels_partial.parquet"])
    assert labels["id"].to_pylist() == ["part-0", "part-1", "part-2"]
    assert "## `part`: partial results" in ran.summary
    assert "not complete" in found["part_report.html"].read_text()


def test_a_cap_below_the_estimate_is_announced_and_what_was_paid_is_handed_over(place, pushed):
    place.put("capped", pages("capped"))
    before = place.billed()
    ran = place.label(dataset="capped", max_cost="0.0045", concurrency="1")
    assert ran.jobs == {"label": "failure"}
    said = "about 3 of 8 pages will be labelled"
    assert said in ran.summary.split("Submitted job")[0]
    assert "::warning::--max-cost 0.0045 USD is less than the estimate" in ran.log
    assert "the cap on money was reached" in ran.summary
    labels = pq.read_table(handed_over(ran)["capped_pseudo_labels_partial.parquet"])
    assert labels.num_rows == place.billed() - before == 3


def test_a_dataset_that_is_not_there_is_said_before_a_job_is_submitted(place, pushed):
    before = len(place.batch.jobs)
    ran = place.label(dataset="typo")
    assert ran.jobs == {"label": "failure"}
    assert "data/processed/typo.parquet is not there" in ran.log
    assert ran.steps["label", "Submit"] == "skipped"
    assert len(place.batch.jobs) == before


@pytest.fixture
def slow_service(place: Place) -> Iterator[None]:
    place.fake.control({"rps": 3, "latency": "0.5,0"})
    yield
    place.fake.control({"rps": 50, "latency": "0.05,0"})


def newest(place: Place) -> Any:
    return list(place.batch.jobs.values())[-1]


def after_some_pages(place: Place) -> Callable[[], bool]:
    """Someone presses cancel when a few pages were billed."""
    before = place.billed()
    return lambda: place.billed() - before >= 2


def test_a_cancelled_workflow_keeps_its_job(place, pushed, slow_service):
    place.put("kept", pages("kept", 12))
    ran = place.label(after_some_pages(place), dataset="kept", on_cancel="keep")
    assert ran.jobs == {"label": "cancelled"}
    assert ran.steps["label", "Follow"] == "cancelled"
    assert ran.steps["label", "Keep or stop the job of a cancelled workflow"] == "success"
    assert ran.artifacts == {}
    job = newest(place)
    assert f"Cancelled: job `{job.id}` goes on" in ran.summary
    until(lambda: job.status == "SUCCEEDED")


def test_a_cancelled_workflow_stops_its_job_and_a_resumed_one_goes_on(place, pushed, slow_service):
    place.put("stopped", pages("stopped", 36))
    before = place.billed()
    ran = place.label(after_some_pages(place), dataset="stopped", on_cancel="stop")
    assert ran.jobs == {"label": "cancelled"}
    job = newest(place)
    assert f"job `{job.id}` is being stopped" in ran.summary
    until(lambda: job.status == "FAILED")
    assert job.reason == "the workflow was cancelled"
    assert job.attempts[-1]["container"]["exitCode"] == 75, "it saved what it had"
    paid = place.billed() - before
    assert 2 <= paid < 36
    place.fake.control({"rps": 50, "latency": "0.05,0"})

    again = place.label(dataset="stopped", resume="true")

    assert again.jobs == {"label": "success"}, again.log
    assert "| labelled | 36 |" in again.summary
    assert place.billed() - before == 36, "what was paid before is not paid again"


def test_a_run_that_is_too_long_is_handed_over_and_picked_up(place, pushed, slow_service):
    place.put("long", pages("long", 18))
    short = {"variables": {**place.variables, "HAND_OVER_AFTER": "1s"}}
    ran = place.label(settings=short, dataset="long")
    assert ran.jobs == {"label": "success"}, ran.log
    job = newest(place)
    assert job.status == "RUNNING"
    assert "the job goes on" in ran.summary
    assert f"`{job.id}` in *pick up*" in ran.summary
    assert f"ocrlabel aws status long --job {job.id} --watch" in ran.summary
    assert ran.artifacts == {}
    place.fake.control({"rps": 50, "latency": "0.05,0"})
    jobs = len(place.batch.jobs)

    again = place.label(dataset="long", pick_up=job.id)

    assert again.jobs == {"label": "success"}, again.log
    assert len(place.batch.jobs) == jobs, "none was submitted"
    assert "| labelled | 18 |" in again.summary
    assert "results" in again.artifacts


FREE_FIELDS = ("dataset", "batch_size", "concurrency", "workers", "max_cost", "options", "pick_up")
HOSTILE = {
    "quoted": '"; touch "{canary}"; "',
    "substituted": '$(touch "{canary}")',
    "backticks": '`touch "{canary}"`',
    "newlines": 'x\ntouch "{canary}"\n',
    "outputs": "x\njob-id=other\n::set-output name=job-id::other\n::add-mask::e",
    "expression": "${{ secrets.AWS_SECRET_ACCESS_KEY }}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_in_every_field_is_refused_and_harmless(place, pushed, kind, tmp_path):
    canary = tmp_path / "canary"
    text = HOSTILE[kind].replace("{canary}", str(canary))
    jobs = len(place.batch.jobs)
    ran = place.label(**dict.fromkeys(FREE_FIELDS, text))
    assert ran.jobs == {"label": "failure"}
    assert ran.steps["label", "Check inputs and dataset, estimate"] == "failure"
    assert "the workflow's inputs cannot be used" in ran.log
    assert all(name in ran.log for name in FREE_FIELDS if name not in {"dataset", "pick_up"})
    assert ran.summary == ""
    assert not canary.exists()
    assert len(place.batch.jobs) == jobs
    assert not [line for line in ran.log.splitlines() if line.startswith("::")]


@pytest.mark.parametrize("field_", ["resume", "engine", "on_cancel"])
def test_hostile_text_in_a_choice_does_not_even_start(place, field_):
    with pytest.raises(Refused):
        place.label(dataset="baseline_train", **{field_: '"; touch canary; "'})
