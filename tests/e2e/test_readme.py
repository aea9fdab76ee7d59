"""Every command that the README shows for one's own machine is run as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import ACCOUNT, client, moto_process
from tests.support.fake_upstage import running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
AWS = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
KOREAN = (ROOT / "README.ko.md").read_text(encoding="utf-8")


def commands(page: str = README) -> list[str]:
    blocks = re.findall(r"^```sh test\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [" ".join(shlex.split(line, comments=True)) for line in lines]


def test_the_korean_readme_shows_commands_of_this_one_in_the_same_order():
    shown = commands(KOREAN)
    assert len(shown) >= 8
    assert shown == [command for command in commands() if command in shown]


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        page = Image.new("RGB", (300, 120), "white")
        ImageDraw.Draw(page).text((20, 40), f"Invoice {number}", fill="black", font_size=32)
        page.save(folder / f"page_{number}.png")
    paths = "".join(f"images/page_{number}.png\n" for number in range(3))
    (tmp_path / "pages.csv").write_text("image_path\n" + paths, encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_shows_commands_to_run():
    assert len(commands()) >= 10


def test_every_command_of_the_readme_works_in_the_order_in_which_it_stands(here):
    for command in commands():
        ran = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (command, ran.stderr)
    assert (here / "labels_report.html").is_file()
    assert (here / "paddle").is_dir()


def test_the_rehearsals_of_readme_and_docs_work_as_they_stand(here, monkeypatch):
    """Against servers that are there already: on the ports of the pages others may listen."""
    shown = dict(
        re.findall(
            r"^```sh (rehearsal|bucket|stack)\n(.*?)^```", README + AWS, re.DOTALL | re.MULTILINE
        )
    )
    assert list(shown) == ["rehearsal", "bucket", "stack"]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # typed in the clone, where runners/ lies
    with running(FakeSettings(latency=Latency(0.01, 0.01))) as service, moto_process() as moto:
        # in one terminal, as the page says; the bucket's name is typed where it is asked for
        for blocks in (["rehearsal"], ["bucket", "stack"]):
            typed = "".join(shown[block] for block in blocks)
            typed = typed.replace("http://127.0.0.1:8080/v1", service.base_url)
            typed = typed.replace("http://127.0.0.1:5000", moto)
            ran = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", typed],
                input=f"ocrlabel-{ACCOUNT}-us-east-1\n",
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
        assert [each["Name"] for each in client("s3", moto).list_buckets()["Buckets"]] == [
            "rehearsal"
        ]
    assert len(service.entries) == 9
    assert (here / "rehearsed.parquet").is_file()
    assert (here / "first" / "first_pseudo_labels.parquet").is_file()


def test_the_python_of_the_readme_works(here):
    (block,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    ran = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "3 of 3 in from_python.parquet" in ran.stdout
    assert "page_0.png ['Invoice', '0']" in ran.stdout


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_to_another_leads_to_a_file_and_a_heading(page):
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"
