"""COCO exports, read by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from pycocotools.coco import COCO

from ocrlabel.export.coco import export
from ocrlabel.export.formats import ExportOptions
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, word

TURNED = ((50.0, 20.0), (90.0, 40.0), (80.0, 60.0), (40.0, 40.0))
MANY = ((10.0, 70.0), (30.0, 65.0), (50.0, 70.0), (50.0, 80.0), (30.0, 75.0), (10.0, 80.0))


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def loaded(path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_pycocotools_draws_each_polygon_where_it_is_on_the_page(tmp_path):
    table = [row("a.jpg", [Word("turned", TURNED, 0.5), Word("many", MANY, None)])]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    coco = loaded(tmp_path / "annotations" / "instances_pseudo.json")
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (tmp_path / "images" / "pseudo" / image["file_name"]).is_file()
    assert (image["width"], image["height"]) == (200, 100)
    first, second = coco.loadAnns(coco.getAnnIds())
    assert first["segmentation"] == [[v for point in TURNED for v in point]]
    assert first["bbox"] == [40, 20, 50, 40]
    mask = coco.annToMask(first)
    assert mask.shape == (100, 200)
    assert mask[40, 65] == 1
    assert mask[22, 88] == 0
    assert abs(int(mask.sum()) - first["area"]) < 50
    assert abs(int(coco.annToMask(second).sum()) - second["area"]) < 50
    assert first["attributes"] == {"text": "turned", "confidence": 0.5, "label": "text"}


def test_do_not_care_is_a_crowd_and_classes_are_categories(tmp_path):
    words = [word("a"), word("b", (10, 40)), word("c", (10, 70))]
    table = [row("a.jpg", words, classes=("text", "ignore", "total"))]
    export(iter(table), None, tmp_path, ExportOptions())
    coco = loaded(tmp_path / "annotations" / "instances_pseudo.json")
    assert [a["iscrowd"] for a in coco.loadAnns(coco.getAnnIds())] == [0, 1, 0]
    names = {c["name"]: c["id"] for c in coco.loadCats(coco.getCatIds())}
    assert names["text"] == 1
    (total,) = coco.loadAnns(coco.getAnnIds(catIds=[names["total"]]))
    assert total["attributes"]["text"] == "c"


def test_each_split_has_a_file_of_its_own(tmp_path):
    table = [row("a.jpg", [word()], split="train"), row("b.jpg", [word()], split="val")]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    for split in ("train", "val"):
        path = tmp_path / "annotations" / f"instances_{split}.json"
        assert len(json.loads(path.read_text())["images"]) == 1
    assert sorted(p.name for p in (tmp_path / "annotations").iterdir()) == [
        "instances_train.json",
        "instances_val.json",
    ]
