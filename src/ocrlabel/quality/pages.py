"""The nouns of quality: a page of the truth, and what pages of two files are paired by.

The other side, a page as labels tell it, is a row of the labels table
(`dataset.tables.rows.LabelRow`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ocrlabel.dataset.tables.rows import IGNORE, LabelRow
from ocrlabel.labels import Polygon, Word


class Level(StrEnum):
    """What one polygon of the truth holds. Figures of the two are never added up."""

    WORD = "word"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class PageName:
    """Which page of which image. id, path, sha256 are "" where unknown; page counts from 1."""

    id: str
    path: str
    sha256: str
    page: int

    @property
    def document(self) -> str:
        """What the pages of one document, and copies of it, have in common."""
        return self.sha256 or self.id or self.path

    def __str__(self) -> str:
        return f"{self.id or self.path} page {self.page}"


@dataclass(frozen=True, slots=True)
class TruthWord:
    """One word or line of the truth. text is "" where nobody wrote it down (boxes only)."""

    text: str
    polygon: Polygon
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class TruthPage:
    """One page of the truth; sizes are 0 where unknown; fields are what it can be grouped by."""

    name: PageName
    width_px: int
    height_px: int
    level: Level
    words: tuple[TruthWord, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


def name_of(row: LabelRow) -> PageName:
    """The page that a row of a labels table is about."""
    return PageName(row.id, row.image_path or row.image_filename, row.image_sha256, row.page)


def is_ignored(row: LabelRow, at: int) -> bool:
    """Whether the word at this place of a row is marked as do-not-care."""
    return at < len(row.classes) and row.classes[at] == IGNORE


def cared(row: LabelRow) -> tuple[Word, ...]:
    """The words of a row that are labels: not those marked as do-not-care."""
    if IGNORE not in row.classes:
        return row.words
    return tuple(word for at, word in enumerate(row.words) if not is_ignored(row, at))


def as_truth(row: LabelRow, level: Level = Level.WORD) -> TruthPage:
    """A row of a labels table taken as the truth (or as the partner in a comparison)."""
    return TruthPage(
        name=name_of(row),
        width_px=row.width_px,
        height_px=row.height_px,
        level=level,
        words=tuple(
            TruthWord(word.text, word.polygon, is_ignored(row, at))
            for at, word in enumerate(row.words)
        ),
        fields=_scalars(row.input_row),
    )


def group_of(by: str, row: LabelRow, truth: TruthPage | None = None) -> str:
    """The value of a column: of the labels table, else of its input row, else of the truth.

    "" where none of them has it.
    """
    if by in _COLUMNS:
        return str(getattr(row, by))
    own = _scalars(row.input_row)
    if by in own:
        return own[by]
    return truth.fields.get(by, "") if truth is not None else ""


_COLUMNS = frozenset({"engine", "model_version", "split", "original_source", "page_count"})


def _scalars(input_row: str) -> dict[str, str]:
    try:
        values = json.loads(input_row)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key): str(value) for key, value in values.items() if _is_scalar(value)}


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float, bool))
