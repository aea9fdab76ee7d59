"""YOLO-OBB labels, checked by the rules that Ultralytics' verify_image_label applies."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.export.yolo import export
from ocrlabel.labels import Word
from tests.support.labelled import Pictures, row, rows, word


def verified(path, classes: int) -> np.ndarray:
    lines = [line.split() for line in path.read_text().strip().splitlines() if line]
    if not lines:
        return np.zeros((0, 9))
    found = np.array(lines, dtype=np.float32)
    assert found.shape[1] == 9
    assert found[:, 1:].max() <= 1
    assert found.min() >= 0
    assert found[:, 0].max() < classes
    return found


@given(table=rows())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_label_file_is_one_that_ultralytics_takes(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("yolo") / "out"
    summary = export(iter(table), Pictures(), out, ExportOptions())
    config = yaml.safe_load((out / "data.yaml").read_text())
    images = sorted(path for path in (out / "images").rglob("*") if path.is_file())
    assert len(images) == summary.pages == len(table)
    for image in images:  # img2label_paths: /images/ becomes /labels/, the suffix .txt
        label = str(image).replace("/images/", "/labels/").rsplit(".", 1)[0] + ".txt"
        verified(out / label, len(config["names"]))
    for key in ("train", "val"):
        assert config[key]
        assert all((out / folder).is_dir() for folder in config[key])


def test_a_turned_word_keeps_its_corners_and_do_not_care_is_left_out(tmp_path):
    turned = ((50.0, 20.0), (90.0, 40.0), (80.0, 60.0), (40.0, 40.0))
    words = [Word("turned", turned, 0.5), word("no", confidence=0.1)]
    summary = export(
        iter([row("a.jpg", words)]), Pictures(), tmp_path, ExportOptions(ignore_below=0.3)
    )
    (line,) = verified(tmp_path / "labels" / "pseudo" / "a.txt", 1)
    assert line[1:].tolist() == pytest.approx(
        [v / size for point in turned for v, size in zip(point, (200, 100), strict=True)]
    )
    assert dict(summary.left_out) == {"do_not_care": 1}


def test_words_that_the_loader_takes_for_one_are_left_out_and_counted(tmp_path):
    up = ((10.0, 10.0), (30.0, 20.0), (30.0, 30.0), (10.0, 20.0))
    down = ((10.0, 20.0), (30.0, 10.0), (30.0, 20.0), (10.0, 30.0))  # another shape, the same box
    words = [Word("a", up, 0.9), Word("b", down, 0.9), Word("c", up, 0.9), word("d", (50, 50))]
    page = row("a.jpg", words, classes=("text", "text", "total", "text"))
    summary = export(iter([page]), Pictures(), tmp_path, ExportOptions())
    found = verified(tmp_path / "labels" / "pseudo" / "a.txt", 2)
    corners = found[:, 1:].reshape(-1, 4, 2)
    boxes = np.column_stack([found[:, 0], corners.min(1), corners.max(1)])
    assert len(np.unique(boxes, axis=0)) == len(found) == summary.words == 3
    assert dict(summary.left_out) == {"same_box": 1}
    assert corners[0].ravel().tolist() == pytest.approx(
        [0.05, 0.1, 0.15, 0.2, 0.15, 0.3, 0.05, 0.2]
    )


def test_splits_are_train_val_and_test_in_the_configuration(tmp_path):
    table = [row(f"{s}.jpg", [word()], split=s) for s in ("train", "validation", "test", "it's")]
    export(iter(table), None, tmp_path, ExportOptions())
    config = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert config["train"] == ["images/train", "images/it_s"]
    assert config["val"] == ["images/validation"]
    assert config["test"] == ["images/test"]


def test_a_page_without_a_size_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no size"):
        export(iter([row("a.jpg", width_px=0)]), None, tmp_path, ExportOptions())
