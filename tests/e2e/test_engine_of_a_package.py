"""Engines of others, each from a wheel of its own: labelled, killed, gone on with, capped.

The one that docs/engines.md builds, and examples/clova with the fake of its service.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocrlabel.testing import HttpReply, HttpService
from tests.support.drawn import drawn, encoded
from tests.support.process import until

pytestmark = pytest.mark.xdist_group("package")  # what they need is made once, not in each process

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
CODE, TESTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(PROJECT,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(COMMANDS,) = re.findall(r"^```\n(ocrlabel .*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GOOD = json.dumps(
    {"words": [{"text": "합계", "box": [[1, 1], [40, 1], [40, 9], [1, 9]], "confidence": 0.9}]}
).encode()
ROWS = 14


CLOVA = ROOT / "examples" / "clova"
_SPEC = importlib.util.spec_from_file_location("fake_clova", CLOVA / "tests" / "fake_clova.py")
fake_clova = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake_clova)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "ocrlabel_reader.py").write_text(CODE)
    return wheel_of(project, tmp_path_factory)


@pytest.fixture(scope="module")
def clova(tmp_path_factory):
    project = tmp_path_factory.mktemp("clova") / "project"
    shutil.copytree(CLOVA, project, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    return wheel_of(project, tmp_path_factory)


@pytest.fixture(params=["reader", "clova"])
def package(request):
    """Where a package is, its engine's name, and the service that it asks."""
    if request.param == "reader":
        with HttpService(HttpReply(body=GOOD)) as service:
            yield request.getfixturevalue("installed"), "reader", service
    else:
        with fake_clova.FakeClova() as service:
            yield request.getfixturevalue("clova"), "clova", service


