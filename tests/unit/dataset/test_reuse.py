"""An earlier labels table answers for the same bytes, the same engine and the same options."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset import reuse
from ocrlabel.dataset.labels_table import (
    FailuresWriter,
    LabelRow,
    LabelsWriter,
    read_labels,
    write_changed,
)
from ocrlabel.dataset.reuse import reusable
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.labels import Word

BOX = ((0.0, 0.0), (9.5, 0.0), (9.5, 4.0), (0.0, 4.0))
INFO = {"engine": "upstage", "engine_options": json.dumps({"model": "ocr"})}
SAME = {"engine": "upstage", "options": {"model": "ocr"}}


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def page(name: str, number: int = 1, of: int = 1, **other: object) -> LabelRow:
    return LabelRow(
        name, name, name, 10, 5, (Word(f"{name}-{number}", BOX, 0.5),), ("text",), page=number,
        page_count=of, engine="upstage", model_version="ocr-1", image_sha256=sha(name), **other,
    )  # fmt: skip


def table(path: Path, *rows: LabelRow, info: dict[str, str] = INFO) -> Path:
    with LabelsWriter(path, info) as labels:
        for row in rows:
            labels.add(row)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.parquet"


def test_pages_are_found_by_the_hash_of_the_bytes(path):
    rows = [page("a"), page("b", 1, 2), page("b", 2, 2), page("c")]
    earlier = reusable(table(path, *rows), **SAME)
    assert earlier(sha("b")) == ("ocr-1", (rows[1].as_page, rows[2].as_page))
    assert earlier(sha("c")) == ("ocr-1", (rows[3].as_page,))
    assert earlier(sha("d")) is None
    assert len(earlier) == 3
    earlier.close()


def test_every_image_of_a_large_table_is_found_in_any_order(path):
    names = [f"n{n}" for n in range(12_000)]
    earlier = reusable(table(path, *map(page, names)), **SAME)
    for name in [*names[::997], *reversed(names[::1009]), names[0], names[-1]]:
        found = earlier(sha(name))
        assert found is not None
        assert found[1][0].words[0].text == f"{name}-1"
    earlier.close()


def test_hashes_that_begin_alike_are_told_apart(path, monkeypatch):
    monkeypatch.setattr(reuse, "_PREFIX_DIGITS", 1)
    earlier = reusable(table(path, *(page(f"n{n}") for n in range(100))), **SAME)
    assert [earlier(sha(f"n{n}"))[1][0].words[0].text for n in range(100)] == [
        f"n{n}-1" for n in range(100)
    ]
    assert earlier(sha("other")) is None
    earlier.close()


def test_a_document_with_a_missing_page_is_not_reused(path):
    earlier = reusable(table(path, page("a", 1, 3), page("a", 2, 3), page("b")), **SAME)
    assert earlier(sha("a")) is None
    assert earlier(sha("b")) is not None
    earlier.close()
    last = reusable(table(path, page("a", 1, 2)), **SAME)
    assert last(sha("a")) is None
    last.close()


def test_a_whole_copy_answers_for_a_cut_one(path):
    rows = [
        page("a", 1, 2),
        replace(page("a", 1, 2), id="copy"),
        replace(page("a", 2, 2), id="copy"),
    ]
    earlier = reusable(table(path, *rows), **SAME)
    assert earlier(sha("a")) is not None
    earlier.close()


def test_corrected_rows_and_rows_without_a_hash_are_not_reused(path):
    rows = [page("a", source="labelstudio"), replace(page("b"), image_sha256=""), page("c")]
    earlier = reusable(table(path, *rows), **SAME)
    assert earlier(sha("a")) is None
    assert len(earlier) == 1
    earlier.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"engine": "rapidocr", "options": {"model": "ocr"}},
        {"engine": "upstage", "options": {"model": "ocr-250904"}},
        {"engine": "upstage", "options": {}},
    ],
)
def test_another_engine_or_other_options_are_refused_with_both_named(path, asked):
    table(path, page("a"))
    with pytest.raises(ConfigError, match=r"was made by upstage \(model ocr\), this run uses"):
        reusable(path, **asked)


def test_a_table_that_was_changed_since_is_refused(path):
    table(path, page("a"))
    write_changed(path, read_labels(path), source=path, changed_by="ocrlabel filter")
    with pytest.raises(ConfigError, match="changed by ocrlabel filter"):
        reusable(path, **SAME)


def test_other_tables_are_refused(tmp_path, path):
    with FailuresWriter(path):
        pass
    with pytest.raises(DatasetError, match="not a labels table"):
        reusable(path, **SAME)
    pq.write_table(pq.read_table(table(path, page("a"))).replace_schema_metadata(None), path)
    with pytest.raises(DatasetError, match="not a labels table"):
        reusable(path, **SAME)


def test_an_empty_table_has_nothing_to_reuse(path):
    earlier = reusable(table(path), **SAME)
    assert earlier(sha("a")) is None
    earlier.close()
