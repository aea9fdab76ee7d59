"""Which pages of a large table are shown: some drawn at random, and the least certain ones."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import TypeAlias

from ocrlabel.dataset.tables.rows import LabelRow

Entry: TypeAlias = tuple[float, int, LabelRow]


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
    says: they are what a reader looks for. Where everything fits, everything is kept.
    """

    def __init__(self, places: int, seed: int) -> None:
        self._places = places
        self._unsure_places = places // 5
        self._seed = seed
        self._drawn: list[Entry] = []
        self._unsure: list[Entry] = []
        self._seen = 0

    def add(self, row: LabelRow, confidence: float | None) -> None:
        """Take in the next row of the table."""
        number, self._seen = self._seen, self._seen + 1
        _keep(self._drawn, (-_draw(self._seed, row), number, row), self._places)
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


def _keep(heap: list[Entry], entry: Entry, places: int) -> None:
    """Keep the greatest first values; numbers are unique, so that rows are never compared."""
    if len(heap) < places:
        heapq.heappush(heap, entry)
    elif places:
        heapq.heappushpop(heap, entry)


def _draw(seed: int, row: LabelRow) -> float:
    told = f"{seed}\0{row.id}\0{row.page}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(told, digest_size=6).digest()) / 2**48
