"""The pages in a report: which are shown, what the viewer knows of each, and its picture.

Views are plain JSON values: bounded, finite, nothing hidden. Pictures are data URIs, small enough
that a hundred of them fit into one file.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

from PIL.Image import Image, Resampling

from ocrlabel.dataset.labels_table import WORD_CLASS, FailureRow, LabelRow
from ocrlabel.labels import FailureClass, Polygon, readable
from ocrlabel.report.charts import band
from ocrlabel.report.facts import engine_name, page_confidence, visible
from ocrlabel.wording import rounded

WORDS_PER_PAGE = 2_000
CHARACTERS_PER_PAGE = 40_000
_NAME = 200
_LONG = 2_000
_LARGEST_PX = 1e7
BUDGET_BYTES = 24_000_000
# The longest side in px and JPEG's quality, from the best to what is still worth a look.
_LADDER = ((1800, 80), (1400, 72), (1100, 66), (800, 60), (560, 50), (320, 40))
_HeapEntry: TypeAlias = tuple[float, int, LabelRow]
SHOWN_OF_A_CLASS = 10
_CLASSES = 40
# Decoding an image that killed its reader, or that no reader could open, is not tried again here.
_MAY_BE_OPENED = frozenset(
    {
        FailureClass.REJECTED,
        FailureClass.INCOMPLETE,
        FailureClass.BAD_ANSWER,
        FailureClass.UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A page that is shown. number: its row in the table, from 0. unsure: not drawn at random."""

    number: int
    row: LabelRow
    unsure: bool = False


class Sample:
    """Keeps a bounded number of the rows that pass by; the same seed keeps the same rows.

    A row's place in the draw is a hash of seed, id and page, so that the order of the table does
    not matter. A fifth of the places go to the pages of the lowest confidence, whatever the draw
    gives: they are what a reader looks for. Where everything fits, everything is kept.
    """

    def __init__(self, places: int, seed: int) -> None:
        self._places = places
        self._unsure_places = places // 5
        self._seed = seed
        self._drawn: list[_HeapEntry] = []
        self._unsure: list[_HeapEntry] = []
        self._seen = 0

    def add(self, row: LabelRow, confidence: float | None) -> None:
        """Take in the next row of the table."""
        number, self._seen = self._seen, self._seen + 1
        key = f"{self._seed}\0{row.id}\0{row.page}".encode("utf-8", "replace")
        draw = int.from_bytes(hashlib.blake2b(key, digest_size=6).digest()) / 2**48
        _keep(self._drawn, (-draw, number, row), self._places)
        if confidence is not None:
            _keep(self._unsure, (-confidence, number, row), self._unsure_places)

    def rows(self) -> list[Sampled]:
        """The rows that were kept, in the order of the table."""
        drawn = sorted(self._drawn, reverse=True)
        if self._seen <= self._places:
            unsure: dict[int, Sampled] = {}
        else:
            unsure = {number: Sampled(number, row, unsure=True) for _, number, row in self._unsure}
        free = self._places - len(unsure)
        others = [Sampled(number, row) for _, number, row in drawn if number not in unsure]
        return sorted([*unsure.values(), *others[:free]], key=lambda kept: kept.number)


def _keep(heap: list[_HeapEntry], entry: _HeapEntry, places: int) -> None:
    """Keep the greatest first values; numbers are unique, so that rows are never compared."""
    if len(heap) < places:
        heapq.heappush(heap, entry)
    elif places:
        heapq.heappushpop(heap, entry)


def page_view(sampled: Sampled) -> dict[str, Any]:
    """One labelled page."""
    row = sampled.row
    width_px, height_px = _size(row)
    words = _words(row)
    known = [c for word in row.words if (c := sure(word.confidence)) is not None]
    return {
        "kind": "page",
        "number": sampled.number + 1,
        "unsure": sampled.unsure,
        "id": _named(row.id),
        "path": _named(row.image_path),
        "title": _named(row.image_filename or row.image_path or row.id),
        "page": row.page,
        "pages": row.page_count,
        "width": width_px,
        "height": height_px,
        "confidence": sure(page_confidence(row)),
        "lowest": min(known, default=None),
        "words": words,
        "count": len(row.words),
        "facts": _facts(row),
    }


def _words(row: LabelRow) -> list[list[Any]]:
    """[text, confidence, band, flat polygon] and, where it is not "text", the class."""
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    shown: list[list[Any]] = []
    left = CHARACTERS_PER_PAGE
    for word, kind in zip(row.words[:WORDS_PER_PAGE], classes, strict=False):
        text = visible(word.text)
        one = [text, sure(word.confidence), band(word.confidence), flat(word.polygon)]
        left -= len(text)
        if left < 0:
            break
        shown.append(one if kind == WORD_CLASS else [*one, visible(kind, 60)])
    return shown


def flat(polygon: Polygon) -> list[float]:
    """x, y, x, y, ... to a tenth of a pixel; [] for what cannot be drawn."""
    if not polygon or len(polygon) > 64:
        return []
    corners = [coordinate for point in polygon for coordinate in point]
    if not all(isfinite(c) and abs(c) <= _LARGEST_PX for c in corners):
        return []
    return [round(coordinate, 1) for coordinate in corners]


