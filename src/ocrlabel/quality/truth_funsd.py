"""FUNSD truth: `NAME.json` for the image NAME, entities with words and upright boxes.

Words without a text are do-not-care: FUNSD boxes what its annotators could not read.
Source: https://guillaumejaume.github.io/FUNSD/description/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.errors import DatasetError
from ocrlabel.quality.pages import Level, PageName, TruthPage, TruthWord


def read_funsd(folder: Path, level: Level = Level.WORD) -> Iterator[TruthPage]:
    """A page a file, in order of the names. Raises DatasetError with the file.

    level line takes the entities' own boxes and texts instead of their words.
    """
    for file in sorted(folder.glob("*.json")):
        try:
            form = json.loads(file.read_text(encoding="utf-8"))["form"]
            words = tuple(_word(item) for entity in form for item in _items(entity, level))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{file} is no FUNSD annotation: expected form > words > box, text ({error!r})"
            ) from error
        yield TruthPage(PageName(file.stem, file.stem, "", 1), 0, 0, level, words)


def _items(entity: Any, level: Level) -> list[Any]:
    if level is Level.LINE:
        return [entity]
    words: list[Any] = entity["words"]
    return words


def _word(item: Any) -> TruthWord:
    left, top, right, bottom = (float(edge) for edge in item["box"])
    text = str(item["text"]).strip()
    polygon = ((left, top), (right, top), (right, bottom), (left, bottom))
    return TruthWord(text, polygon, ignore=not text)
