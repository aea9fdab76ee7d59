"""Answers that a local engine reads: a rehearsal whose labels can be looked at."""

from __future__ import annotations

from dataclasses import dataclass

from ocrlabel.engines.base import Engine
from ocrlabel.errors import ImageError
from ocrlabel.fake.answers import answer_of, encoded
from ocrlabel.fake.documents import Looked, Refused


@dataclass(frozen=True, slots=True)
class FromEngine:
    """The engine is started and closed by whoever made it."""

    engine: Engine

    async def body(self, data: bytes, looked: Looked, model_version: str) -> bytes:
        """What the engine reads, in the service's shape. Raises Refused (422)."""
        try:
            document = await self.engine.prepare(data)
            answer = await self.engine.recognise(document, self.engine.lanes[0].name)
        except ImageError as error:
            raise Refused(422, error.message) from error
        return encoded(answer_of(answer.pages[: len(looked.page_sizes_px)], model_version))
