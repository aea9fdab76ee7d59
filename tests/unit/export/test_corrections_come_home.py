"""Corrections as tools give them back: little is theirs, little is left of ours, nothing changes silently."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.errors import DatasetError
from ocrlabel.export.corrections import Merge, apply_correction, by_person, exported_pages
from ocrlabel.export.formats import IMPORTS, Correction, ExportOptions, export_of, import_of
from ocrlabel.export.output_folder import rule_of
from ocrlabel.labels import Word
from tests.support.labelled import AT, Pictures, row, word

LATER = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
TURNED = ((20.4, 10.6), (80.2, 14.7), (79.3, 35.9), (19.5, 31.8))


def two_words(name: str = "a.jpg", **changes):
    """A page with a word of a class of its own, and one that is do-not-care by its confidence."""
    words = [Word("TOTAL", TURNED, 0.9), word("smudge", (10, 60), 0.2)]
    return row(name, words, classes=("total", "text"), **changes)


def sent(table, name: str, folder: Path, options: ExportOptions = ExportOptions()) -> Path:  # noqa: B008 -- frozen
    export_of(name)(iter(table), Pictures(), folder, options)
    return folder


def home(table, name: str, path: Path, exported: Path | None = None) -> tuple[Merge, list]:
    """What `ocrlabel import` does."""
    known = exported or path
    merge = Merge(lambda: iter(table), import_of(name)(path), exported_pages(known), rule_of(known))
    return merge, list(merge.rows())


def json_of(path: Path, change) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("value", [5, -1, 98.0])
@pytest.mark.parametrize("name", ["coco", "aistages"])
def test_a_confidence_in_per_cent_is_refused_with_its_file(tmp_path, name, value):
    folder = sent([two_words()], name, tmp_path)
    (path,) = (folder / {"coco": "annotations", "aistages": "jsons"}[name]).glob("*.json")
    text = path.read_text()
    assert "0.9" in text
    path.write_text(text.replace("0.9", str(value), 1))
    with pytest.raises(DatasetError, match="is no confidence, which is from 0 to 1") as refused:
        home([two_words()], name, folder)
    assert path.name in str(refused.value)


# --- from where a tool was opened


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("paddleocr", "train"),
        ("paddleocr", "train/Label.txt"),
        ("icdar2015", "train"),
        ("icdar2015", "train/gt"),
        ("coco", "annotations/instances_train.json"),
        ("aistages", "jsons/train.json"),
    ],
)
def test_the_folder_or_file_that_a_tool_was_opened_on_knows_its_export(name, below, tmp_path):
    """Two folders have a page of the same name, and a cut made a word do-not-care."""
    table = [two_words(f"{folder}/1.jpg", split="train") for folder in "ab"]
    sent(table, name, tmp_path / "x", ExportOptions(ignore_below=0.5))
    merge, back = home(table, name, tmp_path / "x" / below)
    assert (merge.unmatched, back, merge.counts) == ([], table, {"unchanged": 2})


@pytest.mark.parametrize("name", ["paddleocr", "icdar2015", "coco", "aistages"])
def test_a_split_folder_that_was_taken_elsewhere_finds_its_pages_by_their_names(name, tmp_path):
    table = [
        row("a/1.jpg", [word("one")], split="train"), row("b/1.jpg", [word("uno")], split="train"),
        *(row("a.tiff", [word(str(n))], page=n, page_count=2, split="train") for n in (1, 2)),
    ]  # fmt: skip
    sent(table, name, tmp_path / "x")
    below = {"coco": "annotations", "aistages": "jsons"}.get(name, "train")
    away = shutil.copytree(tmp_path / "x" / below, tmp_path / "away" / "session")
    merge, back = home(table, name, away)
    assert (merge.unmatched, back) == ([], table)


def test_of_two_pages_with_one_name_the_one_whose_words_came_back_is_meant(tmp_path):
    """The export was of the second page alone, as a review of the worst pages is."""
    table = [row("a/1.jpg", [word("one"), word("x", (90, 50))]), row("b/1.jpg", [word("uno")])]
    sent(table[1:], "coco", tmp_path / "x")
    path = tmp_path / "x" / "annotations" / "instances_pseudo.json"

    def of_another_tool(content):
        del content["images"][0]["ocrlabel_id"], content["images"][0]["page"]

    json_of(path, of_another_tool)
    path = path.rename(tmp_path / "away.json")
    merge, back = home(table, "coco", path)
    assert (merge.unmatched, merge.counts) == ([], {"untouched": 1, "unchanged": 1})
    assert back == table
    json_of(path, lambda content: content["annotations"][0]["attributes"].update(text="both?"))
    assert home(table, "coco", path)[0].unmatched == ["1.png: may be 2 pages"]


def test_folders_tell_pages_of_one_name_apart_however_much_of_the_path_is_known():
    table = [
        row(f"{folder}/1.jpg", [word()], image_path=f"/data/{folder}/1.jpg") for folder in "ab"
    ]
    for file in ("b/1.jpg", "/data/b/1.jpg", "task\\b\\1.jpg", "/else/where/b/1.jpg"):
        merge = Merge(lambda: iter(table), [Correction(file, (), (), "coco")], (), ExportOptions())
        assert [each.words == () for each in merge.rows()] == [False, True], file


@pytest.mark.parametrize("name", sorted({*IMPORTS} - {"labelstudio"}))
def test_words_that_were_drawn_counterclockwise_come_home_as_they_were(name, tmp_path):
    round_ = Word("drawn", ((20.0, 30.0), (20.0, 60.0), (110.0, 60.0), (110.0, 30.0)), 0.9)
    table = [row("a.jpg", [round_, word("two", (100, 70))], split="train")]
    merge, back = home(table, name, sent(table, name, tmp_path / "x"))
    assert (back, merge.counts) == (table, {"unchanged": 1})


# --- COCO from CVAT and other editors


def cvat(content: dict) -> None:
    """What is left of an export by CVAT: its own ids and fields, attributes without ours."""
    for image in content["images"]:
        del image["ocrlabel_id"], image["page"]
        image.update(license=0, flickr_url="", coco_url="", date_captured=0)
    for annotation in content["annotations"]:
        del annotation["attributes"]["confidence"], annotation["attributes"]["label"]
        annotation["attributes"]["occluded"] = False


def from_cvat(table, folder: Path, change=lambda content: None, options=ExportOptions()) -> Path:  # noqa: B008
    sent(table, "coco", folder / "coco", options)
    path = folder / "coco" / "annotations" / "instances_pseudo.json"
    json_of(path, lambda content: (cvat(content), change(content)))
    return path.rename(folder / "instances_default.json")


def drawn(content: dict, **fields) -> None:
    """One more shape on the first page."""
    new = {"id": 99, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": []}
    content["annotations"].append({**new, **fields})


def test_pages_of_one_name_and_of_one_document_come_back_from_cvat(tmp_path):
    table = [
        row("a/1.png", [word("AAAA")]), row("b/1.png", [word("BBBB")]),
        *(row("doc.tiff", [word(f"P{n}")], page=n, page_count=2) for n in (1, 2)),
    ]  # fmt: skip
    merge, back = home(table, "coco", from_cvat(table, tmp_path))
    assert (merge.unmatched, merge.counts, back) == ([], {"unchanged": 4}, table)


def test_a_rectangle_without_a_segmentation_is_a_word_with_four_corners(tmp_path):
    table = [two_words()]
    path = from_cvat(table, tmp_path, lambda content: drawn(
        content, bbox=[150, 80, 40, 15], attributes={"text": "NEW"}))  # fmt: skip
    merge, (page,) = home(table, "coco", path)
    assert page.words == (
        *table[0].words,
        Word("NEW", ((150, 80), (190, 80), (190, 95), (150, 95)), None),
    )
    assert page.classes == ("total", "text", "text")
    assert (merge.counts, merge.words) == ({"corrected": 1}, {"added": 1})


def test_a_rectangle_that_was_turned_in_cvat_is_turned_about_its_middle(tmp_path):
    path = from_cvat([row("a.jpg")], tmp_path, lambda content: drawn(
        content, bbox=[100, 50, 40, 20], attributes={"text": "up", "rotation": 90.0}))  # fmt: skip
    _, (page,) = home([row("a.jpg")], "coco", path)
    (found,) = page.words
    corners = [(round(x, 6), round(y, 6)) for x, y in found.polygon]
    assert corners == [(130, 40), (130, 80), (110, 80), (110, 40)]


def boxes_only(content):
    for annotation in content["annotations"]:
        annotation["segmentation"] = []


def boxes_of_whole_pixels(content):
    boxes_only(content)
    for annotation in content["annotations"]:
        annotation["bbox"] = [math.floor(v) for v in annotation["bbox"]]


def corners_of_whole_pixels(content):
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[int(v) for v in annotation["segmentation"][0]]]


def corners_of_two_digits(content):
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[round(v, 2) for v in annotation["segmentation"][0]]]


def no_attributes(content):
    for annotation in content["annotations"]:
        del annotation["attributes"]


def confidences_as_text(content):
    for annotation in content["annotations"]:
        annotation["attributes"]["confidence"] = "0.9"


def no_do_not_care(content):
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0


def masks_for_do_not_care(content):
    for annotation in content["annotations"]:
        if annotation["iscrowd"]:
            annotation.update(segmentation={"counts": [1], "size": [1, 1]}, attributes={})


def another_order(content):
    content["annotations"].reverse()


@pytest.mark.parametrize(
    "editor",
    [boxes_only, boxes_of_whole_pixels, corners_of_whole_pixels, corners_of_two_digits,
     no_attributes, confidences_as_text, no_do_not_care, masks_for_do_not_care, another_order],
)  # fmt: skip
def test_what_an_editor_has_no_field_for_is_no_correction(editor, tmp_path):
    table = [two_words()]
    path = from_cvat(table, tmp_path, editor, ExportOptions(ignore_below=0.5))
    merge, back = home(table, "coco", path, exported=tmp_path / "coco")
    assert (merge.unmatched, back, merge.counts) == ([], table, {"unchanged": 1})


def test_a_class_that_was_changed_in_an_editor_is_changed(tmp_path):
    table = [two_words()]

    def other_category(content):
        content["annotations"][0]["attributes"]["label"] = "total"
        content["annotations"][0]["category_id"] = 1

    merge, (page,) = home(table, "coco", from_cvat(table, tmp_path, other_category))
    assert (page.classes, merge.words) == (("text", "text"), {"of another class": 1})


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ({"segmentation": {"counts": [1], "size": [1, 1]}, "bbox": [0, 0, 9, 9]}, "mask"),
        ({"keypoints": [5, 5, 2], "bbox": [0, 0, 9, 9]}, "skeleton"),
        ({}, "shape without a place"),
        ({"segmentation": [[1, 1, 9, 9]]}, "shape without an area"),
        ({"bbox": [5, 5, 0, 9]}, "shape without an area"),
    ],
)
def test_a_shape_that_is_no_word_is_passed_over_and_counted(shape, kind, tmp_path):
    table = [two_words()]
    path = from_cvat(table, tmp_path, lambda content: drawn(content, **shape))
    merge, back = home(table, "coco", path)
    assert (back, merge.passed_over, merge.words) == (table, {kind: 1}, {})


@pytest.mark.parametrize("column", ["texts", "polygons", "labels", "page"])
def test_a_row_of_hf_that_lacks_what_it_needs_is_named(column, tmp_path):
    table = [two_words()]
    (path,) = sent(table, "hf", tmp_path / "x").rglob("*.parquet")
    rows = pq.read_table(path)
    nothing = pa.nulls(len(rows), rows.schema.field(column).type)
    pq.write_table(rows.set_column(rows.schema.names.index(column), column, nothing), path)
    with pytest.raises(DatasetError, match=r"parquet, id a\.jpg: .*\n  a page needs its number"):
        home(table, "hf", tmp_path / "x")


def test_a_text_of_hf_that_is_null_is_as_it_was(tmp_path):
    table = [two_words()]
    (path,) = sent(table, "hf", tmp_path / "x").rglob("*.parquet")
    rows = pq.read_table(path)
    nulls = pa.array([[None, "smudge"]], rows.schema.field("texts").type)
    pq.write_table(rows.set_column(rows.schema.names.index("texts"), "texts", nulls), path)
    assert home(table, "hf", tmp_path / "x")[1] == table


def coco_at(content, factor):
    for image in content["images"]:
        image.update(width=image["width"] * factor, height=image["height"] * factor)
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[v * factor for v in annotation["segmentation"][0]]]
        annotation["bbox"] = [v * factor for v in annotation["bbox"]]


def stages_at(content, factor):
    for image in content["images"].values():
        image.update(img_w=image["img_w"] * factor, img_h=image["img_h"] * factor)
        for each in image["words"].values():
            each["points"] = [[x * factor, y * factor] for x, y in each["points"]]


def studio_at(content, factor):  # its places are in per cent
    for task in content:
        for result in task["annotations"][0]["result"]:
            result.update(
                original_width=result["original_width"] * factor,
                original_height=result["original_height"] * factor,
            )


OF_SIZES = {
    "coco": ("annotations/instances_pseudo.json", coco_at),
    "aistages": ("jsons/pseudo.json", stages_at),
    "labelstudio": ("tasks.json", studio_at),
}


@pytest.mark.parametrize("factor", [0.5, 1.6, 3])
@pytest.mark.parametrize("name", OF_SIZES)
def test_places_on_a_picture_of_another_size_are_those_on_the_page(name, factor, tmp_path):
    table = [two_words()]
    file, resize = OF_SIZES[name]
    sent(table, name, tmp_path / "x")
    path = submitted(tmp_path / "x") if name == "labelstudio" else tmp_path / "x" / file
    json_of(path, lambda content: resize(content, factor))
    merge, (page,) = home(table, name, path, exported=tmp_path / "x")
    assert (page.words, page.classes) == (table[0].words, table[0].classes)
    assert merge.words.total() == 0


@pytest.mark.parametrize("name", OF_SIZES)
def test_a_picture_of_another_shape_is_refused_by_its_name(name, tmp_path):
    table = [two_words(width_px=100, height_px=200)]
    file, _ = OF_SIZES[name]
    sent([two_words()], name, tmp_path / "x")
    path = submitted(tmp_path / "x") if name == "labelstudio" else tmp_path / "x" / file
    with pytest.raises(DatasetError, match=r"200x100 px of the picture, the table 100x200: it was"):
        home(table, name, path, exported=tmp_path / "x")


RLE = {"segmentation": {"counts": [1000, 50, 18950], "size": [100, 200]}, "bbox": [3, 90, 9, 9]}


@pytest.mark.parametrize("crowd", [0, 1])
def test_a_mask_of_cvat_is_passed_over_and_says_nothing_of_other_words(crowd, tmp_path):
    """CVAT calls every mask a crowd, and has no field for what is do-not-care."""
    table = [two_words(), two_words("b.jpg")]

    def change(content):
        no_do_not_care(content)
        drawn(content, **RLE, area=50, iscrowd=crowd, attributes={"occluded": False})

    path = from_cvat(table, tmp_path, change, ExportOptions(ignore_below=0.5))
    merge, back = home(table, "coco", path, exported=tmp_path / "coco")
    assert (back, merge.passed_over, merge.words) == (table, {"mask": 1}, {})


def test_a_mask_over_a_word_is_not_that_word(tmp_path):
    table = [two_words()]
    over = RLE | {"bbox": [10, 60, 80, 20]}
    path = from_cvat(table, tmp_path, lambda content: drawn(content, **over, iscrowd=1))
    merge, back = home(table, "coco", path)
    assert (back, merge.passed_over, merge.words) == (table, {"mask": 1}, {})


def breaks(kind, *missing, **fields):
    def change(content):
        entry = content[kind][0]
        for name in missing:
            del entry[name]
        entry.update(fields)

    return change


@pytest.mark.parametrize(
    "change",
    [
        breaks("images", "file_name"),
        breaks("images", "id"),
        breaks("images", page="two"),
        breaks("images", id=2),
        breaks("categories", "name"),
        breaks("annotations", "image_id"),
        lambda content: content["images"].append(None),
        lambda content: content["annotations"].append(7),
    ],
)
def test_an_entry_that_lacks_what_it_needs_is_named(change, tmp_path):
    table = [two_words(), two_words("b.jpg")]
    path = from_cvat(table, tmp_path, change)
    with pytest.raises(DatasetError, match=r"default\.json, (images|categories|annotation \d+): "):
        home(table, "coco", path)


def test_what_is_null_in_a_coco_file_is_not_there(tmp_path):
    def nulls(content):
        content["images"][0].update(page=None, ocrlabel_id=None)
        content["annotations"] = None

    table = [row("a.jpg")]
    merge, back = home(table, "coco", from_cvat(table, tmp_path, nulls))
    assert (back, merge.words.total()) == (table, 0) or merge.emptied


@pytest.mark.parametrize("reviewed", [False, True])
@pytest.mark.parametrize("onto", ["the table", "the filtered table", "the queue"])
def test_words_of_a_review_queue_come_back_from_cvat_as_from_label_studio(onto, reviewed, tmp_path):
    """What is no do-not-care in the queue is so in the filtered table, and the file cannot tell."""
    words = [word(text, (10, y), 0.3) for text, y in (("one", 10), ("two", 40), ("three", 70))]
    classes = {"the table": "text", "the filtered table": "ignore", "the queue": "uncertain"}
    queue = [row("a.jpg", words, classes=("uncertain",) * 3)]
    table = [row("a.jpg", words, classes=(classes[onto],) * 3)]

    def other_text(content):
        no_do_not_care(content)
        content["annotations"][0]["attributes"]["text"] = "ONE"

    path = from_cvat(queue, tmp_path, other_text, ExportOptions(keep_uncertain=True))
    corrections = import_of("coco")(path)
    if reviewed:
        corrections = by_person(corrections, "kim", LATER)
    known = tmp_path / "coco"
    merge = Merge(lambda: iter(table), corrections, exported_pages(known), rule_of(known))
    (page,) = merge.rows()
    assert [each.text for each in page.words] == ["ONE", "two", "three"]
    assert [each.confidence for each in page.words] == [None, 0.3, 0.3]
    seen = "text" if reviewed else classes[onto]
    assert page.classes == ("text", seen, seen)
    assert merge.words["with another text"] == 1


def test_an_annotation_of_no_image_is_named(tmp_path):
    path = from_cvat(
        [two_words()], tmp_path, lambda content: drawn(content, image_id=7, bbox=[1] * 4)
    )
    with pytest.raises(DatasetError, match="needs an image of this file"):
        home([two_words()], "coco", path)


# --- Label Studio


def submitted(folder: Path, change=lambda result: None, **annotation) -> Path:
    """Every task as it came, submitted by user 3, but for a change of the first one's result."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        result = task.pop("predictions")[0]["result"]
        task["annotations"] = [{"result": result, "completed_by": 3,
                                "updated_at": "2026-11-02T09:30:00Z", **annotation}]  # fmt: skip
    change(tasks[0]["annotations"][0]["result"])
    path = folder.parent / "project.json"
    path.write_text(json.dumps(tasks))
    return path


