"""Small makers of pages for the tests of quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ocrlabel.dataset.labels_table import LabelRow, LabelsWriter

OCR_DEV = Path(__file__).parents[4] / "shared" / "data" / "ocr-dev" / "labels.jsonl"


@pytest.fixture
def write_table(tmp_path: Path) -> Callable[[str, Sequence[LabelRow]], Path]:
    def write(name: str, rows: Sequence[LabelRow]) -> Path:
        path = tmp_path / name
        with LabelsWriter(path) as table:
            for row in rows:
                table.add(row)
        return path

    return write


@pytest.fixture
def ocr_dev() -> Path:
    if not OCR_DEV.is_file():
        pytest.skip("the test data (shared/data/ocr-dev) is not beside the project")
    return OCR_DEV
