"""The labels table loads in the readers that people use, with no conversion."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrlabel.dataset.labels_table import LabelRow, LabelsWriter
from ocrlabel.labels import Word

BOX = ((0.0, 0.5), (9.5, 0.5), (9.5, 4.0), (0.0, 4.0))
POLYGONS = [[0.0, 0.5], [9.5, 0.5], [9.5, 4.0], [0.0, 4.0]]
ROWS = (
    LabelRow("a", "a.png", "a.png", 10, 5, (Word("안녕", BOX, 0.5), Word("x", BOX, None))),
    LabelRow("b", "b.png", "b.png", 10, 5, (), page_confidence=None),
)


@pytest.fixture(params=["pages", "empty"])
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "labels.parquet"
    with LabelsWriter(path, {"engine": "scripted", "한": "글"}) as table:
        for row in ROWS if request.param == "pages" else ():
            table.add(row)
    return path


def read_ids(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=["id"]).column("id").to_pylist()


def test_in_pandas(labels):
    import pandas as pd

    frame = pd.read_parquet(labels)
    assert list(frame["id"]) == read_ids(labels)
    if len(frame):
        assert list(frame["texts"][0]) == ["안녕", "x"]
        assert [list(map(list, box)) for box in frame["polygons"][0]] == [POLYGONS] * 2
        assert frame["confidences"][0][0] == 0.5
        assert list(frame["texts"][1]) == []


def test_in_polars(labels):
    import polars as pl

    frame = pl.read_parquet(labels)
    assert frame["id"].to_list() == read_ids(labels)
    if len(frame):
        assert frame["texts"].to_list() == [["안녕", "x"], []]
        assert frame["confidences"].to_list() == [[0.5, None], []]
        assert frame["polygons"].to_list()[0] == [POLYGONS] * 2
        assert frame.explode("texts", empty_as_null=False)["texts"].to_list() == ["안녕", "x"]


def test_in_duckdb(labels):
    import duckdb

    with duckdb.connect() as db:
        table = db.read_parquet(str(labels))
        rows = table.project("id, texts, confidences, polygons").fetchall()
        words = table.project("unnest(texts)").count("*").fetchall()
    assert [row[0] for row in rows] == read_ids(labels)
    assert words == [(2 if rows else 0,)]
    if rows:
        assert rows[0][1:] == (["안녕", "x"], [0.5, None], [POLYGONS] * 2)
        assert rows[1][1:] == ([], [], [])


def test_in_hugging_face_datasets(labels, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    if not read_ids(labels):
        # from_parquet refuses any file without rows; streaming takes it
        stream = datasets.Dataset.from_parquet(str(labels), streaming=True)
        assert list(stream) == []
        return
    rows = datasets.Dataset.from_parquet(str(labels), cache_dir=str(tmp_path / "cache"))
    assert rows["id"][:] == read_ids(labels)
    assert rows[0]["texts"] == ["안녕", "x"]
    assert rows[0]["polygons"] == [POLYGONS] * 2
    assert rows[0]["confidences"] == [0.5, None]
    assert rows[1]["texts"] == []
    assert rows[1]["page_confidence"] is None
