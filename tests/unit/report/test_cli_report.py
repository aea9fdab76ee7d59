"""`ocrlabel report` and `ocrlabel view` as a user calls them."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.dataset.checkpoint_table import Settled, encode_checkpoint
from ocrlabel.dataset.labels_table import FailuresWriter, LabelsWriter
from ocrlabel.errors import ConfigError
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Page,
)
from tests.support.labelled import Pictures, row, word

TRIED = Attempt(1, "key-1", 1.8e9, 0.5, AttemptResult.UNAVAILABLE, 503, "busy")
ANSWERED = Attempt(2, "key-1", 1.8e9 + 5, 0.5, AttemptResult.ANSWERED, 200, billed_pages=1)
LABELLED = Labelled(
    0, "a.jpg", "k", "s", (Page(1, 200, 100, (word("total"),), 0.9),), "upstage", "ocr-1", 1.8e9,
    (TRIED, ANSWERED), 0.5, 1, b'{"answer": "raw"}',
)  # fmt: skip
FAILED = Failed(1, "gone.jpg", FailureClass.NOT_FOUND, "it is not there", 1.8e9)
ROWS = [Settled(ImageRef(0, "a.jpg", "a.jpg"), LABELLED), Settled(ImageRef(1, "gone.jpg", "gone.jpg"), FAILED)]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run: tables, run.json and one checkpoint."""
    with LabelsWriter(tmp_path / "train.parquet") as table:
        table.add_outcome(ROWS[0].ref, LABELLED)
    with FailuresWriter(tmp_path / "train_failures.parquet") as table:
        table.add_outcome(ROWS[1].ref, FAILED)
    (tmp_path / "train_run.json").write_text(json.dumps({"dataset": "train", "complete": True}))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "train_batch_0000.parquet").write_bytes(encode_checkpoint(ROWS, {}))
    return tmp_path


