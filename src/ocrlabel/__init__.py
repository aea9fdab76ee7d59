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
    from ocrlabel.cli.export import export as export_labels
    from ocrlabel.cli.export import import_ as import_labels
    from ocrlabel.cli.quality import agree, calibrate, evaluate
    from ocrlabel.cli.quality import filter_ as filter_labels
    from ocrlabel.cli.report import report as report_labels
    from ocrlabel.cli.status import status
    from ocrlabel.cli.tables import read_failures, read_labels
    from ocrlabel.dataset.labels_table import FailureRow, LabelRow
    from ocrlabel.errors import (
        BudgetReached,
        ConfigError,
        DatasetError,
        EngineUnusable,
        Incomplete,
        Interrupted,
        OcrLabelError,
        RunMismatch,
        StoreUnavailable,
    )
    from ocrlabel.keywords import Keywords
    from ocrlabel.labels import Word

    __version__: str

# Imported when first asked for, so that `ocrlabel --help` does not wait for pyarrow.
_WHERE = {
    "ocrlabel.api": ("LabelResult", "label", "label_async"),
    "ocrlabel.cli.export": ("export_labels", "import_labels"),
    "ocrlabel.cli.quality": ("agree", "calibrate", "evaluate", "filter_labels"),
    "ocrlabel.cli.report": ("report_labels",),
    "ocrlabel.cli.status": ("status",),
    "ocrlabel.cli.tables": ("read_failures", "read_labels"),
    "ocrlabel.dataset.labels_table": ("FailureRow", "LabelRow"),
    "ocrlabel.errors": (
        *("BudgetReached", "ConfigError", "DatasetError", "EngineUnusable", "Incomplete"),
        *("Interrupted", "OcrLabelError", "RunMismatch", "StoreUnavailable"),
    ),
    "ocrlabel.keywords": ("Keywords",),
    "ocrlabel.labels": ("Word",),
}
_THERE = {  # called there as the command is
    "export_labels": "export",
    "filter_labels": "filter_",
    "import_labels": "import_",
    "report_labels": "report",
}

__all__ = [
    "BudgetReached",
    "ConfigError",
    "DatasetError",
    "EngineUnusable",
    "FailureRow",
    "Incomplete",
    "Interrupted",
    "Keywords",
    "LabelResult",
    "LabelRow",
    "OcrLabelError",
    "RunMismatch",
    "StoreUnavailable",
    "Word",
    "__version__",
    "agree",
    "calibrate",
    "evaluate",
    "export_labels",
    "filter_labels",
    "import_labels",
    "label",
    "label_async",
    "read_failures",
    "read_labels",
    "report_labels",
    "status",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - slow, and seldom wanted

        return version("ocrlabel")
    for module, names in _WHERE.items():
        if name in names:
            found = getattr(import_module(module), _THERE.get(name, name))
            commands = module.startswith("ocrlabel.cli.") and not name.startswith("read_")
            return (
                import_module("ocrlabel.cli.settings").as_function(found, name)
                if commands
                else found
            )
    raise AttributeError(f"module 'ocrlabel' has no attribute {name!r}")
