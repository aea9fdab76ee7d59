"""What every import gives: one correction a page, as the tool that people used wrote it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocrlabel.labels import Word


@dataclass(frozen=True, slots=True)
class Correction:
    """The words of one page as corrected.

    file: the page as the format names it. id and page: what it stands for, where the format says
    so itself. classes: one a word, IGNORE for do-not-care, "" where the format does not say.
    source: what the labels table will say of it, such as "labelstudio:kim@example.com". reviewed:
    a person saw the page even if nothing was changed.
    """

    file: str
    words: tuple[Word, ...]
    classes: tuple[str, ...]
    source: str
    id: str = ""
    page: int = 1
    reviewed: bool = False


class Import(Protocol):
    """What a format's module offers as `corrections`."""

    def __call__(self, folder: Path) -> Iterator[Correction]:
        """Read every page, in the files' order. Raises DatasetError that names file and line."""
        ...


def number(value: object) -> float:
    """Return a coordinate. Raises TypeError or ValueError for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)