def region(kind: str, **value) -> dict:
    return {"id": "x", "type": kind, "original_width": 200, "original_height": 100, "value": value}


FOREIGN = [
    region("brushlabels", format="rle", rle=[0, 1], brushlabels=["stain"]),
    region("keypointlabels", x=10, y=10, width=0.5, keypointlabels=["logo"]),
    region("ellipselabels", x=10, y=10, radiusX=5, radiusY=5, rotation=0, ellipselabels=["stamp"]),
    region("vectorlabels", vertices=[{"x": 1, "y": 1}], vectorlabels=["line"]),
    region("textarea", text=["please check"]),
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=[each["type"] for each in FOREIGN])
def test_a_region_that_is_no_word_is_passed_over_and_counted_once(foreign, tmp_path):
    table = [two_words(), two_words("b.jpg")]
    text_of_it = {**foreign, "type": "textarea", "value": {**foreign["value"], "text": ["?"]}}
    path = submitted(
        sent(table, "labelstudio", tmp_path / "ls"),
        lambda result: result.extend((foreign, text_of_it)),
    )
    merge, back = home(table, "labelstudio", path)
    assert [each.words for each in back] == [each.words for each in table]
    assert (merge.counts, merge.words) == ({"unchanged": 2}, {})
    assert merge.passed_over == {foreign["type"]: 1}


