"""Corrections from Label Studio: its JSON export (not JSON-MIN) of the tasks that went out.

A task counts once a person has submitted it: the newest annotation that was not skipped is taken,
as a review of the whole page even where nothing was changed. Tasks without one leave their page
alone. Polygons and rectangles, also turned ones, with the OCR template's names or ours.
Percent of the page become px, rounded to a millionth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files, read_json
from ocrlabel.labels import Polygon, Word

_LABELS = ("polygonlabels", "rectanglelabels", "labels")


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file and task."""
    for path in files(folder, "*.json"):
        tasks = read_json(path)
        if not isinstance(tasks, list):
            raise DatasetError(f"{path} is no list of tasks\n  export JSON from Label Studio")
        for at, task in enumerate(tasks):
            try:
                found = _correction(task)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatasetError(
                    f"{path}, task {at + 1}: {error!r}\n"
                    "  export JSON (not JSON-MIN) of polygons or rectangles with a text each"
                ) from error
            if found is not None:
                yield found


def _correction(task: dict[str, Any]) -> Correction | None:
    done = [a for a in task.get("annotations", []) if not a.get("was_cancelled")]
    if not done:
        return None
    newest = max(done, key=lambda a: str(a.get("updated_at", "")))
    words, classes = _words(newest["result"])
    data = task["data"]
    return Correction(
        file=_path(str(data.get("image") or data.get("ocr") or "")),
        words=words,
        classes=classes,
        source=_source(newest.get("completed_by")),
        id=str(data.get("ocrlabel_id", "")),
        page=int(data.get("ocrlabel_page", 1)),
        reviewed=True,
    )


def _words(results: list[dict[str, Any]]) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """Return one word a region; its shape, label and text are results with the same id."""
    polygons: dict[str, Polygon] = {}
    labels: dict[str, str] = {}
    texts: dict[str, str] = {}
    for result in results:
        if "value" not in result or "original_width" not in result:
            continue  # a choice or a relation: nothing about a region
        region, value = str(result["id"]), result["value"]
        polygons.setdefault(region, _polygon(result, value))
        for key in _LABELS:
            if value.get(key):
                labels[region] = str(value[key][0])
        if "text" in value:
            text = value["text"]
            texts[region] = text if isinstance(text, str) else "\n".join(text)
    words = tuple(Word(texts.get(r, ""), polygon, None) for r, polygon in polygons.items())
    return words, tuple(labels.get(region, "") for region in polygons)


def _polygon(result: dict[str, Any], value: dict[str, Any]) -> Polygon:
    width, height = number(result["original_width"]), number(result["original_height"])
    if "points" in value:
        points = [(number(x) * width / 100, number(y) * height / 100) for x, y in value["points"]]
    else:
        points = _rectangle(value, width, height)
    return tuple((round(x, 6), round(y, 6)) for x, y in points)


def _rectangle(value: dict[str, Any], width: float, height: float) -> list[tuple[float, float]]:
    """Return the corners of a rectangle, which Label Studio turns about its top left corner."""
    left, top = number(value["x"]) * width / 100, number(value["y"]) * height / 100
    w, h = number(value["width"]) * width / 100, number(value["height"]) * height / 100
    angle = math.radians(number(value.get("rotation", 0)))
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (left + dx * cos - dy * sin, top + dx * sin + dy * cos)
        for dx, dy in ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h))
    ]


def _path(url: str) -> str:
    """Return the image's path in the storage: of a local-files URL what `d` says."""
    parts = urlsplit(url)
    if "d" in (query := parse_qs(parts.query)):
        return query["d"][0]
    return unquote(parts.path)


def _source(person: object) -> str:
    if isinstance(person, dict):
        person = person.get("email") or person.get("id")
    return "labelstudio" if person is None else f"labelstudio:{person}"
