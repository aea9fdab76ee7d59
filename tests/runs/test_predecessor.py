"""The predecessor's own table is read as it is, and its images are asked for by name."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ocrlabel import read_labels
from tests.support.command import ocrlabel
from tests.support.shared_data import shared_data


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shared_data("predecessor", "sample_10.parquet")


def test_a_dry_run_says_that_its_images_are_not_to_be_had_and_where_it_looked(table, tmp_path):
    ran = ocrlabel("run", str(table), "--engine", "scripted", "--dry-run")
    assert ran.status == 2
    assert "10 rows" in ran.out
    assert "none of 10 images" in ran.err
    first = "data/datasets/images/train/drp.en_ko.in_house.selectstar_000003.jpg"
    assert f"{tmp_path}/{first}" in ran.err
    assert "--image-root" in ran.err


def test_images_of_those_names_under_an_image_root_are_labelled(table, tmp_path):
    rows = pq.read_table(table).to_pylist()
    for number, row in enumerate(rows):
        path = tmp_path / "elsewhere" / row["image_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100 + number, 80), "white").save(path)
    ran = ocrlabel(
        "run", str(table), "--engine", "scripted", "--image-root", str(tmp_path / "elsewhere")
    )
    assert ran.status == 0
    labels = list(read_labels(tmp_path / "labels.parquet"))
    assert [label.id for label in labels] == [row["id"] for row in rows]
    assert [label.width_px for label in labels] == [100 + number for number in range(10)]
    assert {label.split for label in labels} == {"pseudo"}
    assert labels[0].original_source == rows[0]["metadata"]["original_source"]
