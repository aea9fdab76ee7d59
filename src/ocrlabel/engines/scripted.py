"""scripted: an engine for tests and rehearsals that makes its words up, always the same ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256

from ocrlabel.engine import Answer, Lane
from ocrlabel.errors import BadAnswer
from ocrlabel.images.headers import inspect
from ocrlabel.images.limits import ImageLimits
from ocrlabel.labels import Document, Page, Word

_MODEL_VERSION = "scripted 1"
_UNKNOWN_SIZE_PX = (1240, 1754)
"""A4 at 150 dpi: for documents whose pages have no size before they are drawn (PDF, HEIC)."""

_VOCABULARY = (
    "invoice", "total", "12.50", "date", "합계", "영수증", "paid", "card", "감사합니다", "No.",
    "4711", "Seoul", "서울", "tax", "10%", "thank", "you", "quantity", "price", "2026-11-24",
)  # fmt: skip
_ROWS = 8
_EMPTY_EVERY = 16


class Scripted:
    """Answers from the bytes alone, in the event loop, with nothing but the base package.

    price_per_page_usd: above 0, the run treats it as an engine that must be paid. latency_s: of
    every answer.
    """

    name = "scripted"
    options: Mapping[str, str] = {"version": "1"}
    lanes = (Lane("scripted"),)
    max_pages = ImageLimits().max_pages
    request_timeout_s = 60.0

    def __init__(
        self,
        *,
        price_per_page_usd: float = 0.0,
        latency_s: float = 0.0,
        parallel: int | None = None,
    ) -> None:
        self.price_per_page_usd = price_per_page_usd
        self.parallel = parallel
        self._latency_s = latency_s

    async def start(self) -> None:
        """Nothing to get ready."""

    async def prepare(self, data: bytes) -> Document:
        """The facts of the headers; raises Unreadable."""
        facts = inspect(data, ImageLimits())
        return Document(data, facts.format, facts.page_count, facts.page_sizes_px)

    async def recognise(self, document: Document, lane: str) -> Answer:  # noqa: ARG002 -- any lane
        """The made-up words."""
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return self.parse(sha256(document.data).hexdigest().encode(), document)

    def parse(self, raw: bytes, document: Document) -> Answer:
        """The same answer again. Raises BadAnswer for what this engine never answered."""
        key = raw.decode("ascii", "replace")
        if len(key) != 64:
            raise BadAnswer(f"the scripted engine never answered {raw[:20]!r}")
        sizes = document.page_sizes_px or (_UNKNOWN_SIZE_PX,) * (document.page_count or 1)
        pages = tuple(
            scripted_page(key, number, width_px, height_px)
            for number, (width_px, height_px) in enumerate(sizes, 1)
        )
        billed_pages = len(pages) if self.price_per_page_usd else 0
        return Answer(pages, _MODEL_VERSION, billed_pages, raw, status=200)

    async def close(self) -> None:
        """Nothing to give back."""


def scripted_page(key: str, number: int, width_px: int, height_px: int) -> Page:
    """A page of up to 15 words in two columns, inside the page; one page in 16 has none."""
    digest = sha256(f"{key}/{number}".encode()).digest()
    if digest[0] % _EMPTY_EVERY == 0:
        return Page(number, width_px, height_px)
    count = 1 + digest[1] % (2 * _ROWS - 1)
    words = tuple(_word(digest, place, width_px, height_px) for place in range(count))
    confidences = [word.confidence for word in words if word.confidence is not None]
    return Page(number, width_px, height_px, words, round(sum(confidences) / len(words), 5))


def _word(digest: bytes, place: int, width_px: int, height_px: int) -> Word:
    chosen = digest[2 + place]
    row, column = divmod(place, 2)
    left = width_px * (0.05 + 0.45 * column)
    right = left + width_px * (0.1 + 0.3 * chosen / 255)
    top = height_px * (row + 0.25) / _ROWS
    bottom = height_px * (row + 0.75) / _ROWS
    polygon = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Word(_VOCABULARY[chosen % len(_VOCABULARY)], polygon, 1 - digest[17 + place % 15] / 512)
