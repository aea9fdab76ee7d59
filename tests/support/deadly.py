"""A child's work that some images are the death of: for tests of what a run makes of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ocrlabel.engine import Answer
from ocrlabel.engines.children import ChildPool
from ocrlabel.engines.scripted import Scripted
from ocrlabel.labels import Document


class DeadlyWork:
    """Images that say "kills" end their process; those that say "unlucky N" only the first time."""

    def __init__(self, marks: str) -> None:
        self._marks = Path(marks)

    def __call__(self, data: bytes) -> Document:
        text = data.decode()
        if text.startswith("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        if text.startswith("unlucky"):
            mark = self._marks / text
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return Document(data, "png", 1, ((100, 50),))


class OpensInChildren(Scripted):
    """The scripted engine, with a pool of processes that opens its images. asked: every request."""

    def __init__(self, pool: ChildPool[bytes, Document]) -> None:
        super().__init__(price_per_page_usd=0.0015, parallel=4)
        self.asked: list[bytes] = []
        self._pool = pool

    async def recognise(self, document: Document, lane: str) -> Answer:
        self.asked.append(document.data)
        return await super().recognise(document, lane)

    async def prepare(self, data: bytes) -> Document:
        return await self._pool.run(data)

    async def close(self) -> None:
        await self._pool.close()
