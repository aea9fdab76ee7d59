"""Files in, one file out."""

from __future__ import annotations

import json
import re
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from ocrlabel.dataset.labels_table import FailuresWriter, LabelsWriter
from ocrlabel.errors import DatasetError
from ocrlabel.report.write import script_json, write_report
from tests.support.labelled import AT, NoPictures, Pictures, row, word


def table(folder: Path, pages: int, words: int = 3) -> Path:
    path = folder / "labels.parquet"
    with LabelsWriter(path) as rows:
        for n in range(pages):
            rows.add(row(f"{n}.jpg", [word(f"secret{n}", confidence=n % 97 / 97)] * words,
                         labelled_at=AT + timedelta(seconds=n)))  # fmt: skip
    return path


def items(page: str) -> list[dict]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])["items"]


def test_without_images_there_are_numbers_and_nothing_that_was_read(tmp_path):
    write_report(table(tmp_path, 5), None, None, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "pages labelled" in page
    assert "secret" not in page
    assert "<script type" not in page


def test_with_images_every_page_has_its_words_and_its_picture(tmp_path):
    write_report(table(tmp_path, 5), None, None, tmp_path / "r.html", images=Pictures())
    page = (tmp_path / "r.html").read_text()
    assert [item["words"][0][0] for item in items(page)] == [f"secret{n}" for n in range(5)]
    assert page.count("data:image/jpeg;base64,") == 5


def test_pages_whose_image_is_gone_are_shown_with_the_reason(tmp_path):
    write_report(table(tmp_path, 2), None, None, tmp_path / "r.html", images=NoPictures())
    page = (tmp_path / "r.html").read_text()
    assert len(items(page)) == 2
    assert page.count("There is no image: not found.") == 2


def test_a_large_table_is_sampled_and_the_page_says_so(tmp_path):
    write_report(table(tmp_path, 400), None, None, tmp_path / "r.html", images=Pictures(),
                 max_pages=20, seed=3)  # fmt: skip
    page = (tmp_path / "r.html").read_text()
    assert len(items(page)) == 20
    assert "showing 20 of 400 pages: 16 drawn at random (seed 3) and the 4 least certain" in page


def test_the_same_table_makes_the_same_file(tmp_path):
    path = table(tmp_path, 300)
    for name in ("a.html", "b.html"):
        write_report(path, None, None, tmp_path / name, images=Pictures(), max_pages=10)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_memory_and_file_do_not_grow_with_the_table(tmp_path):
    figures = []
    for pages in (600, 3_000):
        path = table(tmp_path, pages, words=4)
        tracemalloc.start()
        write_report(path, None, None, tmp_path / "r.html", images=NoPictures())
        figures.append((tracemalloc.get_traced_memory()[1], (tmp_path / "r.html").stat().st_size))
        tracemalloc.stop()
    (small_memory, small_file), (large_memory, large_file) = figures
    assert large_memory < 1.5 * small_memory
    assert large_file < 1.1 * small_file


def test_an_empty_table_has_a_report_too(tmp_path):
    path = table(tmp_path, 0)
    with FailuresWriter(tmp_path / "f.parquet"):
        pass
    write_report(path, tmp_path / "f.parquet", {}, tmp_path / "r.html", images=Pictures())
    assert "pages labelled" in (tmp_path / "r.html").read_text()


def test_another_table_is_refused_and_leaves_no_file(tmp_path):
    with FailuresWriter(tmp_path / "f.parquet"):
        pass
    with pytest.raises(DatasetError, match="not a labels table"):
        write_report(tmp_path / "f.parquet", None, None, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "&lt;", "\u2028", "\u2029", "\ud800"])
def test_json_in_a_script_cannot_end_it(text):
    made = script_json({text: [text]})
    assert not set(made) & set("<>&\u2028\u2029")
    assert json.loads(made) == {text: [text]}


def test_what_is_no_number_is_refused_instead_of_written_as_no_json():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))
