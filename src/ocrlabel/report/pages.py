"""Rows -> what the page viewer shows, as plain JSON values: bounded, finite, nothing hidden."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from ocrlabel.dataset.tables.rows import WORD_CLASS, FailureRow, LabelRow
from ocrlabel.labels import Polygon, Word
from ocrlabel.report.colours import band
from ocrlabel.report.sample import Sampled
from ocrlabel.report.survey import page_confidence
from ocrlabel.report.text import engine_name, visible

WORDS_PER_PAGE = 2_000
CHARACTERS_PER_PAGE = 40_000
_NAME = 200
_LONG = 2_000
_LARGEST_PX = 1e7


def page_view(sampled: Sampled) -> dict[str, Any]:
    """One labelled page."""
    row = sampled.row
    width_px, height_px = _size(row)
    words = _words(row)
    known = [word.confidence for word in row.words if _finite(word.confidence)]
    return {
        "kind": "page",
        "number": sampled.number + 1,
        "unsure": sampled.unsure,
        "id": visible(row.id, _NAME),
        "path": visible(row.image_path, _NAME),
        "title": visible(row.image_filename or row.image_path or row.id, _NAME),
        "page": row.page,
        "pages": row.page_count,
        "width": width_px,
        "height": height_px,
        "confidence": _rounded(page_confidence(row), 4),
        "lowest": _rounded(min((c for c in known if c is not None), default=None), 4),
        "words": words,
        "count": len(row.words),
        "facts": _facts(row),
    }


def failure_view(row: FailureRow) -> dict[str, Any]:
    """One failed input row, in the same list as the pages."""
    return {
        "kind": "failure",
        "number": row.ordinal + 1,
        "id": visible(row.id, _NAME),
        "path": visible(row.image_path, _NAME),
        "title": visible(row.image_path.replace("\\", "/").rsplit("/", 1)[-1] or row.id, _NAME),
        "page": 1,
        "pages": 1,
        "failure": visible(row.failure_class, 60),
        "message": visible(row.message, _LONG),
        "confidence": None,
        "lowest": None,
        "words": [],
        "count": 0,
        "facts": _told(
            ("path", visible(row.image_path, _NAME)),
            ("attempts", f"{row.attempts}"),
            ("worth another try", "yes" if row.retryable else "no"),
            ("failed at", row.failed_at.isoformat(" ", "seconds") if row.failed_at else ""),
            ("image sha256", visible(row.image_sha256, 64)),
        ),
    }


def as_label_row(row: FailureRow) -> LabelRow:
    """A failed row in the form that an ImageReader takes: of no known size."""
    return LabelRow(
        id=row.id,
        image_path=row.image_path,
        image_filename="",
        width_px=0,
        height_px=0,
        words=(),
        image_sha256=row.image_sha256,
    )


def _words(row: LabelRow) -> list[list[Any]]:
    """[text, confidence, band, flat polygon] and, where it is not "text", the class."""
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    shown: list[list[Any]] = []
    left = CHARACTERS_PER_PAGE
    for word, kind in zip(row.words[:WORDS_PER_PAGE], classes, strict=False):
        one = _word(word)
        left -= len(one[0])
        if left < 0:
            break
        shown.append(one if kind == WORD_CLASS else [*one, visible(kind, 60)])
    return shown


def _word(word: Word) -> list[Any]:
    return [
        visible(word.text),
        _rounded(word.confidence, 4),
        band(word.confidence),
        _flat(word.polygon),
    ]


def _flat(polygon: Polygon) -> list[float]:
    """x, y, x, y, ... to a tenth of a pixel; [] for what cannot be drawn."""
    if not polygon or len(polygon) > 64:
        return []
    flat = [coordinate for point in polygon for coordinate in point]
    if not all(isfinite(c) and abs(c) <= _LARGEST_PX for c in flat):
        return []
    return [round(coordinate, 1) for coordinate in flat]


def _size(row: LabelRow) -> tuple[int, int]:
    """The page's own size, or one that holds all words where the table has none that is real."""
    if 0 < row.width_px <= _LARGEST_PX and 0 < row.height_px <= _LARGEST_PX:
        return row.width_px, row.height_px
    flats = [flat for word in row.words if (flat := _flat(word.polygon))]
    right = max((x for flat in flats for x in flat[0::2]), default=0)
    bottom = max((y for flat in flats for y in flat[1::2]), default=0)
    return max(100, int(right * 1.05)), max(100, int(bottom * 1.05))


def _facts(row: LabelRow) -> list[list[str]]:
    at = row.labelled_at
    return _told(
        ("path", visible(row.image_path, _NAME)),
        ("size", f"{row.width_px} × {row.height_px} px" if row.width_px > 0 else ""),
        ("engine", visible(engine_name(row.engine, row.model_version), _NAME)),
        ("words from", visible(row.source, _NAME)),
        ("split", visible(row.split, _NAME)),
        ("attempts", f"{row.attempts}" if row.attempts else ""),
        ("pages billed", f"{row.billed_pages}" if row.billed_pages else ""),
        ("latency", f"{row.latency_s:.2f} s" if row.latency_s else ""),
        ("labelled at", at.isoformat(" ", "seconds") if at else ""),
        ("image sha256", visible(row.image_sha256, 64)),
        ("original source", visible(row.original_source, _NAME)),
        ("input row", visible(row.input_row, _LONG) if row.input_row not in {"", "{}"} else ""),
    )


def _told(*facts: tuple[str, str]) -> list[list[str]]:
    return [[name, value] for name, value in facts if value]


def _finite(number: float | None) -> bool:
    return number is not None and isfinite(number)


def _rounded(number: float | None, digits: int) -> float | None:
    return round(number, digits) if number is not None and isfinite(number) else None


def word_classes(pages: Iterable[dict[str, Any]]) -> list[str]:
    """The classes, besides "text", that the shown words have."""
    return sorted({word[4] for page in pages for word in page["words"] if len(word) > 4})
