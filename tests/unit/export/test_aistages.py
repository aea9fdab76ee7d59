"""The competition's JSON and CSV, read as its baseline code and pandas read them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ocrlabel.export.aistages import corrections, export
from ocrlabel.export.formats import ExportOptions
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, word

NAME = "drp.en_ko.in_house.selectstar_000003.jpg"
MANY = ((10.0, 70.0), (30.0, 65.2), (50.0, 70.0), (50.0, 80.0), (30.0, 75.0), (10.0, 80.0))


def baseline_polygons(image_path, annotation_path):
    """OCRDataset takes the images that exist and rounds each word's points to whole pixels."""
    found = json.loads(annotation_path.read_text(encoding="utf-8"))["images"]
    return {
        name: [np.array([np.round(w["points"])], dtype=np.int32) for w in image["words"].values()]
        for name, image in found.items()
        if (image_path / name).exists()
    }


def test_the_baseline_finds_every_image_and_polygon(tmp_path):
    table = [row(NAME, [Word("합계", MANY, 0.9), word("x")], split="train")]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    found = baseline_polygons(tmp_path / "images" / "train", tmp_path / "jsons" / "train.json")
    (polygons,) = found.values()
    assert polygons[0].tolist() == [[[round(x), round(y)] for x, y in MANY]]
    assert polygons[1].shape == (1, 4, 2)


def test_file_names_stay_as_the_competition_gave_them(tmp_path):
    export(iter([row(NAME, [word()])]), None, tmp_path, ExportOptions())
    assert list(json.loads((tmp_path / "jsons" / "pseudo.json").read_text())["images"]) == [NAME]


def test_the_submission_has_a_line_an_image_and_no_illegible_word(tmp_path):
    table = [
        row("a,b.jpg", [Word("합계", MANY, 0.9), word("x"), word("low", confidence=0.1)]),
        row("empty.jpg"),
    ]
    export(iter(table), None, tmp_path, ExportOptions(ignore_below=0.5))
    frame = pd.read_csv(tmp_path / "submission_pseudo.csv", keep_default_na=False)
    assert list(frame.columns) == ["filename", "polygons"]
    assert frame["filename"].tolist() == ["a,b.jpg", "empty.jpg"]
    first, second = frame["polygons"][0].split("|")
    assert first == "10 70 30 65 50 70 50 80 30 75 10 80"
    assert second == "10 10 70 10 70 30 10 30"
    assert frame["polygons"][1] == ""


def test_words_say_script_orientation_and_legibility(tmp_path):
    words = [word("합계"), word("total", (10, 40)), word("세로", (150, 5), size=(20, 80))]
    table = [row("a.jpg", words, classes=("text", "ignore", "text"))]
    export(iter(table), None, tmp_path, ExportOptions())
    page = json.loads((tmp_path / "jsons" / "pseudo.json").read_text())["images"]["a.jpg"]
    assert (page["img_w"], page["img_h"]) == (200, 100)
    one, two, three = page["words"].values()
    assert (one["language"], two["language"]) == (["ko"], None)
    assert (one["orientation"], three["orientation"]) == ("Horizontal", "Vertical")
    assert (one["illegibility"], two["illegibility"]) == (False, True)


def test_a_released_annotation_file_is_read(tmp_path):
    released = {
        "images": {
            NAME: {
                "words": {
                    "0001": {
                        "points": [[1.5, 2], [9, 2], [9, 9], [1, 9]],
                        "transcription": None,
                        "illegibility": True,
                    }
                },
                "img_w": 10,
            }
        }
    }
    (tmp_path / "train.json").write_text(json.dumps(released))
    (found,) = corrections(tmp_path)
    assert (found.file, found.words[0].text, found.classes) == (NAME, "", ("ignore",))
