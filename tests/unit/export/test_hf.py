"""Hugging Face exports, loaded by `datasets`."""

from __future__ import annotations

import pytest

from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.hf import export
from tests.support.labelled import Pictures, row, word


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


def test_datasets_loads_images_and_words_split_by_split(tmp_path, offline):
    import datasets

    out = tmp_path / "out"
    table = [
        row("a.jpg", [word("영수증"), word("b", (10, 50), None)], split="train"),
        row("b.jpg", [word("low", confidence=0.1)], split="my-val"),
        row("c.jpg", split="my_val"),
        row("d.jpg", split="all"),  # the sum of all splits, for `datasets`
    ]
    summary = export(iter(table), Pictures(), out, ExportOptions(ignore_below=0.5))
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {
        "train": 1,
        "my_val": 2,
        "all_": 1,
    }
    told = [" ".join(note.split()[:6]) for note in summary.warnings]
    assert told == ["the split my-val is called my_val", "the split all is called all_"]
    page = loaded["train"][0]
    assert page["image"].size == (200, 100)
    assert page["image"].getpixel((20, 15)) == (0, 0, 0)
    assert page["texts"] == ["영수증", "b"]
    assert page["confidences"] == [0.9, None]
    assert page["polygons"][0] == [[10, 10], [70, 10], [70, 30], [10, 30]]
    assert (page["engine"], page["source"], page["id"]) == ("rapidocr", "engine", "a.jpg")
    assert loaded["my_val"][0]["labels"] == ["ignore"]


def test_a_shard_ends_and_the_next_begins_when_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("ocrlabel.export.hf._GROUP_ROWS", 2)
    monkeypatch.setattr("ocrlabel.export.hf._SHARD_BYTES", 1)
    table = [row(f"{n}.jpg", [word()], split="train") for n in range(5)]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == [f"train-0000{n}.parquet" for n in range(3)]


def test_without_images_there_is_no_column_of_images_and_datasets_reads_every_row(
    tmp_path, offline
):
    import datasets

    out = tmp_path / "out"
    table = [row("sub/a.png", [word("TOTAL")], split="train"), row("b.png", split="train")]
    export(iter(table), None, out, ExportOptions())
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"), split="train")
    assert "image" not in loaded.column_names
    assert [(page["id"], page["texts"]) for page in loaded] == [
        ("sub/a.png", ["TOTAL"]),
        ("b.png", []),
    ]