def test_a_choice_about_the_page_or_a_word_is_no_region_and_no_word(tmp_path):
    table = [two_words()]
    choice = {"id": "c", "type": "choices", "value": {"choices": ["blurred"]}}
    of_a_word = {**region("choices", choices=["handwritten"]), "id": "w00000"}
    path = submitted(
        sent(table, "labelstudio", tmp_path / "ls"),
        lambda result: result.extend((choice, of_a_word)),
    )
    merge, _ = home(table, "labelstudio", path)
    assert (merge.passed_over, merge.words) == ({}, {})


def test_a_text_without_a_place_is_the_text_of_the_region_with_its_id(tmp_path):
    table = [two_words()]

    def as_an_sdk_writes_it(result):
        for each in result:
            if each["type"] == "textarea":
                each["value"] = {"text": each["value"]["text"]}
                del each["original_width"], each["original_height"]

    path = submitted(sent(table, "labelstudio", tmp_path / "ls"), as_an_sdk_writes_it)
    merge, _ = home(table, "labelstudio", path)
    assert (merge.words, merge.passed_over) == ({}, {})


def test_a_page_that_comes_back_empty_is_told_with_what_it_had(tmp_path):
    table = [two_words(), two_words("b.jpg")]
    path = submitted(sent(table, "labelstudio", tmp_path / "ls"), lambda result: result.clear())
    merge, (emptied, other) = home(table, "labelstudio", path)
    assert (emptied.words, other.words) == ((), table[1].words)
    assert (merge.emptied, merge.words) == ([("receipts/a.jpg", 2)], {"removed": 2})


