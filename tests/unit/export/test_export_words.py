"""The words of a page as every format writes them: on the page, learnable, and counted."""

from __future__ import annotations

import contextlib
import io
import math
import unicodedata
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from ocrlabel.export.export_pages import export_words
from ocrlabel.export.formats import EXPORTS, IMPORTS, ExportOptions, export_of, import_of
from ocrlabel.export.geometry import is_region
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, many_cornered, rotated_quads, row, submitted, word

HALF = word("half", (-30, 40))
ROT_EDGE = Word("rot-edge", ((180.0, 50.0), (240.0, 10.0), (260.0, 40.0), (200.0, 80.0)), 0.9)
OFF_PAGE = [
    word("in"),
    word("all-left", (-90, 10)),
    word("below", (20, 120)),
    HALF,
    ROT_EDGE,
    word("sliver", size=(0.0001, 20)),
    Word("point", ((5.0, 5.0),) * 4, 0.9),
    Word("line", ((5.0, 5.0), (9.0, 9.0), (7.0, 7.0), (6.0, 6.0)), 0.9),
]
LEFT_OUT = {"outside_the_page": 2, "under_one_pixel": 1, "no_area": 2}


def exported(name: str, folder: Path, words, **options):
    table = [row("a.jpg", words, split="train")]
    return export_of(name)(iter(table), Pictures(), folder, ExportOptions(**options))


@pytest.mark.parametrize("name", EXPORTS)
def test_words_off_the_page_are_left_out_and_counted_in_every_format(name, tmp_path):
    summary = exported(name, tmp_path, OFF_PAGE)
    assert +summary.left_out == LEFT_OUT | (  # a recogniser cannot read a word it sees a part of
        {"outside_the_page": 3} if name in {"lmdb", "paddleocr-rec"} else {}
    )
    assert summary.words == len(OFF_PAGE) - summary.left_out.total()
    assert summary.changed["cut_at_the_page_edge"] == summary.words - 1
    card = (tmp_path / "README.md").read_text()
    assert "words left out, under_one_pixel: 1" in card
    assert f"words changed, cut_at_the_page_edge: {summary.words - 1}" in card


@pytest.mark.parametrize("name", IMPORTS)
def test_every_polygon_is_on_the_page_in_every_format(name, tmp_path):
    exported(name, tmp_path, OFF_PAGE)
    if name == "labelstudio":
        submitted(tmp_path)
    (page,) = import_of(name)(tmp_path)
    assert [each.text for each in page.words] == ["in", "half", "rot-edge"]
    for each in page.words:
        assert is_region(each.polygon)
        assert all(0 <= x <= 200 and 0 <= y <= 100 for x, y in each.polygon)


COUNTERCLOCKWISE = [
    Word("drawn", ((20.0, 30.0), (20.0, 60.0), (110.0, 60.0), (110.0, 30.0)), 0.9),
    Word("turned", ((60.0, 70.0), (30.0, 70.0), (30.0, 95.0), (60.0, 95.0)), None),
    Word("over", ((150.0, 20.0), (150.0, 50.0), (230.0, 50.0), (230.0, 20.0)), 0.9),
]


def test_a_word_of_many_corners_that_was_drawn_the_other_way_round_is_whole():
    for n in (5, 6, 7, 11):
        turns = [2 * math.pi * k / n for k in range(n)]
        drawn = tuple((60 + 20.7 * math.cos(t), 50 - 9.3 * math.sin(t)) for t in turns)
        (found,) = export_words(row("a.jpg", [Word("w", drawn, 0.9)]), ExportOptions(), Counter())
        assert (found.on_page, found.changed) == (1.0, ("made_clockwise",))
        assert found.polygon == (drawn[0], *drawn[:0:-1])


@pytest.mark.parametrize("name", EXPORTS)
def test_a_word_that_was_drawn_the_other_way_round_is_not_mirrored(name, tmp_path):
    summary = exported(name, tmp_path, COUNTERCLOCKWISE)
    assert summary.changed["made_clockwise"] == 3
    found = export_words(row("a.jpg", COUNTERCLOCKWISE), ExportOptions(), Counter())
    assert found[0].corners == ((20.0, 30.0), (110.0, 30.0), (110.0, 60.0), (20.0, 60.0))
    assert found[1].corners[0] == (60.0, 70.0)  # where its text begins
    assert found[2].changed == ("made_clockwise", "cut_at_the_page_edge")


def test_a_word_over_the_edge_begins_where_its_text_begins():
    found = export_words(row("a.jpg", [HALF]), ExportOptions(), Counter())
    assert found[0].polygon == ((0, 40), (30, 40), (30, 60), (0, 60))
    over_the_top = word("x", (20, -15))
    (found,) = export_words(row("a.jpg", [over_the_top]), ExportOptions(), Counter())
    assert found.polygon == ((20, 0), (80, 0), (80, 5), (20, 5))
    assert found.on_page == 0.25


def test_a_turned_word_over_the_edge_is_the_rectangle_of_what_is_on_the_page():
    (found,) = export_words(row("a.jpg", [ROT_EDGE]), ExportOptions(), Counter())
    assert found.polygon == ((180, 50), (200, 36.666667), (200, 80))
    assert sorted(found.corners) == [(180, 36.666667), (180, 80), (200, 36.666667), (200, 80)]


