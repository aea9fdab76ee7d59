"""Corrections as ICDAR 2015 files: every gt_*.txt in the folder.

Whole pixels only: corners within half a pixel of the table's are taken for the table's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrlabel.dataset.tables.rows import IGNORE
from ocrlabel.errors import DatasetError
from ocrlabel.export.icdar2015 import DO_NOT_CARE
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files, lines
from ocrlabel.labels import Word


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every gt_*.txt. Raises DatasetError that names file and line."""
    for path in files(folder, "gt_*.txt"):
        words: list[Word] = []
        classes: list[str] = []
        for at, line in lines(path):
            try:
                word, label = _word(line)
            except ValueError as error:
                raise DatasetError(
                    f"{path}, line {at}: not x1,y1,x2,y2,x3,y3,x4,y4,text ({error})"
                ) from error
            words.append(word)
            classes.append(label)
        name = path.name if path == folder else path.relative_to(folder).as_posix()
        yield Correction(name, tuple(words), tuple(classes), "icdar2015")


def _word(line: str) -> tuple[Word, str]:
    parts = line.split(",", 8)
    if len(parts) != 9:
        raise ValueError(f"{len(parts)} parts")
    x1, y1, x2, y2, x3, y3, x4, y4 = (number(float(part)) for part in parts[:8])
    ignored = parts[8] == DO_NOT_CARE
    polygon = ((x1, y1), (x2, y2), (x3, y3), (x4, y4))
    return Word("" if ignored else parts[8], polygon, None), IGNORE if ignored else ""
