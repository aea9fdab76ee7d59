"""Turn image datasets into OCR training labels: word polygons, texts and confidences.

import ocrlabel

result = ocrlabel.label("receipts/", engine="rapidocr", output="labels.parquet")
print(result.labelled, result.labels_path)
for row in ocrlabel.read_labels(result.labels_path):
    print(row.id, [word.text for word in row.words])

In this package:
    what makes labels           dataset, images, engines, pipeline, storage
    what is done with them      quality, report, export
    where it runs, rehearsals   aws, fake, demo
    how it is called            api, cli
    words of all of them        labels, errors, options, wording
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrlabel.api import LabelResult, label, label_async
    from ocrlabel.dataset.labels_table import LabelRow, read_failures, read_labels
    from ocrlabel.errors import OcrLabelError
    from ocrlabel.labels import Word

__all__ = [
    "LabelResult",
    "LabelRow",
    "OcrLabelError",
    "Word",
    "label",
    "label_async",
    "read_failures",
    "read_labels",
]

# Imported when first asked for, so that `ocrlabel --help` does not wait for pyarrow.
_WHERE = {
    "LabelResult": "ocrlabel.api",
    "label": "ocrlabel.api",
    "label_async": "ocrlabel.api",
    "LabelRow": "ocrlabel.dataset.labels_table",
    "read_failures": "ocrlabel.dataset.labels_table",
    "read_labels": "ocrlabel.dataset.labels_table",
    "OcrLabelError": "ocrlabel.errors",
    "Word": "ocrlabel.labels",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'ocrlabel' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