def run(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_report_is_written_beside_the_table_with_all_that_lies_there(folder):
    done = run("report", folder / "train.parquet")
    assert done.exit_code == 0, done.output
    page = (folder / "train_report.html").read_text()
    assert "not_found" in page
    assert "complete" in page


def test_the_tables_of_the_cloud_have_their_reports_beside_them_too(folder):
    (folder / "train.parquet").rename(folder / "train_pseudo_labels.parquet")
    run("report", folder / "train_pseudo_labels.parquet")
    assert "not_found" in (folder / "train_report.html").read_text()


def test_view_shows_every_request_and_the_raw_answer(folder):
    done = run("view", folder / "train.parquet", "a.jpg", "-o", folder / "page.html")
    assert done.exit_code == 0, done.output
    page = (folder / "page.html").read_text()
    assert "unavailable" in page
    assert "503" in page
    assert "&#34;answer&#34;: &#34;raw&#34;" in page


def test_view_takes_the_answer_of_the_last_retry(folder):
    later = Labelled(**{
        **{name: getattr(LABELLED, name) for name in Labelled.__slots__}, "raw": b'"later"',
    })  # fmt: skip
    again = encode_checkpoint([Settled(ROWS[0].ref, later)], {})
    (folder / "checkpoints" / "train_batch_0000_retry_01.parquet").write_bytes(again)
    run("view", folder / "train.parquet", "a.jpg")
    assert "&#34;later&#34;" in (folder / "train_view.html").read_text()


def test_view_does_without_checkpoints_and_with_broken_ones(folder):
    checkpoint = folder / "checkpoints" / "train_batch_0000.parquet"
    checkpoint.write_bytes(b"PAR1")
    done = run("view", folder / "train.parquet", "a.jpg")
    assert done.exit_code == 0
    assert "left out" in done.output
    checkpoint.unlink()
    assert run("view", folder / "train.parquet", "a.jpg").exit_code == 0


def test_view_never_takes_the_checkpoints_of_a_dataset_with_a_longer_name(folder):
    checkpoint = folder / "checkpoints" / "train_batch_0000.parquet"
    checkpoint.rename(folder / "checkpoints" / "train_batch_0000_v2_batch_0000.parquet")
    run("view", folder / "train.parquet", "a.jpg")
    assert "Raw answer" not in (folder / "train_view.html").read_text()


def test_a_failed_image_can_be_viewed_with_its_reason(folder):
    assert run("view", folder / "train.parquet", "gone.jpg").exit_code == 0
    assert "it is not there" in (folder / "train_view.html").read_text()


@pytest.mark.parametrize(("there", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_an_image_is_viewed_by_its_name_in_either_form_of_unicode(tmp_path, there, asked):
    there, asked = (unicodedata.normalize(form, "가게.png") for form in (there, asked))
    ref = replace(ROWS[0].ref, id=there)
    with LabelsWriter(tmp_path / "train.parquet") as table:
        table.add_outcome(ref, replace(LABELLED, id=there))
    done = run("view", tmp_path / "train.parquet", asked)
    assert done.exit_code == 0, done.output
    assert "total" in (tmp_path / "train_view.html").read_text()


@pytest.fixture
def alone(folder, tmp_path_factory) -> Path:
    """A checkpoint as `aws s3 cp` fetches it: with nothing beside it."""
    fetched = tmp_path_factory.mktemp("alone") / "train_batch_0000.parquet"
    return (folder / "checkpoints" / "train_batch_0000.parquet").rename(fetched)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("report {0}", "train_batch_0000_report.html"),
        ("view {0} a.jpg", "train_batch_0000_view.html"),
        ("view {0} gone.jpg", "train_batch_0000_view.html"),
        ("export {0} --format coco -o {1}/out", "1 page (pseudo 1), 1 word"),
        ("export {0} --format hf -o {1}/out", "1 page (pseudo 1), 1 word"),
        ("filter {0} --min-confidence 0.1 -o {1}/kept.parquet", "kept.parquet"),
        ("evaluate {0} --truth {0}", "100.0%"),
        ("agree {0} {0}", "1.000"),
    ],
)
def test_a_downloaded_checkpoint_is_taken_for_the_part_of_the_labels_table_that_it_is(
    alone, command, told
):
    done = run(*command.format(alone, alone.parent).split())
    assert done.exit_code == 0, done.output
    assert told in done.output.replace("\n", "")


def test_of_a_checkpoint_the_report_has_the_failures_and_a_view_requests_and_answer(alone):
    run("report", alone)
    assert "not_found" in alone.with_name("train_batch_0000_report.html").read_text()
    run("view", alone, "a.jpg")
    page = alone.with_name("train_batch_0000_view.html").read_text()
    assert "503" in page
    assert "&#34;answer&#34;: &#34;raw&#34;" in page
    run("view", alone, "gone.jpg")
    assert "it is not there" in alone.with_name("train_batch_0000_view.html").read_text()


@pytest.fixture
def pictured(tmp_path, monkeypatch) -> Path:
    """A run of a folder of images, given as the user gave it, and its tables elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("photos/a").mkdir(parents=True)
    Path("out").mkdir()
    Path("photos/list.csv").touch()
    with LabelsWriter(Path("out/t.parquet")) as table:
        for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
            table.add(row(name, [word(f"text of {name}")], image_path=name, image_sha256=""))
    for name in ("a/1.jpg", "a/2.jpg"):
        Path("photos", name).write_bytes(Pictures().file(row(width_px=200, height_px=100)).data)
    Path("out/t_run.json").write_text(json.dumps({"source": "photos"}))
    return tmp_path


def images_in(page: Path) -> int:
    return page.read_text().count('{"src":"data:image/jpeg')


@pytest.mark.parametrize(
    "source", ["photos", "photos/**/*.jpg", "photos/list.csv", "photos (ids: name)"]
)
def test_images_are_found_where_the_run_found_them_and_the_lack_is_told(pictured, source):
    Path("out/t_run.json").write_text(json.dumps({"source": source}))
    done = run("report", "out/t.parquet")
    assert done.exit_code == 0, done.output
    assert images_in(pictured / "out/t_report.html") == 2
    assert "1 page without a picture: b/1.jpg was not found" in done.output


def test_a_path_of_the_run_is_taken_from_where_it_leads_on_also_from_another_folder(
    pictured, monkeypatch
):
    monkeypatch.chdir("out")
    run("report", "t.parquet")
    assert images_in(pictured / "out/t_report.html") == 2


def test_of_a_table_that_was_made_of_the_runs_they_are_found_where_that_run_found_them(pictured):
    made_of, there = "out/t.parquet", pictured / "sure" / "again.parquet"
    there.parent.mkdir()
    for target in ("out/sure.parquet", there):
        done = run("filter", made_of, "--min-confidence", "0.1", "--output", target)
        assert done.exit_code == 0, done.output
        made_of = target
    run("report", there)
    assert images_in(there.with_name("again_report.html")) == 2


@pytest.mark.parametrize("data", [b"junk", b"\xff\xd8\xff\xe0 cut", None])
def test_a_picture_that_is_there_and_cannot_be_shown_is_told_with_its_reason(tmp_path, data):
    if data is None:
        Image.new("RGB", (77, 33)).save(tmp_path / "a.jpg")
    else:
        (tmp_path / "a.jpg").write_bytes(data)
    with LabelsWriter(tmp_path / "train.parquet") as table:
        table.add(row("a.jpg", [word()], image_path="a.jpg", image_sha256=""))
    done = run("report", tmp_path / "train.parquet", "--images", tmp_path)
    assert done.exit_code == 0, done.output
    assert "careful: 1 page without a picture: a.jpg" in done.output
    assert "name its folder" not in done.output


def test_images_that_are_named_are_the_only_ones_that_are_looked_for(pictured):
    Path("none").mkdir()
    assert "3 pages without" in run("report", "out/t.parquet", "--images", "none").output
    assert "text of a/1.jpg" in (pictured / "out/t_report.html").read_text()


def test_a_report_of_numbers_holds_no_image_and_nothing_that_was_read(pictured):
    done = run("report", "out/t.parquet", "--pages", "0")
    assert "without a picture" not in done.output
    page = (pictured / "out/t_report.html").read_text()
    assert images_in(pictured / "out/t_report.html") == 0
    assert "text of" not in page


def test_a_view_of_several_images_is_a_page_for_each(pictured):
    done = run("view", "out/t.parquet", "a/1.jpg", "b/1.jpg", "a/2.jpg")
    assert done.exit_code == 0, done.output
    pages = sorted(Path("out").glob("t_view*.html"))
    assert len(pages) == 3
    assert {name for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg") for page in pages
            if f"text of {name}" in page.read_text()} == {"a/1.jpg", "a/2.jpg", "b/1.jpg"}  # fmt: skip
    assert all(page.read_text().count("text of") == 1 for page in pages)
    assert done.output.count("1 page without a picture") == 1
    run("view", "out/t.parquet", "a/1.jpg", "a/2.jpg", "-o", "new/pages")
    assert sorted(page.name for page in Path("new/pages").iterdir()) == [
        "t_view_1.html",
        "t_view_2.html",
    ]


def test_one_of_several_that_is_not_there_is_named_before_anything_is_written(pictured):
    done = run("view", "out/t.parquet", "a/1.jpg", "A/2.jpg")
    assert "no image with the id 'A/2.jpg'" in str(done.exception)
    assert list(Path("out").glob("t_view*")) == []


def test_an_id_that_is_not_there_names_those_like_it(folder):
    done = run("view", folder / "train.parquet", "A.jpg")
    assert isinstance(done.exception, ConfigError)
    assert "a.jpg" in str(done.exception)


def test_a_run_json_that_is_cut_off_is_named(folder):
    (folder / "train_run.json").write_text("{")
    done = run("report", folder / "train.parquet")
    assert isinstance(done.exception, ConfigError)
    assert "train_run.json is not JSON" in str(done.exception)