def _size(row: LabelRow) -> tuple[int, int]:
    """The page's own size, or one that holds all words where the table has none that is real."""
    if 0 < row.width_px <= _LARGEST_PX and 0 < row.height_px <= _LARGEST_PX:
        return row.width_px, row.height_px
    flats = [corners for word in row.words if (corners := flat(word.polygon))]
    right = max((x for corners in flats for x in corners[0::2]), default=0)
    bottom = max((y for corners in flats for y in corners[1::2]), default=0)
    return max(100, int(right * 1.05)), max(100, int(bottom * 1.05))


def _facts(row: LabelRow) -> list[list[str]]:
    at = row.labelled_at
    return _filled(
        ("path", _named(row.image_path)),
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


def _filled(*facts: tuple[str, str]) -> list[list[str]]:
    return [[name, value] for name, value in facts if value]


def sure(number: float | None) -> float | None:
    """A confidence as the page knows it; None where there is none."""
    return rounded(number) if number is not None and isfinite(number) else None


def word_classes(pages: Iterable[dict[str, Any]]) -> list[str]:
    """The classes, besides "text", that the shown words have."""
    return sorted({word[4] for page in pages for word in page["words"] if len(word) > 4})


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one class: all are counted, the first few are kept."""

    name: str
    count: int
    retryable: int
    examples: tuple[FailureRow, ...]

    @property
    def may_be_opened(self) -> bool:
        """The image itself is sound: it may be shown."""
        return self.name in _MAY_BE_OPENED


def group_failures(rows: Iterable[FailureRow]) -> list[FailureGroup]:
    """The classes, the most frequent first; a table with absurdly many is cut."""
    counts: Counter[str] = Counter()
    retryable: Counter[str] = Counter()
    examples: dict[str, list[FailureRow]] = {}
    for row in rows:
        name = row.failure_class
        if name not in counts and len(counts) >= _CLASSES:
            name = "other"
        counts[name] += 1
        retryable[name] += row.retryable
        kept = examples.setdefault(name, [])
        if len(kept) < SHOWN_OF_A_CLASS:
            kept.append(row)
    return [
        FailureGroup(name, count, retryable[name], tuple(examples[name]))
        for name, count in counts.most_common()
    ]


def _named(path: str) -> str:
    return visible(readable(path), _NAME)


def failure_view(row: FailureRow) -> dict[str, Any]:
    """One failed input row, in the same list as the pages."""
    return {
        "kind": "failure",
        "number": row.ordinal + 1,
        "id": _named(row.id),
        "path": _named(row.image_path),
        "title": _named(readable(row.image_path).replace("\\", "/").rsplit("/", 1)[-1] or row.id),
        "page": 1,
        "pages": 1,
        "failure": visible(row.failure_class, 60),
        "message": visible(row.message, _LONG),
        "confidence": None,
        "lowest": None,
        "words": [],
        "count": 0,
        "facts": _filled(
            ("path", _named(row.image_path)),
            ("attempts", f"{row.attempts}"),
            ("worth another try", "yes" if row.retryable else "no"),
            ("failed at", row.failed_at.isoformat(" ", "seconds") if row.failed_at else ""),
            ("image sha256", visible(row.image_sha256, 64)),
        ),
    }


def as_label_row(row: FailureRow) -> LabelRow:
    """A failed row in the form that an ImageFinder takes, of no known size."""
    return LabelRow(
        id=row.id,
        image_path=row.image_path,
        image_filename="",
        width_px=0,
        height_px=0,
        words=(),
        image_sha256=row.image_sha256,
    )


class Pictures:
    """Encodes pages as data URIs that together stay within a number of bytes.

    pages: how many are still to come; each may take an equal share of what is left, so that pages
    of little detail leave room for the others.
    """

    def __init__(self, pages: int, budget_bytes: int = BUDGET_BYTES) -> None:
        self._pages = pages
        self._left_bytes = budget_bytes * 3 // 4  # base64 writes 4 characters for 3 bytes
        self._start = 0

    def without(self) -> None:
        """A page has no image: its share goes to the others."""
        self._pages -= 1

    def data_uri(self, page: Image) -> str | None:
        """The page as a JPEG, shrunk to its share; None where even the smallest is too large."""
        share = self._left_bytes // max(1, self._pages)
        self._pages -= 1
        for rung in range(self._start, len(_LADDER)):
            data = _jpeg(page, *_LADDER[rung])
            if len(data) <= share:
                self._left_bytes -= len(data)
                self._start = max(0, rung - 1)  # pages of one table are alike: encode few times
                return "data:image/jpeg;base64," + base64.b64encode(data).decode()
        return None


def _jpeg(page: Image, side_px: int, quality: int) -> bytes:
    shrink = side_px / max(page.size)
    if shrink < 1:
        size = (max(1, round(page.width * shrink)), max(1, round(page.height * shrink)))
        # HAMMING is as sharp as text needs, in half the time of Pillow's default
        page = page.resize(size, Resampling.HAMMING, reducing_gap=2.0)
    out = io.BytesIO()
    page.save(out, "JPEG", quality=quality)
    return out.getvalue()
