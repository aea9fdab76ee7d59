"""Two readings of the same pages on the report's page: what `evaluate -o` and `agree -o` write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.dataset.labels_table import LabelsWriter
from ocrlabel.errors import ConfigError
from tests.support.labelled import Pictures, row, word

COMMANDS = {"evaluate": ["labels.parquet", "--truth", "truth.parquet"],
            "agree": ["labels.parquet", "truth.parquet"]}  # fmt: skip


@pytest.fixture(autouse=True)
def tables(tmp_path, monkeypatch) -> None:
    """Page 0 is right; pages 1 to 3 have so many wrong words, of each kind."""
    monkeypatch.chdir(tmp_path)
    Path("labels_run.json").write_text('{"source": "receipts"}')
    with (
        LabelsWriter(Path("labels.parquet")) as labels,
        LabelsWriter(Path("truth.parquet")) as truth,
    ):
        for n in range(4):
            there = [word("Total", at=(5, 5)), word("stamp", at=(100, 5))]
            there += [word(f"lost{at}", at=(5, 30 + 10 * at), size=(9, 9)) for at in range(n)]
            read = [word("Tota1" if n else "total", at=(6, 5)), word("blot", at=(100, 6))]
            read += [word(f"odd{at}", at=(50, 30 + 10 * at), size=(9, 9)) for at in range(n)]
            labels.add(row(f"{n}.jpg", read, image_sha256=""))
            truth.add(
                row(f"{n}.jpg", there, image_sha256="", classes=("text", "ignore", *["text"] * n))
            )
            Path("receipts").mkdir(exist_ok=True)
            Path(f"receipts/{n}.jpg").write_bytes(Pictures().file(row(words=read)).data)


def run(*arguments: str):
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, ConfigError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def data(page: str = "page.html") -> dict:
    found = re.search(r'id="data">(.*?)</script>', Path(page).read_text(), re.DOTALL)
    return json.loads(found[1])


def words(item) -> list[tuple[str, str, str]]:
    return [(one[0], one[5], one[2]) for one in item["words"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_worst_page_comes_first_and_what_is_wrong_on_it_before_what_is_right(command):
    run(command, *COMMANDS[command], "-o", "page.html")
    told = data()
    assert [item["id"] for item in told["items"]] == ["3.jpg", "2.jpg", "1.jpg"]
    assert words(told["items"][-1]) == [
        ("Tota1", "Total", "v0"), ("", "lost0", "v1"), ("odd0", "", "v2"),
        ("blot", "", "v4"), ("", "stamp", "v4"),
    ]  # fmt: skip
    for item in told["items"]:
        for text, other, kind, own, there in (
            (one[0], one[5], one[2], one[3], one[6]) for one in item["words"]
        ):
            assert kind in dict(told["bands"])
            assert (len(own), len(there)) == (8 if text else 0, 8 if other else 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_is_the_reports_with_pictures_and_tells_where_there_are_none(command):
    done = run(command, *COMMANDS[command], "-o", "page.html")
    page = Path("page.html").read_text()
    assert page.count('{"src":"data:image/jpeg') == 3
    assert 'name="generator" content="ocrlabel"' in page
    assert "without a picture" not in done.output
    Path("receipts/2.jpg").unlink()
    done = run(command, *COMMANDS[command], "-o", "page.html")
    assert "1 page without a picture" in done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_beside_json_the_page_is_told_on_stderr(command):
    done = run(command, *COMMANDS[command], "-o", "page.html", "--json")
    json.loads(done.stdout)
    assert done.stderr.startswith("page.html: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_somebody_elses_is_not_written_over(command):
    Path("page.html").write_text("mine")
    with pytest.raises(ConfigError, match="ocrlabel did not write it"):
        run(command, *COMMANDS[command], "-o", "page.html")


def test_the_names_of_the_sides_and_the_most_frequent_confusions_are_on_the_page():
    run("evaluate", *COMMANDS["evaluate"], "-o", "page.html", "--worst", "2")
    assert data()["sides"] == ["what was read", "the truth"]
    page = Path("page.html").read_text()
    assert "the 2 worst of 3 pages with words that differ" in page
    cells = re.findall(r"<td><bdi>(.*?)</bdi></td>", page)
    assert cells == ["l", "1", "3"]
    run("agree", *COMMANDS["agree"], "-o", "page.html")
    assert data()["sides"] == ["labels.parquet", "truth.parquet"]


@pytest.mark.parametrize(
    ("other", "names"),
    [
        ("b/labels.parquet", ["a/labels.parquet", "b/labels.parquet"]),
        ("a/labels.parquet", ["labels.parquet", "labels.parquet"]),
        ("c/a/labels.parquet", ["here/a/labels.parquet", "c/a/labels.parquet"]),
        ("a/../b/labels.parquet", ["a/labels.parquet", "b/labels.parquet"]),
    ],
)
def test_two_tables_of_one_name_are_told_apart_by_their_folders(other, names, monkeypatch):
    Path("here/a").mkdir(parents=True)
    table = Path("labels.parquet").rename("here/a/labels.parquet")
    monkeypatch.chdir("here")
    if (there := Path(other)).resolve() != table.resolve():
        there.parent.mkdir(parents=True, exist_ok=True)
        Path("../truth.parquet").rename(there.resolve())
    run("agree", "a/labels.parquet", other, "-o", "page.html")
    assert f"<h1><bdi>{names[0]} and {names[1]}</bdi>" in Path("page.html").read_text()
    if names[0] != names[1]:
        assert (data()["sides"], data()["bands"][2][1]) == (names, f"only {names[0]}")
    run("evaluate", "a/labels.parquet", "--truth", other, "-o", "page.html")
    assert f"<h1><bdi>{names[0]} against {names[1]}</bdi>" in Path("page.html").read_text()
