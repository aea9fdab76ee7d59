"""Which formats there are, by the names that `--format` takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import cast

from ocrlabel.errors import ConfigError
from ocrlabel.export.base import Export
from ocrlabel.export.import_files import Import

EXPORTS: Mapping[str, str] = {
    "paddleocr": "paddleocr",
    "paddleocr-rec": "paddleocr_rec",
    "icdar2015": "icdar2015",
    "coco": "coco",
    "yolo": "yolo",
    "lmdb": "lmdb_set",
    "labelstudio": "labelstudio",
    "hf": "hf",
    "aistages": "aistages",
}
"""Format -> its module in this package, which is imported only when it is asked for."""

IMPORTS = ("labelstudio", "paddleocr", "icdar2015", "coco", "hf", "aistages")
"""Formats whose corrections come back; YOLO carries no text, and crops no place on a page."""


def export_of(name: str) -> Export:
    """Return the format's `export`. Raises ConfigError for a name that is no format."""
    module = EXPORTS.get(name)
    if module is None:
        raise _unknown(name, EXPORTS)
    return cast("Export", import_module(f"ocrlabel.export.{module}").export)


def import_of(name: str) -> Import:
    """Return the format's `corrections`. Raises ConfigError for one that cannot come back."""
    if name not in IMPORTS:
        raise _unknown(name, IMPORTS)
    return cast("Import", import_module(f"ocrlabel.export.{name}").corrections)


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"--format {name} is not known here\n  one of: {', '.join(known)}")