def test_json_min_is_refused_and_the_remedy_named(tmp_path):
    task = {"id": 1, "image": "/data/local-files/?d=ls/images/a.png", "annotator": 1,
            "label": [{"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["text"]}],
            "transcription": "TOTAL"}  # fmt: skip
    (tmp_path / "min.json").write_text(json.dumps([task]))
    with pytest.raises(DatasetError, match=r"task 1: KeyError\('data'\)\n  export JSON .*JSON-MIN"):
        list(import_of("labelstudio")(tmp_path))


@pytest.mark.parametrize(
    ("person", "source"),
    [
        (3, "labelstudio:3"),
        ({"id": 3, "email": ""}, "labelstudio:3"),
        ({"id": 0}, "labelstudio:0"),
        ({"id": 3, "email": "kim@x.org"}, "labelstudio:kim@x.org"),
        ({}, "labelstudio"),
        (None, "labelstudio"),
    ],
)
def test_the_source_names_the_person_as_well_as_the_tool_does(person, source, tmp_path):
    table = [two_words()]
    path = submitted(sent(table, "labelstudio", tmp_path / "ls"), completed_by=person)
    assert [each.source for each in home(table, "labelstudio", path)[1]] == [source]


def test_words_below_the_cut_stay_labels_though_the_export_lies_elsewhere(tmp_path):
    table = [two_words()]
    folder = sent(table, "labelstudio", tmp_path / "ls", ExportOptions(ignore_below=0.5))
    path = submitted(folder)
    shutil.rmtree(folder)
    merge, (page,) = home(table, "labelstudio", path)
    assert (page.words, page.classes, merge.words) == (table[0].words, ("total", "text"), {})


# --- what was touched and what was not


def corrected(page, *words: Word, classes=None, rule=ExportOptions(), **changes):  # noqa: B008
    counts: Counter[str] = Counter()
    classes = classes or ("",) * len(words)
    change = Correction(page.id, words, classes, "paddleocr", **changes)
    return apply_correction(page, change, rule, counts), counts


@settings(max_examples=60)
@given(
    st.sampled_from([math.trunc, math.floor, math.ceil, round]),
    st.lists(st.integers(-300, 30_000).map(lambda n: n / 100), min_size=8, max_size=8),
)
def test_corners_cut_to_whole_pixels_are_the_tables_own_and_a_moved_one_is_not(cut, numbers):
    x, y, *by = numbers
    polygon = ((x, y), (x + 60.3, y + by[0] % 3), (x + 61.7, y + 25.2), (x + by[1] % 2, y + 26.9))
    page = row("a.jpg", [Word("TOTAL", polygon, 0.9)], classes=("total",), width_px=0)
    whole = tuple((cut(a), cut(b)) for a, b in polygon)
    assert corrected(page, Word("TOTAL", whole, None)) == (page, {})
    moved = ((whole[0][0] - 2, whole[0][1]), *whole[1:])
    found, counts = corrected(page, Word("TOTAL", moved, None))
    assert (found.words, found.classes) == ((Word("TOTAL", moved, None),), ("total",))
    assert counts == {"moved": 1}


def test_a_word_that_was_moved_keeps_its_class_and_a_do_not_care_one_its_text():
    page = row("a.jpg", [word("TOTAL"), word("smudge", (10, 60))], classes=("total", "ignore"))
    found, counts = corrected(
        page, Word("TOTAL", word("", (14, 13)).polygon, None),
        Word("", word("", (13, 62)).polygon, None), classes=("", "ignore"),
    )  # fmt: skip
    assert ([w.text for w in found.words], found.classes) == (["TOTAL", "smudge"], page.classes)
    assert counts == {"moved": 2}


def test_words_that_no_export_sends_stay_in_their_place_on_a_corrected_page():
    line = Word("line", ((0, 0), (9, 9)), 0.9)
    page = row("a.jpg", [word("a"), line, word("b", (10, 50))])
    found, counts = corrected(page, word("a"), word("B", (10, 50)))
    assert [each.text for each in found.words] == ["a", "line", "B"]
    assert counts == {"with another text": 1}


def test_of_two_words_in_one_place_the_one_with_its_text_is_the_one_that_stayed():
    page = row("a.jpg", [word("a"), word("b")], classes=("x", "y"))
    found, counts = corrected(page, Word("b", page.words[1].polygon, None))
    assert (found.words, found.classes, counts) == (page.words[1:], ("y",), {"removed": 1})


def test_words_in_another_order_are_counted():
    page = row("a.jpg", [word("a"), word("b", (10, 50)), word("c", (90, 50))])
    found, counts = corrected(page, page.words[1], page.words[0], page.words[2])
    assert [each.text for each in found.words] == ["b", "a", "c"]
    assert counts == {"in another order": 2}


# --- a reviewed page is reviewed


def doubtful(*, classes=("uncertain", "total", "uncertain")):
    """A page as `filter --review` writes it."""
    words = [word("sure?", confidence=0.3), word("12", (10, 50)), word("hm", (90, 50), 0.2)]
    return row("a.jpg", words, classes=classes)


BEFORE = {
    "the table for review": ("uncertain", "total", "uncertain"),
    "the table that it was made of": ("text", "total", "text"),
    "the filtered table": ("ignore", "total", "ignore"),
}


@pytest.mark.parametrize("classes", BEFORE.values(), ids=BEFORE)
def test_what_a_person_submits_is_text_with_its_confidence_by_whom_and_when(classes, tmp_path):
    path = submitted(sent([doubtful()], "labelstudio", tmp_path / "ls"))
    merge, (page,) = home([doubtful(classes=classes)], "labelstudio", path)
    assert page.words == doubtful().words
    assert page.classes == ("text", "total", "text")
    assert (page.source, page.reviewed_at) == ("labelstudio:3", LATER)
    assert merge.words == {"no longer uncertain": 2}


def test_words_that_a_filter_dropped_come_back_as_text(tmp_path):
    path = submitted(sent([doubtful()], "labelstudio", tmp_path / "ls"))
    merge, (page,) = home([row("a.jpg", doubtful().words[1:2])], "labelstudio", path)
    assert sorted(each.text for each in page.words) == ["12", "hm", "sure?"]
    assert "uncertain" not in page.classes
    assert merge.words["added"] == 2


def test_a_class_or_text_that_a_person_changes_there_is_theirs(tmp_path):
    def corrected_there(result):
        first, text = result[0], result[1]
        first["value"]["polygonlabels"] = ["price"]
        result[-1]["value"]["text"] = ["HM"]
        assert text["value"]["text"] == ["sure?"]

    path = submitted(sent([doubtful()], "labelstudio", tmp_path / "ls"), corrected_there)
    merge, (page,) = home([doubtful()], "labelstudio", path)
    assert page.classes == ("price", "total", "text")
    assert [(each.text, each.confidence) for each in page.words] == [
        ("sure?", None), ("12", 0.9), ("HM", None)
    ]  # fmt: skip
    assert merge.words == {"of another class": 1, "with another text": 1}


def test_until_a_person_has_seen_it_a_word_stays_uncertain(tmp_path):
    table = [doubtful()]
    for name in ("coco", "paddleocr", "hf"):
        merge, back = home(table, name, sent(table, name, tmp_path / name))
        assert (back, merge.words) == (table, {}), name


def test_a_page_that_ppocrlabel_calls_confirmed_is_reviewed(tmp_path):
    table = [doubtful(), row("b.jpg", doubtful().words, classes=doubtful().classes)]
    folder = sent(table, "paddleocr", tmp_path / "x") / "pseudo"
    (folder / "fileState.txt").write_text("C:\\x\\a.png\t1\nC:\\x\\b.png\t0\n")
    _, (first, second) = home(table, "paddleocr", folder)
    assert (first.classes, second) == (("text", "total", "text"), table[1])
    saved = (folder / "Label.txt").stat().st_mtime
    assert first.reviewed_at is not None
    assert first.reviewed_at.timestamp() == pytest.approx(saved)


def test_confidences_that_pandas_lost_are_the_tables(tmp_path):
    table = [row("a.jpg", [word(confidence=None), word("x", (10, 50))])]
    (path,) = sent(table, "hf", tmp_path).rglob("*.parquet")
    records = pq.read_table(path)
    at = records.schema.get_field_index("confidences")
    lost = pa.array([[math.nan, 0.9]], pa.list_(pa.float64()))
    pq.write_table(records.set_column(at, "confidences", lost), path)
    merge, back = home(table, "hf", tmp_path)
    assert (back, merge.words) == (table, {})


def test_where_a_tool_says_nothing_the_person_may(tmp_path):
    table = [doubtful()]
    found = by_person(import_of("coco")(sent(table, "coco", tmp_path / "x")), "kim", LATER)
    merge = Merge(lambda: iter(table), found, (), ExportOptions())
    (page,) = merge.rows()
    assert (page.classes, page.source) == (("text", "total", "text"), "coco:kim")
    assert page.reviewed_at == LATER


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coco", "annotations/instances_pseudo.json"),
        ("yolo", "data.yaml"),
        ("hf", "data/pseudo-00000.parquet"),
    ],
)
def test_uncertain_is_a_class_of_an_export_only_where_it_was_asked_for(name, file, tmp_path):
    for asked in (False, True):
        options = ExportOptions(keep_uncertain=asked)
        folder = sent([doubtful()], name, tmp_path / str(asked), options)
        assert (b"uncertain" in (folder / file).read_bytes()) == asked


def test_words_of_a_reviewed_page_are_labels_at_every_confidence(tmp_path):
    page = row("a.jpg", [word("a", confidence=0.1)], reviewed_at=AT)
    sent([page], "paddleocr", tmp_path, ExportOptions(ignore_below=0.5))
    assert '"transcription":"a"' in (tmp_path / "pseudo" / "Label.txt").read_text()
