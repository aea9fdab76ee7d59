"""Label Studio tasks, read by Label Studio's own converter."""

from __future__ import annotations

import json

import pytest
from label_studio_converter import Converter

from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.labelstudio import address, corrections, export
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, word

MANY = ((10.0, 70.0), (30.0, 65.0), (50.0, 70.0), (50.0, 80.0), (30.0, 75.0), (10.0, 80.0))


def submitted(task: dict, **annotation) -> dict:
    result = task["predictions"][0]["result"]
    return {**task, "id": 1, "annotations": [{"id": 1, "result": result, **annotation}]}


def test_the_converter_finds_the_polygons_under_the_written_configuration(tmp_path):
    table = [row("a b.jpg", [Word("영수증", MANY, 0.5), word("x")])]
    export(iter(table), Pictures(), tmp_path / "out", ExportOptions())
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    path = tmp_path / "submitted.json"
    path.write_text(json.dumps([submitted(task, completed_by={"email": "k@x"}) for task in tasks]))
    converter = Converter(str(tmp_path / "out" / "labeling_config.xml"), str(tmp_path))
    converter.convert_to_coco(str(path), str(tmp_path / "coco"), is_dir=False)
    coco = json.loads((tmp_path / "coco" / "result.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["ignore", "text"]
    first = coco["annotations"][0]["segmentation"][0]
    assert first == pytest.approx([v for point in MANY for v in point], abs=0.01)


def test_a_region_and_its_text_share_an_id_and_carry_the_score(tmp_path):
    export(
        iter([row("a.jpg", [word("x", confidence=0.25)])]), Pictures(), tmp_path, ExportOptions()
    )
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    (prediction,) = task["predictions"]
    region, text = prediction["result"]
    assert region["id"] == text["id"]
    assert (region["score"], prediction["score"]) == (0.25, 0.5)
    assert (region["type"], text["type"]) == ("polygonlabels", "textarea")
    assert region["value"]["points"][0] == [5.0, 10.0]
    assert text["value"]["text"] == ["x"]
    assert task["data"]["image"] == f"/data/local-files/?d={tmp_path.name}/images/a.png"


@pytest.mark.parametrize(
    ("path", "url", "want"),
    [
        ("a b/영.jpg", "/data/local-files/?d=", "/data/local-files/?d=a%20b/%EC%98%81.jpg"),
        ("a b.jpg", "s3://bucket/x/", "s3://bucket/x/a b.jpg"),
        ("s3://other/a.jpg", "/data/local-files/?d=", "s3://other/a.jpg"),
    ],
)
def test_image_urls_fit_the_storage(path, url, want):
    assert address(path, url) == want


def test_the_newest_annotation_that_was_not_skipped_is_taken(tmp_path):
    export(iter([row("a.jpg", [word("x")])]), Pictures(), tmp_path, ExportOptions())
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    one = submitted(task)["annotations"][0]
    task["annotations"] = [
        {**one, "updated_at": "2026-01-02", "completed_by": 7},
        {**one, "updated_at": "2026-01-01", "completed_by": 8},
        {**one, "updated_at": "2026-01-03", "completed_by": 9, "was_cancelled": True},
    ]
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    (found,) = corrections(tmp_path)
    assert found.source == "labelstudio:7"
    assert found.not_taken == ("older annotation", "skipped annotation")


def test_what_was_submitted_before_version_1_is_taken_too(tmp_path):
    export(iter([row("a.jpg", [word("x")])]), None, tmp_path, ExportOptions())
    path = tmp_path / "tasks.json"
    task = submitted(json.loads(path.read_text())[0])
    (first,) = task.pop("annotations")
    newest = {**first, "result": [], "created_at": 1600000002}
    skipped = {**first, "created_at": 1600000003, "skipped": True}
    task["completions"] = [{**first, "created_at": 1600000001}, newest, skipped]
    path.write_text(json.dumps([task]))
    (found,) = corrections(path)
    assert found.words == ()
    assert found.not_taken == ("older annotation", "skipped annotation")


def test_a_task_that_nobody_submitted_leaves_its_page_alone(tmp_path):
    export(iter([row("a.jpg", [word("x")])]), Pictures(), tmp_path, ExportOptions())
    (found,) = corrections(tmp_path)
    assert (found.is_done, found.not_taken) == (False, ())


def test_a_turned_rectangle_of_the_ocr_template_becomes_its_four_corners(tmp_path):
    value = {"x": 50, "y": 20, "width": 10, "height": 30, "rotation": 90}
    size = {"id": "r", "original_width": 200, "original_height": 100}
    result = [
        {**size, "type": "rectangle", "value": value},
        {**size, "type": "labels", "value": {**value, "labels": ["Text"]}},
        {**size, "type": "textarea", "value": {**value, "text": ["hi"]}},
        {"type": "choices", "value": {"choices": ["ok"]}},
    ]
    task = {
        "data": {"ocr": "/data/local-files/?d=x/a.jpg"},
        "annotations": [{"result": result}],
    }
    (tmp_path / "export.json").write_text(json.dumps([task]))
    (found,) = corrections(tmp_path)
    assert found.file == "x/a.jpg"
    assert found.words[0].polygon == ((100, 20), (100, 40), (70, 40), (70, 20))
    assert (found.words[0].text, found.classes) == ("hi", ("Text",))


def test_a_page_without_a_size_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no size"):
        export(iter([row("a.jpg", width_px=0)]), None, tmp_path, ExportOptions())
