"""docs/first-day.md, typed by bash in its order: a clone, moto for AWS, jobs as processes.

What a block prints is what the page shows below it, where `...` stands for anything. Not typed
here: what would install programs on this machine; `aws configure`, which asks (the guide's
rehearsal answers it); and the part with GitHub, which needs it and a change set of a stack, which
moto makes for new stacks only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ocrlabel.aws.github import KEYS, secrets
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import ACCOUNT, CONFIG, client, moto_process, serving
from tests.support.drawn import drawn, encoded
from tests.support.fake_upstage import running
from tests.support.local_batch import LocalBatch

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("first_day"),  # what they need is made once, not in each process
]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-day.md").read_text(encoding="utf-8")
BUCKET = f"ocrlabel-{ACCOUNT}-us-east-1"
KEY = "up_the_key_of_the_first_day"
IMAGES = 20
NOT_TYPED = ("sudo apt-get ", "aws configure")
# moto makes no compute environment without a service role
FOR_MOTO = f" --service-role arn:aws:iam::{ACCOUNT}:role/service"
PROGRAMS = ("bash", "sh", "env", "git", "dirname", "basename", "uname")


def blocks(part: str, page: str = PAGE) -> list[tuple[list[str], str]]:
    """The commands of each block of that part, and what the page says that they print."""
    block = rf"^```sh {part}\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    found = re.findall(block, page, re.DOTALL | re.MULTILINE)
    return [(commands.splitlines(), shown) for commands, shown in found]


def is_shown(shown: str, printed: str) -> bool:
    """Whether it is that text; `...` stands for anything."""
    pattern = re.escape(shown.strip()).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@dataclass
class Newcomer:
    """Someone at a shell on a machine with the programs that the first command installs."""

    folder: Path
    environment: dict[str, str]
    here: Path

    @property
    def config_env(self) -> str:
        return (self.here / "aws" / "config.env").read_text()

    def types(self, command: str, answers: str = "") -> str:
        state = self.folder / "state"
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'{command}\n{{ pwd; env -0; }} >"{state}"'],
            env=self.environment,
            cwd=self.here,
            input=answers,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}"
        here, _, variables = state.read_text().partition("\n")
        pairs = (pair.split("=", 1) for pair in variables.split("\0") if "=" in pair)
        self.environment, self.here = dict(pairs), Path(here)
        return ran.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("first_day")
    (folder / "bin").mkdir()
    double = ROOT / "tests" / "support" / "docker_double.py"
    podman = folder / "bin" / "podman"
    podman.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{double}" "{folder}" "$@"\n')
    podman.chmod(0o755)
    for name in PROGRAMS:
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    (folder / "receipts").mkdir()
    for number in range(IMAGES):
        data = encoded(drawn(f"receipt {number}", width=300, height=80))
        (folder / "receipts" / f"{number:02}.png").write_bytes(data)
    service = FakeSettings(latency=Latency(0.05))
    with moto_process() as moto, running(service) as fake, serving("application/json") as served:
        client("iam", moto).create_role(RoleName="service", AssumeRolePolicyDocument="{}")
        cloud = {
            "AWS_ENDPOINT_URL": moto,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "UPSTAGE_BASE_URL": fake.base_url,
            "HOME": str(folder),
        }
        worker = cloud | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        served.handle = (batch := LocalBatch(worker, moto, folder, ROOT)).handle
        machine = cloud | {
            "AWS_ENDPOINT_URL_BATCH": served.url,
            "PATH": f"{folder}/bin",
            "LANG": "C.UTF-8",
            "COLUMNS": "120",
        }
        try:
            yield Newcomer(folder, machine, folder)
        finally:
            batch.end()


def typed(command: str) -> str:
    """The page's command with what it leaves open, as somebody fills it in here."""
    filled = command.replace("up_...", KEY).replace("https://github.com/OWNER/NAME.git", str(ROOT))
    return filled + FOR_MOTO if "aws-batch-setup.sh" in filled else filled


@dataclass
class Day:
    """What each block of a part printed beside what the page shows; and who typed it."""

    newcomer: Newcomer
    blocks: list[tuple[list[str], str, str]] = field(default_factory=list)

    def goes_through(self, part: str) -> None:
        for commands, shown in blocks(part):
            printed = "".join(self.type(each) for each in commands)
            self.blocks.append((commands, shown, printed))

    def type(self, command: str) -> str:
        if command.startswith(NOT_TYPED):
            return ""
        printed = self.newcomer.types(typed(command), f"{BUCKET}\n")
        if command.startswith("git clone"):  # what the script would install, and takes minutes for
            (self.newcomer.here / ".venv").symlink_to(ROOT / ".venv")
        if command.endswith("aws-batch-setup.sh"):
            # moto denies all because of the TLS-only policy: it does not look at the condition
            s3 = client("s3", self.newcomer.environment["AWS_ENDPOINT_URL"])
            s3.delete_bucket_policy(Bucket=BUCKET)
        return printed


@pytest.fixture(scope="module")
def day(newcomer: Newcomer) -> Day:
    day = Day(newcomer)
    day.goes_through("first")
    return day


def test_from_a_bare_machine_to_the_first_label_it_takes_at_most_twelve_commands():
    assert 8 <= len([command for commands, _ in blocks("first") for command in commands]) <= 12


def test_every_block_prints_what_the_page_shows(day):
    assert [
        f"{shown}\n--- but printed\n{printed}"
        for _, shown, printed in day.blocks
        if shown and not is_shown(shown, printed)
    ] == []


def test_the_first_labels_are_those_of_the_images(day):
    table = pq.read_table(day.newcomer.here / "first_pseudo_labels.parquet")
    assert table.num_rows == IMAGES
    assert all(table["texts"].to_pylist())
    assert (day.newcomer.here / "first_report.html").stat().st_size > 0


def test_submitted_again_it_is_done_and_no_job_is_started(day):
    again = day.newcomer.types("ocrlabel aws submit first --max-cost 1 --watch")
    assert "was done before; nothing was sent" in again
    assert "no job was started; the labels: ocrlabel aws download first" in again
    assert "SUCCEEDED" not in again


def test_no_tracked_file_of_the_clone_is_changed_and_no_key_was_printed(day):
    assert day.newcomer.types("git status --porcelain --untracked-files=no") == ""
    assert KEY not in "".join(printed for _, _, printed in day.blocks)


def test_github_needs_no_more_of_config_env_than_is_in_it(day):
    there = set(re.findall(r"^export (\w+)=", day.newcomer.config_env, re.MULTILINE))
    assert set(secrets(CONFIG, {})) - set(KEYS) <= there


def test_undone_nothing_is_left_but_the_logs(day):
    moto = day.newcomer.environment["AWS_ENDPOINT_URL"]
    undone = Day(day.newcomer)
    undone.goes_through("undo")
    ((_, shown, printed),) = undone.blocks
    assert is_shown(shown, printed), printed
    assert client("s3", moto).list_buckets()["Buckets"] == []
    assert client("secretsmanager", moto).list_secrets()["SecretList"] == []
    assert client("ecr", moto).describe_repositories()["repositories"] == []
