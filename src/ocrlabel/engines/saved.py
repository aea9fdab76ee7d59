"""The engine of a run whose answers are only looked at again: it reads no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from ocrlabel.engines.base import Document, Lane
from ocrlabel.errors import EngineUnusable


@dataclass(frozen=True, slots=True)
class SavedEngine:
    """Name, options and price of the engine that a finished run used."""

    name: str
    options: Mapping[str, str]
    price_per_page_usd: float
    max_pages: int = 1
    lanes: tuple[Lane, ...] = (Lane("saved"),)
    parallel: int | None = 1
    request_timeout_s: float = 1.0

    async def start(self) -> None:
        """Nothing to get ready."""

    async def prepare(self, data: bytes) -> NoReturn:
        """Refuse."""
        raise EngineUnusable(f"only saved answers are looked at; {len(data)} bytes were given")

    async def recognise(self, document: Document, lane: str) -> NoReturn:
        """Refuse."""
        raise EngineUnusable(f"only saved answers are looked at: {document.format} by {lane}")

    def parse(self, raw: bytes, document: Document) -> NoReturn:
        """Refuse."""
        raise EngineUnusable(f"{self.name} reads no raw answers ({len(raw)} b, {document.format})")

    async def close(self) -> None:
        """Nothing to give back."""
