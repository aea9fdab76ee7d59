"""Opens images in child processes, for engines that send them to a service."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ocrlabel.dataset.pixels.limits import Accepts
from ocrlabel.dataset.pixels.prepare import prepare
from ocrlabel.engines.base import Document
from ocrlabel.engines.children import ChildPool

_MEMORY_BYTES = 3_000_000_000
"""One page of 200 megapixels, the most that the API takes, twice: as stored and turned upright."""


class Opener:
    """`dataset.pixels.prepare` in processes that may die of an image without the run dying of it.

    parallel: how many images are opened at once. An image that hangs its process for timeout_s,
    kills it, or needs more memory than any good image, is Unreadable.
    """

    def __init__(self, accepts: Accepts, *, parallel: int = 2, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, Document] = ChildPool(
            partial(OpeningWork, accepts),
            parallel,
            timeout_s=timeout_s,
            memory_limit_bytes=_MEMORY_BYTES,
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