def wheel_of(project, tmp_path_factory):
    """A folder for PYTHONPATH that holds the package, as pip would have put it there."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", project / "dist"],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (wheel,) = (project / "dist").glob("*.whl")
    where = tmp_path_factory.mktemp("installed")
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "-q", "--no-deps", "--offline"]
    subprocess.run([*uv, "--target", where, wheel], check=True)
    return where


@pytest.fixture
def here(tmp_path):
    (tmp_path / "receipts").mkdir()
    for number in range(ROWS):
        data = encoded(drawn(f"receipt {number}", width=300, height=80))
        (tmp_path / "receipts" / f"{number:02d}.png").write_bytes(data)
    return tmp_path


@pytest.fixture
def service():
    with HttpService(HttpReply(body=GOOD)) as running:
        yield running


def started(installed, here, *words):
    return subprocess.Popen(
        [Path(sys.executable).with_name("ocrlabel"), *map(str, words)],
        cwd=here,
        env={
            "PYTHONPATH": str(installed),
            "PATH": "/usr/bin:/bin",
            "HOME": str(here),
            "CLOVA_OCR_SECRET": fake_clova.SECRET,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(installed, here, *words, status=0):
    process = started(installed, here, *words)
    out, said = process.communicate(timeout=120)
    assert process.returncode == status, said
    return out + said


def run(name, service, *more):
    options = ["--engine-option", f"url={service.url}"]
    options += ["--engine-option", "rate=5"] if name == "clova" else []
    return ("run", "receipts/", "--engine", name, *options, *more)


def record(here):
    return json.loads((here / "labels_run.json").read_text())


def test_the_pages_commands_list_it_and_run_it_with_a_cap(installed, here, service):
    lines = [shlex.split(line)[1:] for line in COMMANDS.splitlines()]
    listed, asked, runs = lines
    assert "reader (ocrlabel-reader 0.1)" in ended(installed, here, *listed)
    assert "0.001 USD a page" in ended(installed, here, *asked)
    runs = [word.replace("http://127.0.0.1:8099", service.url) for word in runs]
    ended(installed, here, *runs, status=5)
    assert service.received == 10
    ended(installed, here, *runs[:-1], "none")
    assert service.received == ROWS
    found = record(here)
    assert (found["engine"], found["complete"], found["billed_usd"]) == ("reader", True, 0.014)
    assert found["engine_options"] == {"model": "1", "engine_version": "ocrlabel-reader 0.1"}


def test_a_dry_run_prices_only_pages_that_it_takes(installed, here, service):
    page = drawn("page", width=300, height=80)
    page.save(here / "receipts" / "two.tiff", save_all=True, append_images=[page])
    said = ended(installed, here, *run("reader", service), "--dry-run")
    assert f"{ROWS} readable, {ROWS} pages" in said
    assert "1 (too_many_pages 1)" in said
    assert service.received == 0


def test_it_is_only_imported_where_it_is_named(installed, here, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in installed.glob("*.dist-info"):
        (broken / path.name).mkdir()
        for file in path.iterdir():
            (broken / path.name / file.name).write_bytes(file.read_bytes())
    (broken / "ocrlabel_reader.py").write_text("raise RuntimeError('imported')")
    assert "reader (ocrlabel-reader 0.1)" in ended(broken, here, "engines")
    said = ended(broken, here, "engines", "reader", status=2)
    assert "engine reader of ocrlabel-reader 0.1 cannot be imported: RuntimeError" in said


def test_an_option_that_it_does_not_have_is_named(installed, here):
    said = ended(
        installed, here, "run", "receipts/", "--engine", "reader", "--engine-option", "urn=a",
        status=2,
    )  # fmt: skip
    assert "engine reader of ocrlabel-reader 0.1 does not take --engine-option urn=" in said


def test_killed_and_gone_on_with_nothing_that_was_answered_is_asked_again(package, here):
    where, name, service = package
    process = started(where, here, *run(name, service, "--log", "quiet"))
    until(lambda: service.received >= 5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    answered = service.received
    assert name in ended(where, here, "status", "labels.parquet")
    ended(where, here, *run(name, service))
    assert service.received == ROWS
    assert 5 <= answered < ROWS
    assert record(here)["account"]["billed_pages"] == ROWS
    said = ended(where, here, "reparse", "receipts/", "--engine-option", f"url={service.url}")
    assert f"{ROWS} labelled" in said
    assert service.received == ROWS


def test_a_cap_holds_for_each(package, here):
    where, name, service = package
    cap = {"reader": "0.005", "clova": "0.015"}[name]
    ended(where, here, *run(name, service, "--max-cost", cap), status=5)
    assert service.received == 5


def test_clova_that_says_too_fast_with_400_is_asked_more_slowly_and_loses_nothing(clova, here):
    with fake_clova.FakeClova(refuses=4) as service:
        ended(clova, here, *run("clova", service))
    found = record(here)
    assert (service.answered, found["complete"]) == (ROWS, True)
    assert service.received > ROWS
    assert found["account"]["billed_pages"] == ROWS


def test_clovas_own_tests_hold():
    """In a process of their own: they are what its author would run."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", CLOVA, "tests"],
        cwd=CLOVA,
        env={"PYTHONPATH": str(CLOVA), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        timeout=300,
    )


def test_the_whole_of_one_is_25_lines_of_code():
    assert len([line for line in CODE.splitlines() if line.strip()]) == 25


def test_what_the_page_says_of_tests_holds_for_its_engine():
    names = {"GOOD": GOOD, "PNG": encoded(drawn("receipt"))}
    exec(compile(CODE, "docs/engines.md", "exec"), names)  # noqa: S102 -- it is our own page
    exec(compile(TESTS, "docs/engines.md", "exec"), names)  # noqa: S102 -- it is our own page
    names["test_it_keeps_the_contract"]()
    names["test_it_tells_what_goes_wrong"]()


def test_the_kit_finds_an_engine_that_asks_twice_or_calls_everything_an_outage():
    names = {"GOOD": GOOD, "PNG": encoded(drawn("receipt"))}
    asks = "            answer = await self.client.post(self.url, content=document.data)\n"
    twice = (
        CODE.replace(asks, asks + asks)
        .replace("raise http_refusal(answer.status_code", "raise Unavailable('busy') #")
        .replace("AsyncClient(timeout=25)", "AsyncClient(timeout=25, follow_redirects=True)")
    )
    exec(compile(twice, "docs/engines.md", "exec"), names)  # noqa: S102 -- it is our own page
    exec(compile(TESTS, "docs/engines.md", "exec"), names)  # noqa: S102 -- it is our own page
    with pytest.raises(AssertionError) as wrong:
        names["test_it_tells_what_goes_wrong"]()
    assert "a good answer: 2 requests for one question" in str(wrong.value)
    assert "302 to itself: 21 requests for one question" in str(wrong.value)
    assert "throttled 1: Unavailable(" in str(wrong.value)
