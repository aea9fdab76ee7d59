"""The nouns of quality: a page as labels tell it, and the same page as the truth tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ocrlabel.labels import Polygon, Word

IGNORE = "ignore"
"""The class (column `labels`) of a word that trainers and evaluation take as do-not-care."""


class Level(StrEnum):
    """What one polygon of the truth holds. Figures of the two are never added up."""

    WORD = "word"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class PageName:
    """Which page of which image: what pages of two files are paired by.

    id, path and sha256 are "" where they are not known. page counts from 1.
    """

    id: str
    path: str
    sha256: str
    page: int

    @property
    def document(self) -> str:
        """What pages of one document, and copies of it, have in common."""
        return self.sha256 or self.id or self.path

    def __str__(self) -> str:
        return f"{self.id or self.path} page {self.page}"


@dataclass(frozen=True, slots=True)
class ReadPage:
    """One row of a labels table. classes has one class a word; sizes are 0 where unknown."""

    name: PageName
    width_px: int
    height_px: int
    words: tuple[Word, ...]
    classes: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    def cared(self) -> tuple[Word, ...]:
        """The words that are labels: not those marked as do-not-care."""
        if IGNORE not in self.classes:
            return self.words
        pairs = zip(self.words, self.classes, strict=True)
        return tuple(word for word, kind in pairs if kind != IGNORE)


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
