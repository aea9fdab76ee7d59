"""Words made up from a hash: the same hash, the same page."""

from __future__ import annotations

from hashlib import sha256

from ocrlabel.labels import Page, Word

_VOCABULARY = (
    "invoice", "total", "12.50", "date", "합계", "영수증", "paid", "card", "감사합니다", "No.",
    "4711", "Seoul", "서울", "tax", "10%", "thank", "you", "quantity", "price", "2026-11-24",
)  # fmt: skip
_ROWS = 8
_EMPTY_EVERY = 16


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
