"""The nouns of ocrlabel: what an image is, what was read from it, and what became of it.

Values only: nothing here reads a disk, a clock or a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # no smaller byte is ever written so
Point: TypeAlias = tuple[float, float]
Polygon: TypeAlias = tuple[Point, ...]
"""Corners in px of the upright image, clockwise from the text's own top left; engines give 4."""


class FailureClass(StrEnum):
    """Why an image has no label. The value stands in the failures table and in reports."""

    NOT_FOUND = "not_found"
    NOT_ALLOWED = "not_allowed"  # outside every root that was named, or an address
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported_format"
    CORRUPT = "corrupt"
    ENCRYPTED = "encrypted"
    TOO_LARGE = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_PAGES = "too_many_pages"
    REJECTED = "rejected"  # the engine refused it for good
    INCOMPLETE = "incomplete_answer"  # fewer pages answered than the document has
    BAD_ANSWER = "bad_answer"  # the engine answered something that is not an answer
    UNAVAILABLE = "unavailable"  # every attempt failed in a way that may pass
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # alone in a process, it killed the process
    QUARANTINED = "quarantined"  # failed in three runs in a row


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One input row: where an image is, before anybody looked at it.

    ordinal: the row's number in the input, from 0. id: the input's own id, unique in the input.
    path: as the input writes it; "" where the row carries only bytes. embedded: the bytes are in
    the input table. input_row: the input's other scalar columns as one JSON object, so that
    results can be grouped by them.
    """

    ordinal: int
    id: str
    path: str
    embedded: bool = False
    original_source: str = ""
    input_row: str = "{}"

    @property
    def filename(self) -> str:
        """The last part of the path, or of the id where there is no path."""
        return readable(self.path or self.id).replace("\\", "/").rsplit("/", 1)[-1]


def as_stored(name: str) -> bytes:
    r"""A file's name in the bytes that it has; those that are no UTF-8 are written \xNN."""
    return _ESCAPED.sub(lambda hit: bytes.fromhex(hit[1].decode()), os.fsencode(name))


def readable(path: str) -> str:
    r"""A path for people: parts with \xNN as Korean Windows wrote them (CP949), if it did."""
    if "\\x" not in path:
        return path
    try:
        parts = [as_stored(p).decode("cp949") if "\\x" in p else p for p in path.split("/")]
    except UnicodeError:
        return path
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Document:
    """An image as an engine is given it.

    data: the original bytes where the engine takes them as they are, else the upright re-encoded
    image. format: lower-case, as `images.identify.sniff` names it ("jpeg", "pdf", ...).
    page_count: pages that will be billed; None where it cannot be known beforehand.
    page_sizes_px: (width, height) of each upright page, empty where the engine decides them
    (a PDF's raster).
    """

    data: bytes
    format: str
    page_count: int | None
    page_sizes_px: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """One word as read. confidence is 0..1, or None where the engine gives none."""

    text: str
    polygon: Polygon
    confidence: float | None

    def __reduce__(self) -> tuple[type[Word], tuple[str, Polygon, float | None]]:
        # as dataclasses pickle frozen ones with slots, it takes four times as long
        return Word, (self.text, self.polygon, self.confidence)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read on one page: number from 1, size in pixels of the upright page."""

    number: int
    width_px: int
    height_px: int
    words: tuple[Word, ...] = ()
    confidence: float | None = None


class AttemptResult(StrEnum):
    """How one request to an engine ended."""

    ANSWERED = "answered"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    BAD_ANSWER = "bad_answer"
    KEY_REFUSED = "key_refused"  # 401 or 403: the key, not the image
    UNKNOWN = "unknown"  # sent, or perhaps sent, and nobody lived to see the answer
    UNSENT = "unsent"  # claimed, and then certainly never sent


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to an engine: number from 1, when it was sent (Unix s), what came of it.

    billed_pages is what the engine said it charged; None where it said nothing. pages is the most
    that it can have charged: 0 where it certainly was not billed.
    """

    number: int
    lane: str
    sent_at_s: float
    latency_s: float
    result: AttemptResult
    status: int | None = None
    message: str = ""
    billed_pages: int | None = None
    worker: str = ""
    pages: int = 1


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image whose pages were all read.

    key is the sha256 of bytes, engine and options: rows with equal keys share one answer, and
    `copied` tells those that were not sent themselves. raw is the engine's own answer, kept so
    that labels can be made again without paying.
    """

    ordinal: int
    id: str
    key: str
    sha256: str
    pages: tuple[Page, ...]
    engine: str
    model_version: str
    at_s: float
    attempts: tuple[Attempt, ...] = ()
    latency_s: float = 0.0
    billed_pages: int = 0
    raw: bytes = b""
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """An image without labels, and why. retryable: another run may well read it."""

    ordinal: int
    id: str
    failure: FailureClass
    message: str
    at_s: float
    key: str = ""
    sha256: str = ""
    engine: str = ""
    attempts: tuple[Attempt, ...] = ()
    retryable: bool = False
    copied: bool = False


Outcome: TypeAlias = Labelled | Failed


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of a run, or of a part of one: rows in = labelled + failed + not_reached."""

    rows: int = 0
    labelled: int = 0
    failed: int = 0
    pages: int = 0
    words: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def not_reached(self) -> int:
        """Rows that are in neither table yet."""
        return self.rows - self.labelled - self.failed
