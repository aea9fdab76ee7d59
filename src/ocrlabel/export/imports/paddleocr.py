"""Corrections from PPOCRLabel: every Label.txt in the folder.

A word that is `###`, `*` or difficult comes back as do-not-care. PPOCRLabel keeps no class and no
confidence; words that were not changed keep those of the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ocrlabel.dataset.tables.rows import IGNORE
from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files, lines
from ocrlabel.labels import Word

_DO_NOT_CARE = {"###", "*"}


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every Label.txt. Raises DatasetError that names file and line."""
    for path in files(folder, "Label.txt"):
        for at, line in lines(path):
            name, _, rest = line.partition("\t")
            try:
                words, classes = _words(json.loads(rest))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path}, line {at}: no line of PaddleOCR's ({error})"
                ) from error
            yield Correction(name, words, classes, "paddleocr")


def _words(items: list[dict[str, object]]) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    words: list[Word] = []
    classes: list[str] = []
    for item in items:
        text, points = item["transcription"], item["points"]
        if not isinstance(text, str) or not isinstance(points, list):
            raise TypeError("transcription is a text and points are a list")
        ignored = text in _DO_NOT_CARE or bool(item.get("difficult", False))
        polygon = tuple((number(x), number(y)) for x, y in points)
        words.append(Word("" if text in _DO_NOT_CARE else text, polygon, None))
        classes.append(IGNORE if ignored else "")
    return tuple(words), tuple(classes)
