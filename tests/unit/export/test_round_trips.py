"""What is exported and imported again is equal in the fields that the format carries."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrlabel.dataset.labels_table import IGNORE
from ocrlabel.export.corrections import Merge, exported_pages
from ocrlabel.export.export_pages import ExportWord, export_words
from ocrlabel.export.formats import IMPORTS, ExportOptions, export_of, import_of
from ocrlabel.export.icdar2015 import one_line
from ocrlabel.export.output_folder import rule_of
from ocrlabel.labels import Word
from tests.support.labelled import AT, Pictures, row, rows, submitted, word

options = st.builds(
    ExportOptions, ignore_below=st.sampled_from([None, 0.5]), keep_untranscribed=st.booleans()
)
a_few = settings(max_examples=40)


def exported(table, name: str, folder: Path, chosen: ExportOptions = ExportOptions()):  # noqa: B008 -- frozen
    export_of(name)(iter(table), Pictures(), folder, chosen)
    if name == "labelstudio":
        submitted(folder)


def brought_back(table, name: str, folder: Path) -> Merge:
    return Merge(
        lambda: iter(table), import_of(name)(folder), exported_pages(folder), rule_of(folder)
    )


@pytest.mark.parametrize("name", IMPORTS)
@given(table=rows(), chosen=options)
@a_few
def test_a_table_that_nobody_changed_comes_back_as_it_was(name, table, chosen):
    with tempfile.TemporaryDirectory() as folder:
        exported(table, name, Path(folder), chosen)
        merge = brought_back(table, name, Path(folder))
        assert merge.unmatched == []
        back = list(merge.rows())
    if name == "labelstudio":
        table = [replace(each, source="labelstudio:kim@x.org", reviewed_at=AT) for each in table]
    assert back == table
    assert merge.counts["corrected"] == 0


def carried(name: str, each: ExportWord) -> tuple[Word, str]:
    """What the format's docstring says is carried of a word."""
    ignored, text, polygon, confidence = each.ignored, each.text, each.polygon, each.confidence
    label = IGNORE if ignored else each.label
    if name in {"paddleocr", "icdar2015"}:
        marks = {"###", "*"} if name == "paddleocr" else {"###"}
        ignored = ignored or text in marks
        text, confidence, label = ("" if ignored else text), None, (IGNORE if ignored else "")
    if name == "icdar2015":
        polygon = tuple((float(round(x)), float(round(y))) for x, y in each.corners)
        text = one_line(text).strip(" ")  # files of others have a space before the text
    if name == "aistages":
        label = IGNORE if ignored else ""
    if name == "labelstudio":
        confidence = None
    return Word(text, polygon, confidence), label


@pytest.mark.parametrize("name", IMPORTS)
@given(table=rows(), chosen=options)
@a_few
def test_each_format_carries_what_its_docstring_says(name, table, chosen):
    with tempfile.TemporaryDirectory() as folder:
        exported(table, name, Path(folder), chosen)
        back = list(import_of(name)(Path(folder)))
    want = sorted(
        ([carried(name, sent) for sent in export_words(each, chosen, Counter())] for each in table),
        key=repr,
    )
    got = sorted((list(zip(c.words, c.classes, strict=True)) for c in back), key=repr)
    assert got == want


@pytest.mark.parametrize("name", [n for n in IMPORTS if n not in {"hf", "labelstudio"}])
@given(table=rows())
@settings(max_examples=10)
def test_labels_exported_without_images_come_back_too(name, table):
    table = [replace(each, image_path=each.image_path.replace("\t", "")) for each in table]
    with tempfile.TemporaryDirectory() as folder:
        export_of(name)(iter(table), None, Path(folder), ExportOptions())
        merge = brought_back(table, name, Path(folder))
        assert merge.unmatched == []
        assert list(merge.rows()) == table


@pytest.mark.parametrize("name", IMPORTS)
def test_two_exports_of_one_table_are_equal_byte_for_byte(name, tmp_path):
    table = [row("a.jpg", [word("a"), word("b", (90, 50))]), row("b.jpg", [word("c")], split="val")]
    for folder in ("one", "two"):
        export_of(name)(iter(table), Pictures(), tmp_path / folder / "out", ExportOptions())
    one, two = (
        {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        }
        for folder in ("one", "two")
    )
    assert one == two
    assert len(one) > 4
