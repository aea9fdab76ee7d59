"""Opens images in child processes, for engines that send them to a service."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ocrlabel.engines.children import ChildPool
from ocrlabel.images.headers import check_integrity, inspect
from ocrlabel.images.limits import Accepts, ImageLimits
from ocrlabel.images.prepare import prepare
from ocrlabel.labels import Document

_PREPARER_MEMORY_BYTES = 3_000_000_000
_INSPECTOR_MEMORY_BYTES = 1_500_000_000
"""One page of 200 megapixels, the most that the API takes, twice: as stored and turned upright."""


class Opener:
    """`images.prepare` in processes that may die of an image without the run dying of it.

    parallel: how many images are opened at once. An image that hangs its process for timeout_s,
    kills it, or needs more memory than any good image, is Unreadable.
    """

    def __init__(self, accepts: Accepts, *, parallel: int = 2, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, Document] = ChildPool(
            partial(OpeningWork, accepts),
            parallel,
            timeout_s=timeout_s,
            memory_limit_bytes=_PREPARER_MEMORY_BYTES,
            what="image opening",
        )

    async def prepare(self, data: bytes) -> Document:
        """The image as the engine can be handed it. Raises Unreadable."""
        document = await self._pool.run(data)
        return document if document.data else replace(document, data=data)

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


class OpeningWork:
    """What a child process does; bytes that need no change are not sent back."""

    def __init__(self, accepts: Accepts) -> None:
        self._accepts = accepts

    def __call__(self, data: bytes) -> Document:
        """Prepare one image. Raises Unreadable."""
        document = prepare(data, self._accepts)
        return replace(document, data=b"") if document.data == data else document


class Looker:
    """What is cut off or broken is told as the run would tell it, without reading a word."""

    def __init__(self, limits: ImageLimits, *, parallel: int, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, int] = ChildPool(
            partial(LookingWork, limits),
            parallel,
            timeout_s=timeout_s,
            memory_limit_bytes=_INSPECTOR_MEMORY_BYTES,
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

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits

    def __call__(self, data: bytes) -> int:
        """Look at one image. Raises Unreadable."""
        facts = inspect(data, self._limits)
        check_integrity(data, facts.format, self._limits)
        return facts.page_count
