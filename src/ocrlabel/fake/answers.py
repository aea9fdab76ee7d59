"""The body of an answer, and the places that it can come from.

Shape and habits are those of the recorded answers: keys in alphabetical order, words joined by a
space and lines by a space and a line break, word ids that run on over the document, pages joined
without any separator, a page's confidence the mean of its words', now and then a word without
text. The document's confidence is the lowest of its pages (assumption: seen once).
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Final, TypeAlias

from ocrlabel.engine import Engine
from ocrlabel.errors import ConfigError, ImageError
from ocrlabel.fake.documents import PageSizes, Refused
from ocrlabel.labels import Page, Word

_VOCABULARY: Final = (
    "total", "receipt", "2026-11-24", "₩12,000", "합계", "카드", "승인번호", "Coffee", "x2", "VAT",
    "108 ]", "No.", "A-17", "서울시", "강남구", "02-555-0199", "Thank", "you", "■", "15.90",
)  # fmt: skip
_EMPTY_WORDS: Final = 0.02
"""Two of 123 words in the answer recorded for a tilted receipt had no text."""


AnswerSource: TypeAlias = Callable[[bytes, PageSizes, str], Awaitable[bytes]]
"""A document's bytes, the sizes of its pages and the model's version -> the answer's body."""


async def from_bytes(data: bytes, page_sizes_px: PageSizes, model_version: str) -> bytes:
    """A few lines of words on each page that follow from the sha256, without any reading."""
    digest = sha256(data).hexdigest()
    pages = [
        invented_page(number, size, random.Random(f"{digest}/{number}"))
        for number, size in enumerate(page_sizes_px, start=1)
    ]
    return encoded(answer_of(pages, model_version))


def recorded_in(folder: Path) -> AnswerSource:
    """Answers of the real service, as they are, for the very files they were given for.

    NAME.json beside each file that it answers; other files are answered `from_bytes`. Raises
    ConfigError when there is none.
    """
    found = {
        sha256(path.read_bytes()).hexdigest(): encoded(json.loads(answer.read_bytes()))
        for answer in sorted(folder.glob("*.json"))
        for path in sorted(folder.glob(f"{answer.stem}.*"))
        if path != answer
    }
    if not found:
        raise ConfigError(f"no recorded answers in {folder}: put NAME.json beside NAME.png")

    async def body(data: bytes, page_sizes_px: PageSizes, model_version: str) -> bytes:
        recorded = found.get(sha256(data).hexdigest())
        return recorded or await from_bytes(data, page_sizes_px, model_version)

    return body


def from_engine(engine: Engine) -> AnswerSource:
    """What an engine reads that somebody else started and closes. Raises Refused (422)."""

    async def body(data: bytes, page_sizes_px: PageSizes, model_version: str) -> bytes:
        try:
            document = await engine.prepare(data)
            answer = await engine.recognise(document, engine.lanes[0].name)
        except ImageError as error:
            raise Refused(422, error.message) from error
        return encoded(answer_of(answer.pages[: len(page_sizes_px)], model_version))

    return body


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
