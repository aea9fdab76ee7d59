"""Corrections on a table: theirs win word by word, and what they did not touch stays."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import replace
from zipfile import ZipFile

import pytest

from ocrlabel.errors import DatasetError
from ocrlabel.export.corrections import Merge, apply_correction, exported_pages
from ocrlabel.export.formats import IMPORTS, Correction, ExportOptions, import_of
from ocrlabel.labels import Word
from tests.support.labelled import AT, row, word

ONE, TWO = word("one", (10, 10)), word("two", (10, 50))
PAGE = row("a.jpg", [ONE, TWO], classes=("text", "total"))
RULE = ExportOptions()
DECOMPOSED = unicodedata.normalize("NFD", "영.jpg")


def applied(page, correction, rule=RULE, changes=None):
    return apply_correction(page, correction, rule, Counter() if changes is None else changes)


def correction(*words: Word, classes=None, file="a.jpg", **changes) -> Correction:
    return Correction(
        file, words, classes if classes is not None else ("",) * len(words), "paddleocr", **changes
    )


def unsure(each: Word, text: str | None = None) -> Word:
    """A word as a format without confidences gives it back."""
    return Word(each.text if text is None else text, each.polygon, None)


def test_a_text_that_was_corrected_wins_and_loses_the_engines_confidence():
    found = applied(PAGE, correction(unsure(ONE, "ONE!"), unsure(TWO)), RULE)
    assert found.words == (Word("ONE!", ONE.polygon, None), TWO)
    assert found.classes == ("text", "total")
    assert found.source == "paddleocr"
    assert found.engine == "rapidocr"


def test_the_engines_confidence_goes_even_if_the_format_carried_it():
    found = applied(PAGE, correction(replace(ONE, text="ONE!"), TWO), RULE)
    assert found.words[0].confidence is None


def test_words_may_be_added_taken_away_moved_and_put_in_another_order():
    new, moved = word("new", (100, 10)), unsure(word("two", (12, 55)))
    found = applied(PAGE, correction(unsure(new), moved), RULE)
    assert found.words == (unsure(new), moved)
    swapped = applied(PAGE, correction(unsure(TWO), unsure(ONE)), RULE)
    assert swapped.words == (TWO, ONE)
    assert swapped.classes == ("total", "text")
    assert applied(PAGE, correction(), RULE).words == ()


def test_a_word_made_do_not_care_keeps_its_text_and_a_word_made_readable_is_a_word():
    found = applied(PAGE, correction(unsure(ONE, ""), unsure(TWO), classes=("ignore", "")), RULE)
    assert (found.words[0].text, found.classes) == ("one", ("ignore", "total"))
    back = applied(found, correction(unsure(ONE), unsure(TWO)), RULE)
    assert back.classes == ("text", "total")


def test_words_below_the_exports_cut_do_not_come_back_as_a_persons_decision():
    table = row("a.jpg", [word("sure"), word("low", (10, 50), 0.1)])
    sent = correction(unsure(table.words[0]), unsure(table.words[1], ""), classes=("", "ignore"))
    assert applied(table, sent, ExportOptions(ignore_below=0.5)) is table
    assert applied(table, sent, RULE).classes == ("text", "ignore")


def test_a_review_that_changed_nothing_changes_only_the_source():
    found = applied(PAGE, correction(unsure(ONE), unsure(TWO), reviewed_at=AT), RULE)
    assert found == replace(PAGE, source="paddleocr", reviewed_at=AT)


def test_two_words_in_one_place_are_both_kept():
    table = row("a.jpg", [word("a"), word("b")])
    assert applied(table, correction(*map(unsure, table.words)), RULE) is table


def merged(table, *corrections: Correction, exported=()):
    merge = Merge(lambda: iter(table), corrections, exported, RULE)
    return merge, list(merge.rows())


def test_pages_without_a_correction_stay_in_their_place_as_they_were():
    table = [row(f"{n}.jpg", [word()]) for n in range(4)]
    merge, found = merged(table, correction(file="2.jpg"))
    assert found[:2] + found[3:] == table[:2] + table[3:]
    assert (found[2].words, found[2].source) == ((), "paddleocr")
    assert merge.counts == {"corrected": 1, "untouched": 3}


@pytest.mark.parametrize(
    ("file", "want"),
    [
        ("receipts/x/a.jpg", "x/a.jpg"),  # the table's path
        ("b.jpg", "y/b.jpg"),  # the only one of this name
        ("train/gt_b.txt", "y/b.jpg"),  # ICDAR's name for it
        ("exported-1.png", "z/a.jpg"),  # as ocrlabel exported it
        ("영.jpg", DECOMPOSED),  # in another Unicode form
        ("가.jpg", r"\xb0\xa1.jpg"),  # in the bytes of Korean Windows
    ],
)
def test_a_file_is_matched_by_the_surest_name_that_is_known(file, want):
    names = ("x/a.jpg", "y/b.jpg", "z/a.jpg", DECOMPOSED, r"\xb0\xa1.jpg")
    table = [row(name, [word()]) for name in names]
    merge, found = merged(table, correction(file=file), exported=[("exported-1.png", "z/a.jpg", 1)])
    assert merge.unmatched == []
    assert [each.id for each in found if each.words == ()] == [want]


def test_files_that_fit_no_page_or_several_are_listed():
    table = [row("x/a.jpg"), row("y/a.jpg"), row("b.jpg")]
    merge, _ = merged(
        table, correction(file="a.jpg"), correction(file="c.jpg"), correction(file="b.jpg"),
        correction(ONE, file="b.jpg"), correction(file="", id="gone"),
    )  # fmt: skip
    assert merge.unmatched == [
        "c.jpg: is no page of the table",
        "b.jpg: the page is corrected twice",
        ": is no page of the table",
        "a.jpg: may be 2 pages",
    ]


def test_pages_of_a_document_are_matched_by_their_number():
    table = [row("a.pdf", [word()], page=n, page_count=2) for n in (1, 2)]
    merge, found = merged(table, correction(file="receipts/a.pdf#page=2"))
    assert merge.unmatched == []
    assert [len(each.words) for each in found] == [1, 0]


def test_an_index_that_was_damaged_is_named(tmp_path):
    (tmp_path / "ocrlabel_pages.jsonl").write_text('{"file": "a"}\n')
    with pytest.raises(DatasetError, match="line 1"):
        list(exported_pages(tmp_path))


@pytest.mark.parametrize("name", IMPORTS)
def test_an_empty_folder_is_an_error_that_says_what_was_looked_for(name, tmp_path):
    with pytest.raises(DatasetError, match="holds no"):
        list(import_of(name)(tmp_path))


@pytest.mark.parametrize("name", IMPORTS)
def test_a_zip_as_a_tool_gives_it_is_refused_with_the_remedy(name, tmp_path):
    with ZipFile(tmp_path / "task_1.zip", "w") as download:
        download.writestr("annotations/instances_default.json", "{}")
    with pytest.raises(DatasetError, match=r"task_1\.zip is a ZIP\n  unpack it"):
        list(import_of(name)(tmp_path / "task_1.zip"))


BAD_JSON = ["{", "[]", "{}", '{"images": 1}', "[1]", "\ufffe",
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}]}',
            '{"images": {"a": {"words": {"1": {"points": [[1]]}}}}}']  # fmt: skip


@pytest.mark.parametrize("name", ["coco", "aistages", "labelstudio"])
@pytest.mark.parametrize("text", BAD_JSON)
def test_a_json_of_another_kind_is_named_and_never_a_traceback(name, text, tmp_path):
    (tmp_path / "x.json").write_text(text, encoding="utf-16" if text == "\ufffe" else "utf-8")
    if (name, text) == ("labelstudio", "[]"):
        return  # no task is no correction
    with pytest.raises(DatasetError, match=r"x\.json"):
        list(import_of(name)(tmp_path))


def test_coco_of_another_tool_may_name_classes_by_category_only(tmp_path):
    annotation = {"id": 1, "image_id": 9, "category_id": 2, "segmentation": [[0, 0, 9, 0, 9, 9]],
                  "attributes": {"text": "x"}}  # fmt: skip
    content = {"images": [{"id": 9, "file_name": "a.jpg"}, {"id": 10, "file_name": "b.jpg"}],
            "annotations": [annotation], "categories": [{"id": 2, "name": "total"}]}  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(content))
    first, second = import_of("coco")(tmp_path)
    assert (first.classes, first.words[0].text) == (("total",), "x")
    assert (second.file, second.words) == ("b.jpg", ())
