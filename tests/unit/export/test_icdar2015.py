"""ICDAR 2015 files, read as the competition's scripts read them."""

from __future__ import annotations

import pytest

from ocrlabel.errors import DatasetError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.icdar2015 import corrections, export
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, word


def test_lines_are_corners_and_the_rest_is_text(tmp_path):
    words = [word('1,200 "won"'), word("two\nlines", (10.4, 40.6)), word("low", (10, 70), 0.1)]
    options = ExportOptions(ignore_below=0.5)
    summary = export(iter([row("x/a.jpg", words)]), Pictures(), tmp_path, options)
    text = (tmp_path / "pseudo" / "gt" / "gt_a.txt").read_bytes().decode()
    assert text.splitlines() == [
        '10,10,70,10,70,30,10,30,1,200 "won"',
        "10,41,70,41,70,61,10,61,two lines",
        "10,70,70,70,70,90,10,90,###",
    ]
    assert +summary.changed == {"line_break_made_space": 1}
    assert (tmp_path / "pseudo" / "images" / "a.png").is_file()


def test_more_corners_become_the_smallest_rectangle(tmp_path):
    octagon = ((20, 10), (40, 10), (50, 20), (50, 30), (40, 40), (20, 40), (10, 30), (10, 20))
    export(iter([row("a.jpg", [Word("o", octagon, 1.0)])]), Pictures(), tmp_path, ExportOptions())
    (found,) = corrections(tmp_path)
    assert len(found.words[0].polygon) == 4


def test_a_file_with_a_byte_order_mark_and_carriage_returns_is_read(tmp_path):
    (tmp_path / "gt_a.txt").write_bytes(
        b"\xef\xbb\xbf1,2,3,2,3,4,1,4,a,b\r\n1,2,3,2,3,4,1,4,###\r\n"
    )
    (found,) = corrections(tmp_path)
    assert [w.text for w in found.words] == ["a,b", ""]
    assert found.classes == ("", "ignore")


@pytest.mark.parametrize("line", ["1,2,3", "a,b,c,d,e,f,g,h,text", "1,2,nan,2,3,4,1,4,x"])
def test_a_line_that_is_none_is_named(tmp_path, line):
    (tmp_path / "gt_a.txt").write_text(f"1,2,3,2,3,4,1,4,x\n{line}\n")
    with pytest.raises(DatasetError, match=r"gt_a.txt, line 2"):
        list(corrections(tmp_path))
