"""The body of an answer, and the three places it can come from.

Shape and habits are those of the recorded answers: keys in alphabetical order, words joined by a
space and lines by a space and a line break, word ids that run on over the document, pages joined
without any separator, a page's confidence the mean of its words', now and then a word without
text. The document's confidence is the lowest of its pages (assumption: seen once).
"""

from __future__ import annotations

import io
import json
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Final, Protocol

import pypdfium2
from PIL import Image, UnidentifiedImageError

from ocrlabel.dataset.images.identify import sniff
from ocrlabel.dataset.images.pillow import stated_size
from ocrlabel.errors import ConfigError, Unreadable
from ocrlabel.fake.ledger import LoggedRequest
from ocrlabel.fake.settings import DocumentLimits, ErrorShape
from ocrlabel.labels import Page, Word

_VOCABULARY: Final = (
    "total", "receipt", "2026-11-24", "₩12,000", "합계", "카드", "승인번호", "Coffee", "x2", "VAT",
    "108 ]", "No.", "A-17", "서울시", "강남구", "02-555-0199", "Thank", "you", "■", "15.90",
)  # fmt: skip
_EMPTY_WORDS: Final = 0.02
RASTER_DPI: Final = 150
_ENDS: Final = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}
GATEWAY_PAGE: Final = (
    b"<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"
)
# Only too_many_requests is known; the other codes are invented (assumption).
_CODES: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "insufficient_credit",
    413: "file_too_large",
    415: "unsupported_format",
    422: "corrupted_document",
    429: "too_many_requests",
}
"""Two of 123 words in the answer recorded for a tilted receipt had no text."""


class AnswerSource(Protocol):
    """Where the fake's answers come from."""

    async def body(self, data: bytes, looked: Looked, model_version: str) -> bytes:
        """The JSON to answer with, for a document that may be read."""
        ...


class FromBytes:
    """Words that follow from the document's sha256: equal bytes, equal answer, no reading."""

    async def body(self, data: bytes, looked: Looked, model_version: str) -> bytes:
        """A few lines of words on each page."""
        digest = sha256(data).hexdigest()
        pages = [
            invented_page(number, size, random.Random(f"{digest}/{number}"))
            for number, size in enumerate(looked.page_sizes_px, start=1)
        ]
        return encoded(answer_of(pages, model_version))


@dataclass(frozen=True, slots=True)
class Recorded:
    """Answers of the real service, for the very files they were given for; else `instead`."""

    by_sha256: Mapping[str, bytes]
    instead: AnswerSource

    async def body(self, data: bytes, looked: Looked, model_version: str) -> bytes:
        """The recorded answer as it is, with the model version that it was recorded with."""
        recorded = self.by_sha256.get(sha256(data).hexdigest())
        return recorded or await self.instead.body(data, looked, model_version)


def recorded_in(folder: Path, instead: AnswerSource) -> Recorded:
    """NAME.json beside each file that it answers. Raises ConfigError when there is none."""
    found = {
        sha256(path.read_bytes()).hexdigest(): encoded(json.loads(answer.read_bytes()))
        for answer in sorted(folder.glob("*.json"))
        for path in sorted(folder.glob(f"{answer.stem}.*"))
        if path != answer
    }
    if not found:
        raise ConfigError(f"no recorded answers in {folder}: put NAME.json beside NAME.png")
    return Recorded(found, instead)


