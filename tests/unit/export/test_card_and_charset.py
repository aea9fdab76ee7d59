"""The data card, the charset file, and the summary they rest on."""

from __future__ import annotations

import unicodedata

import pytest

from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import parse_shares
from ocrlabel.export.formats import EXPORTS, ExportOptions, export_of
from ocrlabel.export.recognition import read_charset, why_unfit, write_charset
from tests.support.labelled import NoPictures, Pictures, row, word


@pytest.mark.parametrize("name", EXPORTS)
def test_a_card_beside_every_export_says_what_from_where_and_what_is_weak(name, tmp_path):
    table = [
        row("a.jpg", [word()], split="train"),
        row("b.jpg", [word(confidence=0.1)], split="train", source="labelstudio:kim"),
    ]
    export_of(name)(iter(table), Pictures(), tmp_path, ExportOptions(ignore_below=0.2))
    card = (tmp_path / "README.md").read_text()
    for part in ("Pseudo-labels", "- train: ", "- rapidocr v5: ", "no Hangul", "below 0.2",
                 "2026-11-01T12:00:00+00:00", "## How to train\nThe folder of this card is the `data_dir`"):  # fmt: skip
        assert part in card
    if name not in {"lmdb", "paddleocr-rec"}:
        assert "- source `labelstudio:kim`: 1 pages" in card


def test_the_card_says_how_splits_were_made(tmp_path):
    options = ExportOptions(splits=parse_shares("train=0.9,val=0.1"))
    table = [row(f"{n}.jpg", [word()]) for n in range(40)]
    export_of("coco")(iter(table), None, tmp_path, options)
    assert "made by document (train 0.9, val 0.1)" in (tmp_path / "README.md").read_text()


def test_a_hostile_engine_name_stays_one_line_of_the_card(tmp_path):
    table = [row("a.jpg", [word()], engine="x\n# Heading\n", source="`;<script>")]
    export_of("coco")(iter(table), None, tmp_path, ExportOptions())
    assert "\n# Heading" not in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("name", [n for n in EXPORTS if n != "lmdb"])
def test_pages_whose_image_is_missing_are_left_out_and_counted(name, tmp_path):
    table = [row(f"{n}.jpg", [word()]) for n in range(12)]
    summary = export_of(name)(iter(table), NoPictures(), tmp_path, ExportOptions())
    assert (summary.pages, summary.missing, len(summary.examples)) == (0, 12, 10)
    assert "image was not found: 12" in (tmp_path / "README.md").read_text()


def test_a_charset_is_written_and_read_again_with_the_space(tmp_path):
    write_charset(tmp_path / "dict.txt", "나가 a")
    assert (tmp_path / "dict.txt").read_text() == "a\n가\n나\n"
    assert read_charset(tmp_path / "dict.txt") == frozenset("나가 a")
    (tmp_path / "mac.txt").write_text(unicodedata.normalize("NFD", "a\n가\n나\n"))
    assert read_charset(tmp_path / "mac.txt") == frozenset("나가 a")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", None])
def test_a_charset_that_cannot_be_read_is_refused(data, tmp_path):
    if data is not None:
        (tmp_path / "c.txt").write_bytes(data)
    with pytest.raises(ConfigError, match="--charset"):
        read_charset(tmp_path / "c.txt")


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\x85", "\u2028"])
def test_a_text_with_any_kind_of_line_break_fits_no_line(text):
    assert why_unfit(text, ExportOptions()) == "line_break_or_tab"
