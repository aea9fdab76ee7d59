"""Corrections in the competition's JSON (UFO): every JSON with `images > file > words`.

A file is one JSON object, so it is in memory while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.dataset.tables.rows import IGNORE
from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files, read_json
from ocrlabel.labels import Word


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file, image and word."""
    for path in files(folder, "*.json"):
        said = read_json(path)
        if not isinstance(said, dict) or not isinstance(said.get("images"), dict):
            raise DatasetError(f"{path} is not in AI Stages' format: it has no images")
        for name, image in said["images"].items():
            words: list[Word] = []
            classes: list[str] = []
            for key, item in image.get("words", {}).items():
                try:
                    word, label = _word(item)
                except (ValueError, KeyError, TypeError) as error:
                    raise DatasetError(f"{path}, {name}, word {key}: {error}") from error
                words.append(word)
                classes.append(label)
            yield Correction(name, tuple(words), tuple(classes), "aistages")


def _word(item: dict[str, Any]) -> tuple[Word, str]:
    text, confidence = item.get("transcription"), item.get("confidence")
    polygon = tuple((number(x), number(y)) for x, y in item["points"])
    word = Word(
        "" if text is None else str(text),
        polygon,
        None if confidence is None else number(confidence),
    )
    return word, IGNORE if item.get("illegibility") else ""