def invented_page(number: int, size: tuple[int, int], rng: random.Random) -> Page:
    """Up to 24 lines of words, none outside the page."""
    width, height = size
    row = max(1, height // 24)
    words = []
    for line in range(rng.randint(2, 6)):
        top, left = line * row * 2 % max(1, height - row), row // 2
        for _ in range(rng.randint(1, 6)):
            text = "" if rng.random() < _EMPTY_WORDS else rng.choice(_VOCABULARY)
            right = min(width, left + max(1, row * max(1, len(text)) // 2))
            if left >= right:
                break
            corners = ((left, top), (right, top), (right, top + row), (left, top + row))
            confidence = rng.uniform(0.3, 0.4) if not text else rng.uniform(0.8, 1.0)
            words.append(Word(text, corners, round(confidence, 4)))
            left = right + max(1, row // 3)
    return Page(number, width, height, tuple(words))


def answer_of(pages: Sequence[Page], model_version: str) -> dict[str, object]:
    """Pages in the service's own shape."""
    first_id = 0
    shown = []
    for page in pages:
        shown.append(_page(page, first_id))
        first_id += len(page.words)
    return {
        "apiVersion": "1.1",
        "confidence": min((_mean(page) for page in pages), default=0.0),
        "metadata": {
            "pages": [{"height": p.height_px, "page": p.number, "width": p.width_px} for p in pages]
        },
        "mimeType": "multipart/form-data",
        "modelVersion": model_version,
        "numBilledPages": len(pages),
        "pages": shown,
        "stored": False,
        "text": "".join(text_of(page.words) for page in pages),
    }


def text_of(words: Sequence[Word]) -> str:
    """A new line wherever a word starts to the left of where the one before it started."""
    parts: list[str] = []
    left_before = float("-inf")
    for word in words:
        left = word.polygon[0][0]
        if parts:
            parts.append(" \n" if left < left_before else " ")
        parts.append(word.text)
        left_before = left
    return "".join(parts)


def encoded(answer: Mapping[str, object]) -> bytes:
    """Compact JSON, keys in alphabetical order at every level."""
    return json.dumps(answer, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _page(page: Page, first_id: int) -> dict[str, object]:
    return {
        "confidence": _mean(page),
        "height": page.height_px,
        "id": page.number - 1,
        "text": text_of(page.words),
        "width": page.width_px,
        "words": [_word(word, first_id + i) for i, word in enumerate(page.words)],
    }


def _word(word: Word, number: int) -> dict[str, object]:
    return {
        "boundingBox": {"vertices": [{"x": round(x), "y": round(y)} for x, y in word.polygon]},
        "confidence": word.confidence or 0.0,
        "id": number,
        "text": word.text,
    }


def _mean(page: Page) -> float:
    """0 on a page without words (assumption)."""
    return round(fmean(word.confidence or 0.0 for word in page.words), 4) if page.words else 0.0


"""Of files that are not images. Confirmed by the recorded PDF."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Sizes in px of the pages that will be read, and billed."""

    format: str
    page_sizes_px: tuple[tuple[int, int], ...]


class Refused(Exception):
    """The service answers with this status instead. All messages are assumptions."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Documents:
    """Remembers what became of the last documents: most of a rehearsal is the same files again."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._seen: dict[tuple[str, DocumentLimits], Looked | Refused] = {}

    def look(self, data: bytes, sha256: str, limits: DocumentLimits) -> Looked | Refused:
        """What `look` returns or raises."""
        found = self._seen.get((sha256, limits))
        if found is None:
            try:
                found = look(data, limits)
            except Refused as refused:
                found = refused
            self._seen[sha256, limits] = found
            if len(self._seen) > self._most:
                del self._seen[next(iter(self._seen))]
        return found


def look(data: bytes, limits: DocumentLimits) -> Looked:
    """Raises Refused. The bytes decide, not the name or content type (assumption)."""
    if not data:
        raise Refused(400, "document is empty")
    if len(data) > limits.max_bytes:
        raise Refused(413, f"file is larger than {limits.max_bytes // 1_000_000} MB")
    if data[:1024].lstrip()[:5] == b"%PDF-":
        kind, sizes, count = _pdf(data, limits)
    elif sniff(data) == "heic":
        kind, sizes, count = _heic(data)
    else:
        kind, sizes, count = _image(data)
    if kind not in limits.formats:
        raise Refused(415, f"unsupported file format: {kind}")
    if count > limits.max_pages and not limits.truncates:
        raise Refused(413, f"more than {limits.max_pages} pages")
    if any(width * height > limits.max_pixels for width, height in sizes):
        raise Refused(413, f"a page has more than {limits.max_pixels} pixels")
    return Looked(kind, sizes[: limits.max_pages])


def _pdf(data: bytes, limits: DocumentLimits) -> tuple[str, tuple[tuple[int, int], ...], int]:
    try:
        with pypdfium2.PdfDocument(data) as document:
            count = len(document)
            sizes = [document.get_page_size(i) for i in range(min(count, limits.max_pages))]
    except pypdfium2.PdfiumError as error:  # broken, or it wants a password
        raise Refused(422, "the document cannot be opened") from error
    if count == 0:
        raise Refused(422, "the document has no pages")
    scale = RASTER_DPI / 72
    return "pdf", tuple((math.ceil(w * scale), math.ceil(h * scale)) for w, h in sizes), count


def _heic(data: bytes) -> tuple[str, tuple[tuple[int, int], ...], int]:
    """One page; of the size when upright where pillow-heif is there, else as the file states."""
    try:
        size_px = stated_size(data)
        with suppress(ModuleNotFoundError):
            import pillow_heif  # noqa: PLC0415 -- of an extra that the fake can do without

            size_px = pillow_heif.open_heif(data).size
    except (Unreadable, OSError, ValueError, RuntimeError, EOFError) as error:
        raise Refused(422, "the image is damaged") from error
    return "heic", (size_px,), 1


def _image(data: bytes) -> tuple[str, tuple[tuple[int, int], ...], int]:
    try:
        with warnings.catch_warnings():
            # the limit on pixels is ours to apply, after the header was read
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return _frames(image, data)
    except Image.DecompressionBombError as error:
        raise Refused(413, "a page has too many pixels") from error
    except UnidentifiedImageError as error:
        raise Refused(415, "unsupported file format") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Refused(422, "the image is damaged") from error


def _frames(image: Image.Image, data: bytes) -> tuple[str, tuple[tuple[int, int], ...], int]:
    kind = {"mpo": "jpeg", "heif": "heic"}.get(name := (image.format or "").lower(), name)
    if (end := _ENDS.get(kind)) is not None and end not in data[-64:]:
        raise Refused(422, "the image is cut off")
    if kind != "tiff":
        return kind, (image.size,), 1
    sizes = []
    for frame in range(getattr(image, "n_frames", 1)):
        image.seek(frame)
        sizes.append(image.size)
    return kind, tuple(sizes), len(sizes)


class Ending(Enum):
    """How the exchange ends: after all bytes, after half of them or none, or not at all."""

    WHOLE = "whole"
    CUT = "cut"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Reply:
    """billed, pages and cause are for the ledger; entry is set while a HANG is still open."""

    status: int | None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = Ending.WHOLE
    pages: int = 0
    billed: int = 0
    cause: str = ""
    entry: LoggedRequest | None = None


def error_body(status: int, message: str, shape: ErrorShape) -> bytes:
    """Both shapes are documented; which one the service uses when is not."""
    if shape == "flat":
        return json.dumps({"code": status, "message": message}).encode()
    code = _CODES.get(status, "server_error")
    return json.dumps({"error": {"code": code, "message": message, "type": code}}).encode()


def retry_after(wait_s: float) -> dict[str, str]:
    """Whole seconds, at least one: the header knows no fractions."""
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
