"""Looks at images in child processes: how many pages they have, and whether they are whole."""

from __future__ import annotations

from functools import partial

from ocrlabel.dataset.pixels.facts import inspect
from ocrlabel.dataset.pixels.limits import Limits
from ocrlabel.dataset.pixels.whole import check_whole
from ocrlabel.engines.children import ChildPool

_MEMORY_BYTES = 1_500_000_000


class Looker:
    """What is cut off or broken is told as the run would tell it, without reading a word."""

    def __init__(self, limits: Limits, *, parallel: int, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, int] = ChildPool(
            partial(LookingWork, limits),
            parallel,
            timeout_s=timeout_s,
            memory_limit_bytes=_MEMORY_BYTES,
            what="image opening",
        )

    async def pages(self, data: bytes) -> int:
        """How many pages an image has. Raises Unreadable."""
        return await self._pool.run(data)

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


class LookingWork:
    """What a child process does."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, data: bytes) -> int:
        """Look at one image. Raises Unreadable."""
        facts = inspect(data, self._limits)
        check_whole(data, facts.format, self._limits)
        return facts.page_count
