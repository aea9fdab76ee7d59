"""LMDB exports, read the way deep-text-recognition-benchmark's LmdbDataset reads them."""

from __future__ import annotations

import io

import lmdb
import pytest
from PIL import Image

from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.lmdb_set import export
from tests.support.labelled import Pictures, row, word


def samples(root, longest: int = 25):
    """The benchmark counts from 1, decodes labels as UTF-8 and opens images with Pillow."""
    env = lmdb.open(str(root), readonly=True, lock=False, readahead=False, meminit=False)
    with env, env.begin(write=False) as transaction:
        for index in range(1, int(transaction.get(b"num-samples")) + 1):
            label = transaction.get(b"label-%09d" % index).decode("utf-8")
            if len(label) > longest:
                continue
            data = transaction.get(b"image-%09d" % index)
            yield Image.open(io.BytesIO(data)).convert("RGB"), label


def test_every_sample_is_a_crop_with_its_text(tmp_path):
    table = [
        row("a.jpg", [word("영수증"), word("a,b", (100, 60))], split="train"),
        row("b.jpg", [word("c")], split="val"),
    ]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    found = list(samples(tmp_path / "train"))
    assert [label for _, label in found] == ["영수증", "a,b"]
    assert [image.size for image, _ in found] == [(60, 20), (60, 20)]
    assert found[1][0].getpixel((30, 10))[0] == pytest.approx(20, abs=4)  # the second word's grey
    assert [label for _, label in samples(tmp_path / "val")] == ["c"]
    assert (tmp_path / "dict.txt").read_text() == "".join(f"{c}\n" for c in sorted("영수증a,bc"))


def test_a_database_that_is_full_grows(tmp_path, monkeypatch):
    monkeypatch.setattr("ocrlabel.export.lmdb_set._FIRST_MAP_BYTES", 64 * 1024)
    monkeypatch.setattr("ocrlabel.export.lmdb_set._BATCH", 40)
    table = [row(f"{n}.jpg", [word(f"{n}")], split="train") for n in range(150)]
    export(iter(table), Pictures(), tmp_path, ExportOptions())
    assert [label for _, label in samples(tmp_path / "train")] == [str(n) for n in range(150)]


def test_words_that_no_recogniser_can_learn_are_left_out_and_counted(tmp_path):
    words = [
        word("good"), word(""), word("no", confidence=0.1), word("a\tb"), word("x" * 26),
        word("é"), word("tiny", size=(60, 2)), word("far", (900, 900)),
    ]  # fmt: skip
    options = ExportOptions(ignore_below=0.5, charset=frozenset("god "))
    summary = export(iter([row("a.jpg", words)]), Pictures(), tmp_path, options)
    assert summary.words == 1
    assert summary.left_out == {
        "do_not_care": 2, "line_break_or_tab": 1, "too_long": 1, "not_in_charset": 1,
        "too_small": 1, "outside_the_page": 1,
    }  # fmt: skip


def test_without_images_there_are_no_crops(tmp_path):
    with pytest.raises(ConfigError, match="--images"):
        export(iter([]), None, tmp_path, ExportOptions())
