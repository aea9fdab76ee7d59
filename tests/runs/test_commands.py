"""The commands of one machine, in this process: what they write, say and exit with."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from ocrlabel import label, read_failures, read_labels
from ocrlabel.dataset.labels_table import write_changed
from tests.support.command import ocrlabel
from tests.support.process import Machine, ended


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        page = Image.new("RGB", (200, 100), "white")
        ImageDraw.Draw(page).text((10, 10), f"page {number}", fill="black")
        page.save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_folder_is_labelled_and_the_last_words_say_where_the_table_lies(images):
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--output", "labels.parquet")
    assert ran.status == 0
    assert "6 of 6 images" in ran.out
    assert "labels.parquet" in ran.out
    assert len(list(read_labels(images.parent / "labels.parquet"))) == 6


def test_the_same_command_again_sends_nothing_and_says_so(images):
    ocrlabel("run", "images/", "--engine", "scripted")
    again = ocrlabel("run", "images/", "--engine", "scripted")
    assert again.status == 0
    assert "was done before" in again.out


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(images, tmp_path):
    (images / "broken.jpg").write_bytes(b"no image")
    before = sorted(tmp_path.rglob("*"))
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--dry-run")
    assert ran.status == 0
    assert "6 readable, 6 pages" in ran.out
    assert "not_an_image 1" in ran.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_dry_run_sees_an_image_that_is_cut_off_as_the_run_would(images, ending):
    Image.effect_noise((300, 200), 50).save(images / f"cut.{ending}")
    whole = (images / f"cut.{ending}").read_bytes()
    (images / f"cut.{ending}").write_bytes(whole[: len(whole) // 2])
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--dry-run")
    assert "6 readable, 6 pages" in ran.out
    assert "1 (corrupt 1)" in ran.out


def test_a_dry_run_with_a_price_says_what_it_costs_and_how_long_it_takes(images, monkeypatch):
    monkeypatch.setenv("UPSTAGE_API_KEYS", "key@3")
    ran = ocrlabel("run", "images/", "--dry-run")
    assert "engine upstage (a key is in the environment)" in ran.out
    assert "0.0090 USD" in ran.out
    assert "2 s at 3 requests/s" in ran.out


@pytest.mark.parametrize(
    "command",
    [
        ("run", "images", "--engine", "scripted", "--output", "other.parquet"),
        ("run", "images", "--engine", "scripted", "--output", "other.parquet", "--dry-run"),
        ("merge", "images", "--output", "labels.parquet"),
    ],
    ids=" ".join,
)
def test_where_no_temporary_file_can_be_written_a_sentence_says_what_to_do(
    images, tmp_path, command
):
    ocrlabel("run", "images/", "--engine", "scripted", "--output", "labels.parquet")
    # a process that may write to no file at all: as with a read-only root and no volume
    started = Machine(tmp_path).start(*command)
    resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (0, 0))
    ran = ended(started)
    assert ran.status == 2, ran.err
    assert "can write no temporary file: No usable temporary directory found" in ran.err
    assert "set TMPDIR" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("engine", ["auto", "upstage"])
def test_a_dry_run_prices_without_a_key_and_says_that_vat_is_not_in_it(images, monkeypatch, engine):
    for name in ("UPSTAGE_API_KEY", "UPSTAGE_API_KEYS", "AWS_SECRET_ARN"):
        monkeypatch.delenv(name, raising=False)
    ran = ocrlabel("run", "images/", "--engine", engine, "--dry-run")
    assert ran.status == 0
    assert "0.0090 USD without VAT" in ran.out
    assert ("no key is set" in ran.out) is (engine == "upstage")


def test_a_changed_input_is_refused_with_both_ways_on(images):
    ocrlabel("run", "images/", "--engine", "scripted")
    shutil.copy(images / "0.png", images / "7.png")
    ran = ocrlabel("run", "images/", "--engine", "scripted")
    assert ran.status == 3
    assert "rows: there 6, here 7" in ran.err
    assert "--output" in ran.err
    assert "--fresh" in ran.err


def test_fresh_asks_first_and_then_does_everything_again(images):
    ocrlabel("run", "images/", "--engine", "scripted")
    shutil.copy(images / "0.png", images / "7.png")
    refused = ocrlabel("run", "images/", "--engine", "scripted", "--fresh")
    assert refused.status == 2
    assert "--yes" in refused.err
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--fresh", "--yes")
    assert ran.status == 0
    assert "7 of 7 images" in ran.out


def test_a_sample_is_labelled_first_and_not_done_twice(images, tmp_path):
    sampled = ocrlabel("run", "images/", "--engine", "scripted", "--sample", "2")
    assert sampled.status == 0
    assert "labels_partial.parquet" in sampled.out
    assert not (tmp_path / "labels.parquet").exists()
    first = {row.id: row.labelled_at for row in read_labels(tmp_path / "labels_partial.parquet")}
    assert len(first) == 2
    ocrlabel("run", "images/", "--engine", "scripted")
    rows = {row.id: row.labelled_at for row in read_labels(tmp_path / "labels.parquet")}
    assert len(rows) == 6
    assert {id_: rows[id_] for id_ in first} == first


def test_too_many_failures_end_with_exit_6_and_a_failures_table(images, tmp_path):
    (images / "broken.jpg").write_bytes(b"no image")
    ran = ocrlabel("run", "images/", "--engine", "scripted")
    assert ran.status == 6
    assert "--max-failures 15%" in ran.err
    table = pq.read_table(tmp_path / "labels_failures.parquet").to_pylist()
    assert [(row["id"], row["failure_class"]) for row in table] == [("broken.jpg", "not_an_image")]
    assert ocrlabel("run", "images/", "--engine", "scripted", "--max-failures", "20%").status == 0


def test_a_broken_file_of_a_folder_is_mended_and_labelled_as_the_message_advises(images, tmp_path):
    (images / "broken.jpg").write_bytes(b"no image")
    ran = ocrlabel("run", "images/", "--engine", "scripted")
    assert "1 not_an_image will fail again as the files are" in ran.err
    assert "--retry-failed" not in ran.err, "of the failures none may pass"
    assert "mend them, then the same command with --grow" in ran.err
    shutil.copy(images / "0.png", images / "broken.jpg")
    again = ocrlabel("run", "images/", "--engine", "scripted", "--grow")
    assert again.status == 0
    assert "6 kept, 0 new, 1 changed, 0 gone" in again.out
    assert len(list(read_labels(tmp_path / "labels.parquet"))) == 7


def test_failed_rows_are_tried_again_when_asked_and_the_label_wins(images, tmp_path):
    good = (images / "3.png").read_bytes()
    rows = [{"id": str(n), "image_path": f"images/{n}.png"} for n in range(6)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "input.parquet")
    (images / "3.png").unlink()
    ran = ocrlabel("run", "input.parquet", "--engine", "scripted")
    assert "not_found 1" in ran.out
    assert "mend them, then the same command with --retry-failed not_found" in ran.err
    (images / "3.png").write_bytes(good)
    again = ocrlabel("run", "input.parquet", "--engine", "scripted", "--retry-failed", "not_found")
    assert again.status == 0
    assert [row.id for row in read_labels(tmp_path / "labels.parquet")] == list("012345")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_table_without_its_images_is_refused_with_the_places_looked_at(tmp_path, dry):
    rows = [{"id": "a", "image_path": "data/a.png"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "input.parquet")
    ran = ocrlabel("run", "input.parquet", "--engine", "scripted", *dry)
    assert ran.status == 2
    assert "data/a.png" in ran.err
    assert "--image-root" in ran.err
    assert str(tmp_path) in ran.err


def test_a_downloaded_checkpoint_is_the_part_of_the_tables_that_it_will_be(images, tmp_path):
    (images / "1b.jpg").write_bytes(b"no image")
    pages = [Image.new("RGB", (120, 80), "white") for _ in range(3)]
    pages[0].save(images / "3b.pdf", save_all=True, append_images=pages[1:])
    ocrlabel("run", "images", "--engine", "scripted", "--batch-size", "3", "--max-failures", "100%")
    (tmp_path / "downloads").mkdir()
    alone = [
        Path(shutil.copy(path, tmp_path / "downloads"))
        for path in sorted((tmp_path / "checkpoints").glob("*_batch_*.parquet"))
    ]
    assert len(alone) == 3
    labels, failures = tmp_path / "labels.parquet", tmp_path / "labels_failures.parquet"
    assert [row for one in alone for row in read_labels(one)] == list(read_labels(labels))
    assert [row for one in alone for row in read_failures(one)] == list(read_failures(failures))
    assert [row.id for row in read_failures(alone[0])] == ["1b.jpg"]
    with alone[2].open("rb") as file:
        assert list(read_labels(file)), "an open file is taken too"


def test_status_tells_of_a_finished_run_and_of_none(images):
    missing = ocrlabel("status", "labels.parquet")
    assert missing.status == 2
    assert "there is no run here" in missing.err
    ocrlabel("run", "images/", "--engine", "scripted")
    ran = ocrlabel("status", "labels.parquet")
    assert "done; both tables are written" in ran.out
    assert "6 of 6" in ran.out
    told = json.loads(ocrlabel("status", "labels.parquet", "--json").out)
    assert (told["labelled"], told["not_reached"], told["complete"]) == (6, 0, True)


def test_merge_makes_lost_tables_again_without_an_engine(images, tmp_path):
    ocrlabel("run", "images/", "--engine", "scripted")
    table, record = tmp_path / "labels.parquet", tmp_path / "labels_run.json"
    before, told = list(read_labels(table)), json.loads(record.read_text())
    table.unlink()
    assert ocrlabel("merge", "images/").status == 0
    assert list(read_labels(table)) == before
    again = json.loads(record.read_text())
    changed = {name for name in told if again[name] != told[name]}
    assert changed <= {"ended_at", "ended_at_s", "active_s"}


@pytest.fixture
def with_keys(images, tmp_path):
    """A table that calls its rows once by `id` and once by `key`."""
    paths = [str(path) for path in sorted(images.iterdir())]
    rows = {"id": [f"i{n}" for n in range(len(paths))], "image_path": paths}
    keys = [f"k{n}" for n in range(len(paths))]
    pq.write_table(pa.table(rows | {"key": keys}), tmp_path / "train.parquet")
    return keys


def test_rows_are_called_as_the_named_column_says_by_command_and_by_call(with_keys, tmp_path):
    scripted = ("--engine", "scripted", "--image-root", "images")
    named = ("--id-column", "key")
    assert ocrlabel("run", "train.parquet", *scripted, *named).status == 0
    assert [row.id for row in read_labels("labels.parquet")] == with_keys
    called = label(
        "train.parquet", output="called.parquet", engine="scripted", id_column="key", progress=False
    )
    assert [row.id for row in read_labels(called.labels_path)] == with_keys

    other = ocrlabel("run", "train.parquet", *scripted)
    assert other.status == 3, "one table would have ids of two columns"
    assert "train.parquet (ids: key)" in other.err
    (tmp_path / "labels.parquet").unlink()
    assert ocrlabel("merge", "train.parquet", *named).status == 0
    assert [row.id for row in read_labels("labels.parquet")] == with_keys
    assert ocrlabel("reparse", "train.parquet").status == 2


def test_a_column_of_ids_that_is_not_there_is_refused_with_those_that_are(with_keys):
    said = ocrlabel("run", "train.parquet", "--engine", "scripted", "--id-column", "name")
    assert said.status == 2
    assert "no column 'name'; it has id, image_path, key" in said.err


def test_a_setting_is_refused_in_one_sentence_that_names_flag_and_variable(images, monkeypatch):
    monkeypatch.setenv("OCRLABEL_MAX_COST", "much")
    ran = ocrlabel("run", "images/", "--engine", "scripted")
    assert ran.status == 2
    assert "--max-cost (or OCRLABEL_MAX_COST)" in ran.err
    assert "'much'" in ran.err


def test_settings_come_from_variables_and_the_command_line_wins(images, monkeypatch):
    monkeypatch.setenv("OCRLABEL_ENGINE", "scripted")
    monkeypatch.setenv("OCRLABEL_LIMIT", "2")
    assert "2 of 6 images" in ocrlabel("run", "images/").out
    assert "4 of 6 images" in ocrlabel("run", "images/", "--limit", "4").out


def test_an_output_that_is_no_parquet_file_is_refused(images):
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--output", "labels.csv")
    assert ran.status == 2
    assert "labels.csv" in ran.err


def test_a_file_that_is_in_the_way_is_not_overwritten(images, tmp_path):
    (tmp_path / "labels.parquet").write_bytes(b"somebody's own")
    ran = ocrlabel("run", "images/", "--engine", "scripted")
    assert ran.status == 3
    assert "write to another --output, or move it away" in ran.err
    assert (tmp_path / "labels.parquet").read_bytes() == b"somebody's own"


def test_python_does_what_the_command_does_also_where_a_loop_runs(images):
    result = label("images/", engine="scripted", progress=False)
    assert (result.rows, result.labelled, result.complete) == (6, 6, True)
    assert len(list(read_labels(images.parent / result.labels_path))) == 6


async def test_python_labels_from_within_a_running_loop(images):
    assert label("images/", engine="scripted", progress=False).labelled == 6


def test_a_dry_run_of_a_run_that_has_begun_prices_what_is_left(images, monkeypatch):
    monkeypatch.setenv("OCRLABEL_ENGINE", "scripted")
    ocrlabel("run", "images/", "--sample", "2")
    half = ocrlabel("run", "images/", "--dry-run")
    assert "2 rows; they are not done again" in half.out
    assert "4 readable, 4 pages" in half.out
    ocrlabel("run", "images/")
    assert "nothing" in ocrlabel("run", "images/", "--dry-run").out


def test_a_dry_run_is_refused_where_the_run_would_be(images):
    ocrlabel("run", "images/", "--engine", "scripted")
    shutil.copy(images / "0.png", images / "7.png")
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--dry-run")
    assert ran.status == 3
    assert "1 new: 7.png" in ran.err
    assert "add --grow to go on here" in ran.err


def test_a_folder_that_has_grown_is_priced_labelled_and_corrected_in_its_place(images, tmp_path):
    run = ("run", "images/", "--engine", "scripted", "--output", "labels.parquet")
    assert ocrlabel(*run).status == 0
    table = tmp_path / "labels.parquet"
    corrected = [
        replace(row, source="coco", words=(), classes=()) if row.id in {"1.png", "2.png"} else row
        for row in read_labels(table)
    ]
    write_changed(table, corrected, source=table, changed_by="import coco")
    before = table.read_bytes()
    shutil.copy(images / "0.png", images / "7.png")
    Image.new("RGB", (300, 80), "white").save(images / "8.png")
    Image.new("RGB", (310, 80), "white").save(images / "2.png")
    (images / "4.png").unlink()
    told = ocrlabel(*run, "--grow", "--dry-run")
    assert told.status == 0
    assert "grown             4 kept, 2 new, 1 changed, 1 gone" in told.out
    assert "answered          5 images; they are not asked for again" in told.out
    assert "rows are gone (4.png): the run needs --drop-gone" in told.out
    assert table.read_bytes() == before
    assert "1 gone: 4.png" in ocrlabel(*run, "--grow").err
    assert table.read_bytes() == before
    ran = ocrlabel(*run, "--grow", "--drop-gone")
    assert ran.status == 0
    assert "grown             4 kept, 2 new, 1 changed, 1 gone" in ran.out
    assert "corrections       1 page carried, 1 left out" in ran.out
    assert "corrections of 1 page are left out" in ran.err
    rows = {row.id: row for row in read_labels(table)}
    assert sorted(rows) == ["0.png", "1.png", "2.png", "3.png", "5.png", "7.png", "8.png"]
    assert [name for name, row in rows.items() if row.source == "coco"] == ["1.png"]
    assert "was done before" in ocrlabel(*run).out
    assert ocrlabel(*run, "--grow", "--fresh", "--yes").status == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_with_rows_appended_goes_on_in_its_place(images, tmp_path, ending):
    def write(numbers):
        rows = pd.DataFrame(
            {"id": map(str, numbers), "image_path": [f"images/{n}.png" for n in numbers]}
        )
        path = tmp_path / f"input.{ending}"
        rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path)

    write(range(4))
    run = ("run", f"input.{ending}", "--engine", "scripted")
    assert ocrlabel(*run).status == 0
    write(range(6))
    assert "2 new: 4, 5" in ocrlabel(*run).err
    ran = ocrlabel(*run, "--grow")
    assert "4 kept, 2 new, 0 changed, 0 gone" in ran.out


def test_a_finished_run_leaves_no_partial_tables_behind(images, tmp_path):
    ocrlabel("run", "images/", "--engine", "scripted", "--sample", "2")
    ocrlabel("run", "images/", "--engine", "scripted")
    assert not list(tmp_path.glob("*_partial.parquet"))


def test_progress_of_a_retry_counts_the_rows_of_the_retry(images, tmp_path):
    (images / "broken.jpg").write_bytes(b"no image")
    ocrlabel("run", "images/", "--engine", "scripted", "--max-failures", "50%")
    again = ocrlabel("run", "images/", "--engine", "scripted", "--retry-failed", "all")
    assert "1 of 1 done" in again.err