def test_ultralytics_finds_a_box_in_every_label(tmp_path):
    exported("yolo", tmp_path, OFF_PAGE)
    lines = (tmp_path / "labels" / "train" / "a.txt").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:  # ultralytics.utils.ops.xyxyxyxy2xywhr
        corners = np.array(line.split()[1:], dtype=np.float32).reshape(4, 2) * [200, 100]
        assert min(cv2.minAreaRect(corners.astype(np.float32))[1]) >= 1


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_draws_as_many_pixels_as_the_area_says(tmp_path):
    exported("coco", tmp_path, OFF_PAGE)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "annotations" / "instances_train.json"))
    for each in coco.loadAnns(coco.getAnnIds()):
        assert coco.annToMask(each).sum() == pytest.approx(each["area"], abs=60)
        assert each["area"] > 0


polygons = rotated_quads() | many_cornered()


@given(found=st.lists(st.builds(Word, st.just("x"), polygons, st.none()), max_size=8))
def test_what_is_written_and_what_is_counted_are_all_words(found):
    table, left_out = row("a.jpg", found, width_px=60, height_px=40), Counter()
    words = export_words(table, ExportOptions(), left_out)
    assert len(words) + left_out.total() == len(found)
    for each in words:
        assert is_region(each.corners)
        assert len(each.corners) == 4
        assert all(-1e-9 <= x <= 60 + 1e-9 and -1e-9 <= y <= 40 + 1e-9 for x, y in each.polygon)
        if len(each.polygon) != 4:
            assert all(0 <= x <= 60 and 0 <= y <= 40 for x, y in each.corners)


def test_a_page_of_unknown_size_cuts_nothing():
    far = word("far", (900, 900))
    (found,) = export_words(row("a.jpg", [far], width_px=0), ExportOptions(), Counter())
    assert found.polygon == far.polygon


AWKWARD = (
    "plain", "\u200b", "\ufeff", "\u2060", "to\u200btal", "soft\u00adhyphen", "a\u00a0b", "\u3000",
    "a\u3000b", unicodedata.normalize("NFD", "합계"), "합계", "ㅎㅏㄴ", "\x07bell", "a\x00b", "é",
    "e\u0301", "👨\u200d👩\u200d👧", "א\u200fב", "\u202eabc", "Ａ１", "ﬁne", '"q",x', "a\\tb", "#",
    "###", "*", "\x1fz", "\ue000pua", " lead", "trail ",
)  # fmt: skip


def awkward() -> list[Word]:
    return [
        word(text, (10 + n % 3 * 62, 2 + n // 3 * 9), size=(60, 8))
        for n, text in enumerate(AWKWARD)
    ]


@pytest.mark.parametrize("name", ["paddleocr-rec", "lmdb"])
def test_every_character_of_dict_txt_can_be_seen_and_stands_in_a_text(name, tmp_path):
    summary = exported(name, tmp_path, awkward())
    characters = (tmp_path / "dict.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert [c for c in characters if unicodedata.category(c)[0] in "CZM"] == []
    assert set(characters) == set(
        'plaintotalsofthyphena합계ㅎㅏㄴbellé👨👩👧אבabcＡ１ﬁne"q",xa\\tb#*zleadtrail'
    )
    assert +summary.left_out == {"no_text": 4, "private_or_unassigned_character": 1}
    assert +summary.changed == {
        "invisible_removed": 5, "control_removed": 3, "made_nfc": 2, "space_made_plain": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", IMPORTS)
def test_texts_go_out_composed_and_the_table_keeps_the_engines(name, tmp_path):
    from ocrlabel.export.corrections import Merge, exported_pages
    from ocrlabel.export.output_folder import rule_of

    table = [row("a.jpg", awkward(), split="train")]
    export_of(name)(iter(table), Pictures(), tmp_path, ExportOptions())
    if name == "labelstudio":
        submitted(tmp_path)
    (page,) = import_of(name)(tmp_path)
    texts = [each.text for each in page.words if each.text]
    assert texts == [unicodedata.normalize("NFC", text) for text in texts]
    assert "total" in texts
    assert not any(c in text for text in texts for c in "\u200b\ufeff\u2060\x00\x07")
    merge = Merge(
        lambda: iter(table), import_of(name)(tmp_path), exported_pages(tmp_path), rule_of(tmp_path)
    )
    (back,) = merge.rows()
    assert [each.text for each in back.words] == list(AWKWARD)


def test_what_a_format_cannot_tell_from_do_not_care_is_counted(tmp_path):
    words = [word("###"), word("*", (10, 40)), word("ok", (10, 70))]
    paddle = exported("paddleocr", tmp_path / "paddle", words)
    icdar = exported("icdar2015", tmp_path / "icdar", words)
    assert (paddle.ignored, paddle.changed["reads_as_do_not_care"]) == (2, 2)
    assert (icdar.ignored, icdar.changed["reads_as_do_not_care"]) == (1, 1)
