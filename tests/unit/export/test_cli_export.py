"""The two commands, from the table on disk to the folder and back."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.dataset.labels_table import LabelsWriter, read_labels, table_info
from ocrlabel.errors import ConfigError, DatasetError, Incomplete
from ocrlabel.export.formats import IMPORTS
from tests.support.labelled import AT, Pictures, row, submitted, word


def run(*arguments) -> str:
    found = CliRunner().invoke(app, [str(a) for a in arguments])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def table(tmp_path):
    rows = [row(f"{n}.png", [word("one"), word("two", (10, 50))], image_sha256="") for n in (1, 2)]
    with LabelsWriter(tmp_path / "labels.parquet", {"run_id": "r1"}) as writer:
        for each in rows:
            writer.add(each)
    (tmp_path / "receipts").mkdir()
    for each in rows:
        (tmp_path / "receipts" / each.id).write_bytes(Pictures().file(each).data)
    return tmp_path / "labels.parquet"


def test_labels_go_out_are_corrected_and_come_back(table, tmp_path):
    out = tmp_path / "paddle"
    told = run("export", table, "--format", "paddleocr", "--images", tmp_path / "receipts",
               "--output", out)  # fmt: skip
    assert "2 pages (pseudo 2), 4 words, 0 of them do-not-care, 2 images" in told
    path = out / "pseudo" / "Label.txt"
    path.write_text(path.read_text().replace("one", "ONE", 1))
    corrected = tmp_path / "corrected.parquet"
    told = run("import", out, "--format", "paddleocr", "--onto", table, "--output", corrected)
    assert "1 page corrected, 1 came back unchanged, 0 untouched" in told
    first, second = read_labels(corrected)
    assert [w.text for w in first.words] == ["ONE", "two"]
    assert (first.source, second.source) == ("paddleocr", "engine")
    assert second == list(read_labels(table))[1]
    info = table_info(corrected)
    assert (info["run_id"], info["changed_by"]) == ("r1", "import paddleocr")


@pytest.mark.parametrize("format_", ["coco", "hf", "labelstudio", "paddleocr"])
def test_a_table_that_is_not_there_leaves_no_folder_that_bars_the_right_command(
    table, tmp_path, format_
):
    into = ("--format", format_, "-o", tmp_path / "out")
    with pytest.raises(DatasetError, match=r"labels\.parqet"):
        run("export", table.with_suffix(".parqet"), *into)
    assert not (tmp_path / "out").exists()
    assert "2 pages" in run("export", table, *into)


def test_tasks_without_images_say_who_has_to_serve_them(table, tmp_path):
    into = ("--format", "labelstudio", "-o", tmp_path / "out")
    assert "careful: no images" in run("export", table, *into)
    assert "careful" not in run("export", table, *into, "--force", "--image-url", "https://a/")


def test_a_missing_image_ends_with_a_list_and_the_rest_is_there(table, tmp_path):
    (tmp_path / "receipts" / "2.png").unlink()
    with pytest.raises(Incomplete, match=r"want of the image: 1 page\n(.|\n)*2\.png was not found"):
        run("export", table, "--format", "coco", "--images", tmp_path / "receipts",
            "-o", tmp_path / "out")  # fmt: skip
    assert (tmp_path / "out" / "images" / "pseudo" / "1.png").is_file()


def test_corrections_of_another_table_are_refused_or_left_out_on_demand(table, tmp_path):
    lines = [f"other{n}.jpg\t{json.dumps([])}\n" for n in range(12)]
    (tmp_path / "Label.txt").write_text("".join(lines))
    arguments = ("import", tmp_path / "Label.txt", "--format", "paddleocr", "--onto", table,
                 "--output", tmp_path / "c.parquet")  # fmt: skip
    with pytest.raises(DatasetError, match=r"12 corrections fit no page(.|\n)*other9\.jpg"):
        run(*arguments)
    assert not (tmp_path / "c.parquet").exists()
    assert "left out: other11.jpg" in run(*arguments, "--skip-unmatched")
    assert list(read_labels(tmp_path / "c.parquet")) == list(read_labels(table))


def test_a_corrected_table_may_replace_the_one_it_was_made_from(table, tmp_path):
    (tmp_path / "Label.txt").write_text("1.png\t[]\n")
    run("import", tmp_path / "Label.txt", "--format", "paddleocr", "--onto", table, "-o", table)
    assert [len(each.words) for each in read_labels(table)] == [0, 2]


def test_recognition_options_reach_the_export(table, tmp_path):
    (tmp_path / "chars.txt").write_text("one")
    told = run("export", table, "--format", "paddleocr-rec", "--images", tmp_path / "receipts",
               "--charset", tmp_path / "chars.txt", "--splits", "train=1", "-o", tmp_path / "r")  # fmt: skip
    assert "left out: 2 words, not_in_charset" in told
    assert (tmp_path / "r" / "train" / "rec_gt.txt").read_text().count("\n") == 2


def test_importing_a_folder_that_does_not_exist_is_an_error(table, tmp_path):
    with pytest.raises(ConfigError, match="no such"):
        run("import", tmp_path / "x", "--format", "coco", "--onto", table, "-o", tmp_path / "y")


def test_every_word_that_an_import_alters_is_in_a_printed_count(table, tmp_path):
    out = tmp_path / "paddle"
    run("export", table, "--format", "paddleocr", "--images", tmp_path / "receipts", "-o", out)
    path = out / "pseudo" / "Label.txt"
    first, second = path.read_text().splitlines()
    corrected = first.replace("one", "ONE").replace("two", "###")
    path.write_text(f"{corrected}\n{second.partition(chr(9))[0]}\t[]\n")
    told = run("import", path, "--format", "paddleocr", "--onto", table,
               "--reviewed-by", "kim", "-o", tmp_path / "c.parquet")  # fmt: skip
    assert "2 pages corrected, 0 came back unchanged, 0 untouched" in told
    assert "4 words changed: 1 made do-not-care, 2 removed, 1 with another text" in told
    assert "1 page came back empty, with no word left\n  receipts/2.png: 2 words" in told
    back = list(read_labels(tmp_path / "c.parquet"))
    assert [each.source for each in back] == ["paddleocr:kim"] * 2
    assert all(each.reviewed_at for each in back)


def test_shapes_that_are_no_words_are_told_and_an_export_elsewhere_may_be_named(table, tmp_path):
    run("export", table, "--format", "coco", "--ignore-below", "0.95", "-o", tmp_path / "coco")
    path = tmp_path / "coco" / "annotations" / "instances_pseudo.json"
    content = json.loads(path.read_text())
    mask = {"segmentation": {"counts": []}, "category_id": 1, "image_id": 1}
    content["annotations"].append(mask)
    path.unlink()
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "x.json").write_text(json.dumps(content))
    told = run("import", tmp_path / "away", "--format", "coco", "--exported", tmp_path / "coco",
               "--onto", table, "-o", tmp_path / "c.parquet")  # fmt: skip
    assert "0 pages corrected, 2 came back unchanged" in told
    assert "passed over, for they are no words: 1 mask" in told
    assert "words changed" not in told
    assert list(read_labels(tmp_path / "c.parquet")) == list(read_labels(table))


KIM = {"id": 1, "created_at": "2026-01-01", "completed_by": 1}
LEE = {"id": 2, "created_at": "2026-01-02", "completed_by": 2}


@pytest.mark.parametrize(
    ("made", "others"),
    [
        ({"annotations": [KIM, LEE]}, "1 older annotation"),
        ({"annotations": [LEE, {**KIM, "created_at": None}]}, "1 older annotation"),
        ({"annotations": [KIM, KIM, LEE]}, "2 older annotations"),
        ({"annotations": [LEE, {**KIM, "was_cancelled": True}]}, "1 skipped annotation"),
        ({"annotations": [LEE], "completions": [KIM]}, "1 older annotation"),
        ({"annotations": [LEE], "drafts": [{}, {}]}, "2 drafts"),
        ({"drafts": [{}]}, "1 draft"),
        ({"annotations": [{**KIM, "was_cancelled": True}]}, "1 skipped annotation"),
        ({"annotations": [LEE]}, ""),
        ({}, ""),
    ],
)
def test_of_several_annotations_the_newest_counts_and_the_others_are_counted(
    table, tmp_path, made, others
):
    run("export", table, "--format", "labelstudio", "-o", tmp_path / "ls")
    path = tmp_path / "ls" / "tasks.json"
    tasks = json.loads(path.read_text())
    result = tasks[0]["predictions"][0]["result"]
    annotated = {
        key: [{**one, "result": [] if one["id"] == 1 else result} for one in found]
        for key, found in made.items()
        if key != "drafts"
    }
    path.write_text(json.dumps([{**tasks[0], **made, **annotated}, tasks[1]]))
    told = run("import", path, "--format", "labelstudio", "--onto", table, "-o", tmp_path / "c")
    is_taken = LEE in made.get("annotations", [])
    assert f"0 pages corrected, {is_taken:d} came back unchanged" in told
    said = "not taken, for the newest submitted annotation of a page counts: "
    assert [line for line in told.splitlines() if "not taken" in line] == [said + others] * (
        others != ""
    )


EMPTY = {
    "labelstudio": ("tasks.json", "[]"),
    "paddleocr": ("Label.txt", ""),
    "icdar2015": ("README.md", ""),
    "coco": ("a.json", '{"images": [], "annotations": []}'),
    "hf": ("a.parquet", None),
    "aistages": ("a.json", '{"images": {}}'),
}


@pytest.mark.parametrize("format_", IMPORTS)
def test_what_holds_no_page_at_all_is_refused_and_nothing_written(table, tmp_path, format_):
    name, content = EMPTY[format_]
    (tmp_path / "in").mkdir()
    if content is None:
        run("export", table, "--format", format_, "-o", tmp_path / "hf")
        (path,) = (tmp_path / "hf").rglob("*.parquet")
        pq.write_table(pq.read_table(path)[:0], tmp_path / "in" / name)
    else:
        (tmp_path / "in" / name).write_text(content)
    arguments = ["import", str(tmp_path / "in"), "--format", format_, "--onto", str(table)]
    found = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "c.parquet")])
    assert isinstance(found.exception, DatasetError)
    assert found.exception.exit_status == 2
    what = "gt_*.txt" if format_ == "icdar2015" else f"page of {format_}"
    assert f"{tmp_path / 'in'} holds no {what}\n  name " in str(found.exception)
    assert not (tmp_path / "c.parquet").exists()


def test_words_that_became_do_not_care_are_named_where_no_export_is_known(table, tmp_path):
    run("export", table, "--format", "paddleocr", "-o", tmp_path / "paddle")
    (path,) = (tmp_path / "paddle").rglob("Label.txt")
    (tmp_path / "Label.txt").write_text(path.read_text().replace("one", "###"))
    told = run("import", tmp_path / "Label.txt", "--format", "paddleocr", "--onto", table,
               "-o", tmp_path / "c.parquet")  # fmt: skip
    assert "careful: 2 words made do-not-care; if the tool was sent them as that, name" in told
    assert "--exported DIR" in told


def test_words_that_are_left_out_with_their_page_are_counted(table, tmp_path):
    word = {"transcription": "x", "points": [[0, 0], [9, 0], [9, 9]]}
    (tmp_path / "Label.txt").write_text(f"other.jpg\t{json.dumps([word])}\n")
    told = run("import", tmp_path / "Label.txt", "--format", "paddleocr", "--onto", table,
               "--skip-unmatched", "--output", tmp_path / "c.parquet")  # fmt: skip
    assert "careful: no page came back" in told
    assert "left out with them: 1 word" in told


def test_a_page_goes_to_review_is_submitted_and_is_never_doubted_again(tmp_path):
    labels, review = tmp_path / "labels.parquet", tmp_path / "review.parquet"
    page = row("1.png", [word("sure?", confidence=0.3), word("two", (10, 50))], image_sha256="")
    with LabelsWriter(labels) as writer:
        writer.add(page)
    run(
        "filter",
        labels,
        "--min-confidence",
        "0.8",
        "--review",
        review,
        "-o",
        tmp_path / "f.parquet",
    )
    run("export", review, "--format", "labelstudio", "-o", tmp_path / "ls")
    submitted(tmp_path / "ls")
    told = run("import", tmp_path / "ls", "--format", "labelstudio", "--onto", review, "-o", labels)
    assert "0 pages corrected, 1 came back unchanged" in told
    assert "1 word changed: 1 no longer uncertain" in told
    (back,) = read_labels(labels)
    assert (back.words, back.classes) == (page.words, ("text", "text"))
    assert (back.source, back.reviewed_at) == ("labelstudio:kim@x.org", AT)
    told = run("filter", labels, "--min-confidence", "0.8", "-o", tmp_path / "f.parquet")
    assert "0 of 2 words" in told
    run("export", labels, "--format", "coco", "--ignore-below", "0.8", "-o", tmp_path / "coco")
    (path,) = (tmp_path / "coco" / "annotations").iterdir()
    content = json.loads(path.read_text())
    assert [category["name"] for category in content["categories"]] == ["text"]
    assert [annotation["iscrowd"] for annotation in content["annotations"]] == [0, 0]
