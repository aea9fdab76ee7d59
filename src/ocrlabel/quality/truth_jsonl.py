"""Truth as JSON Lines: one page a line.

    {"image": "images/a.png", "width": 762, "height": 1000, "level": "word",
     "words": [{"text": "SUBJECT:", "polygon": [[60, 121], [127, 121], [127, 135], [60, 135]]}],
     "ignore": [[[0, 0], [9, 0], [9, 9], [0, 9]]], "page": 0, "id": "a", "sha256": "1f3a..."}

Only `image` and `words` have to be there. A word may carry `"ignore": true`. `page` may count
from 0 or from 1, but the lines of one image stand together: the one whose lowest page is 0 counts
from 0. Every other field with a single value (lang, source, ...) can be grouped by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from ocrlabel.errors import DatasetError
from ocrlabel.labels import Polygon
from ocrlabel.quality.pages import Level, PageName, TruthPage, TruthWord

_OWN = frozenset({"image", "width", "height", "words", "ignore", "page", "level", "id", "sha256"})


def read_jsonl(path: Path, level: Level | None = None) -> Iterator[TruthPage]:
    """Pages in the order of the file. Raises DatasetError with file and line."""
    for _, group in groupby(_lines(path), key=lambda line: line[1].get("image")):
        lines = list(group)
        numbers = [_number(line, where) for where, line in lines]
        offset = 1 if min(numbers) == 0 else 0
        for (where, line), number in zip(lines, numbers, strict=True):
            try:
                yield _page(line, level, number + offset)
            except KeyError as error:
                raise DatasetError(f"{where} is not a page of truth: it lacks {error}") from error
            except ValueError as error:
                raise DatasetError(f"{where} is not a page of truth: {error}") from error
            except TypeError as error:
                raise DatasetError(
                    f'{where} is not a page of truth: write words as {{"text": "...",'
                    ' "polygon": [[x, y], ...]}, and regions to ignore as such polygons'
                ) from error


def _number(line: dict[str, Any], where: str) -> int:
    number = line.get("page", 1)
    if not isinstance(number, int) or number < 0:
        raise DatasetError(f"{where}: page is {number!r}, not a number from 0 or 1")
    return number


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            where = f"{path}, line {number}"
            try:
                text = data.decode("utf-8-sig" if number == 1 else "utf-8")
                line = json.loads(text) if text.strip() else None
            except UnicodeDecodeError as error:
                raise DatasetError(f"{where} is not UTF-8; save the file as UTF-8") from error
            except json.JSONDecodeError as error:
                raise DatasetError(
                    f"{where}, column {error.colno} is not JSON: {error.msg}"
                ) from error
            except ValueError as error:
                raise DatasetError(f"{where} cannot be read: {error}") from error
            if line is None and not text.strip():
                continue
            if not isinstance(line, dict):
                raise DatasetError(f"{where} is not a JSON object")
            yield where, line


def _page(line: dict[str, Any], level: Level | None, page: int) -> TruthPage:
    words = tuple(
        TruthWord(str(word["text"]), _polygon(word["polygon"]), bool(word.get("ignore", False)))
        for word in line["words"]
    )
    regions = tuple(
        TruthWord("", _polygon(region), ignore=True) for region in line.get("ignore", ())
    )
    return TruthPage(
        name=PageName(
            str(line.get("id", "")),
            str(line["image"]),
            str(line.get("sha256", "")),
            page,
        ),
        width_px=int(line.get("width", 0)),
        height_px=int(line.get("height", 0)),
        level=level or Level(line.get("level", Level.WORD)),
        words=words + regions,
        fields={
            key: str(value)
            for key, value in line.items()
            if key not in _OWN and isinstance(value, (str, int, float, bool))
        },
    )


def _polygon(points: Any) -> Polygon:
    return tuple((float(x), float(y)) for x, y in points)
