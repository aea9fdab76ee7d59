"""PaddleOCR label files, read as its SimpleDataSet and DetLabelEncode read them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.export.corrections import Merge
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.paddleocr import corrections, export
from ocrlabel.export.paddleocr_rec import export as export_rec
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, word

MANY = ((10.0, 70.0), (30.0, 65.0), (50.0, 70.0), (50.0, 80.0), (30.0, 75.0), (10.0, 80.0))


def detection_samples(data_dir, label_file):
    """SimpleDataSet splits lines as bytes at line feeds, then at tabs; DetLabelEncode does the
    rest: do-not-care by the text, and polygons filled up to the most points of the page."""
    for line in io.BytesIO(label_file.read_bytes()).readlines():
        name, label = line.decode("utf-8").strip("\n").split("\t")
        assert (data_dir / name).is_file()
        items = json.loads(label)
        longest = max(len(item["points"]) for item in items)
        boxes = [p["points"] + [p["points"][-1]] * (longest - len(p["points"])) for p in items]
        texts = [item["transcription"] for item in items]
        yield name, np.array(boxes, np.float32), texts, [t in {"*", "###"} for t in texts]


def test_paddleocr_reads_polygons_texts_and_do_not_care(tmp_path):
    words = [Word('a\t"b"\n', MANY, 0.9), word("영수증"), word("low", confidence=0.1)]
    export(iter([row("a.jpg", words)]), Pictures(), tmp_path, ExportOptions(ignore_below=0.5))
    ((name, boxes, texts, tags),) = detection_samples(tmp_path, tmp_path / "pseudo" / "Label.txt")
    assert name == "pseudo/a.png"
    assert boxes.shape == (3, 6, 2)
    assert boxes[0].tolist() == [list(point) for point in MANY]
    assert texts == ['a\t"b"\n', "영수증", "###"]
    assert tags == [False, False, True]


def test_a_path_that_a_line_cannot_hold_is_refused_with_the_way_out(tmp_path):
    table = [row("a\tb.jpg", [word()])]
    with pytest.raises(ConfigError, match="--images"):
        export(iter(table), None, tmp_path / "paths", ExportOptions())
    export(iter(table), Pictures(), tmp_path / "copies", ExportOptions())
    assert (tmp_path / "copies" / "pseudo" / "a_b.png").is_file()


def test_ppocrlabel_may_leave_difficult_words_with_their_text(tmp_path):
    item = {"transcription": "hard", "points": [[0, 0], [9, 0], [9, 9], [0, 9]], "difficult": True}
    (tmp_path / "Label.txt").write_text(f"x/a.jpg\t{json.dumps([item])}\n")
    (found,) = corrections(tmp_path)
    assert (found.words[0].text, found.classes) == ("hard", ("ignore",))


def test_what_ppocrlabel_writes_for_key_information_is_the_class(tmp_path):
    shape = {"points": [[0, 0], [9, 0], [9, 9], [0, 9]], "difficult": False}
    told = [{"key_cls": "상호"}, {"key_cls": "None"}, {}, {"key_cls": "total", "difficult": True}]
    items = [{**shape, "transcription": "x", **one} for one in told]
    (tmp_path / "Label.txt").write_text(f"x/a.jpg\t{json.dumps(items)}\n")
    (found,) = corrections(tmp_path)
    assert found.classes == ("상호", "", "", "ignore")


@pytest.mark.parametrize("text", ["TEMPORARY", "待识别"])
def test_the_text_that_ppocrlabel_gives_a_new_box_is_none_and_is_counted(tmp_path, text):
    table = [row("a.jpg", [word("kept"), word("TEMPORARY", (100, 10))])]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    path = tmp_path / "pseudo" / "Label.txt"
    name, _, rest = path.read_text("utf-8").partition("\t")
    items = json.loads(rest)
    new = {"transcription": text, "points": [[20, 60], [80, 60], [80, 80], [20, 80]]}
    items[0]["transcription"] = text  # a box that was recognised again, and not yet
    path.write_text(f"{name}\t{json.dumps([*items, new])}\n")
    merge = Merge(lambda: iter(table), corrections(tmp_path), (), ExportOptions())
    (back,) = merge.rows()
    assert [each.text for each in back.words] == ["kept", "TEMPORARY", ""]
    assert merge.words == {"added": 1}
    assert merge.passed_over == {"placeholder text": 3}


@pytest.mark.parametrize("change", ["turned", "smaller", "gone"])
def test_a_picture_that_ppocrlabel_changed_is_not_taken_for_the_one_that_was_labelled(
    tmp_path, change
):
    table = [row("a.jpg", [word("one"), word("two", (100, 50))])]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    label, picture = tmp_path / "pseudo" / "Label.txt", tmp_path / "pseudo" / "a.png"
    if change == "gone":
        picture.unlink()
    if change == "turned":
        Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(picture)
    if change == "smaller":
        Image.open(picture).resize((100, 50)).save(picture)
        name, _, rest = label.read_text().partition("\t")
        items = json.loads(rest)
        for item in items:
            item["points"] = [[x / 2, y / 2] for x, y in item["points"]]
        label.write_text(f"{name}\t{json.dumps(items)}\n")
    merge = Merge(lambda: iter(table), corrections(tmp_path), (), ExportOptions())
    if change == "turned":
        with pytest.raises(DatasetError, match=r"100x200 px of the picture.*turned or cut"):
            list(merge.rows())
    else:
        assert list(merge.rows()) == table


@pytest.mark.parametrize(
    "line", ["no tab", "a.jpg\tnot json", 'a.jpg\t[{"points": []}]', 'a.jpg\t[{"transcription":"x","points":[[1,null]]}]']
)  # fmt: skip
def test_a_line_that_is_none_is_named(tmp_path, line):
    (tmp_path / "Label.txt").write_text(f"a.jpg\t[]\n{line}\n")
    with pytest.raises(DatasetError, match=r"Label.txt, line 2"):
        list(corrections(tmp_path))


def test_the_recognition_set_has_crops_texts_and_a_dictionary(tmp_path):
    table = [row("a.jpg", [word("가 나"), word("b", (100, 60)), word("c\td", (10, 60))])]
    summary = export_rec(iter(table), Pictures(), tmp_path, ExportOptions())
    lines = (tmp_path / "pseudo" / "rec_gt.txt").read_bytes().decode().splitlines()
    assert [line.split("\t") for line in lines] == [
        ["crop_img/a_0001.jpg", "가 나"],
        ["crop_img/a_0002.jpg", "b"],
    ]
    from_above = (tmp_path / "rec_gt_pseudo.txt").read_bytes().decode().splitlines()
    assert from_above == [f"pseudo/{line}" for line in lines]
    assert (tmp_path / from_above[1].split("\t")[0]).is_file()
    assert (tmp_path / "dict.txt").read_text() == "b\n가\n나\n"
    assert (summary.words, dict(summary.left_out)) == (2, {"line_break_or_tab": 1})
