"""Untrusted images looked at in child processes, which may die of one without the run dying of it.

`ImagePreparer` makes an image fit to send, for engines that send it to a service. `ImageInspector`
says how many pages an image has and whether it is whole, as the run would find, without reading a
word. An image that hangs its process for timeout_s, kills it, or needs more memory than any good
image, is Unreadable. parallel: how many images are opened at once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ocrlabel.engines.children import ChildPool
from ocrlabel.images.headers import check_integrity, inspect
from ocrlabel.images.limits import Accepts, ImageLimits
from ocrlabel.images.prepare import prepare
from ocrlabel.labels import Document

_INSPECTOR_MEMORY_BYTES = 1_500_000_000
_PREPARER_MEMORY_BYTES = 3_000_000_000


class ImagePreparer:
    """Makes images fit for an engine that takes what `accepts` names."""

    def __init__(self, accepts: Accepts, *, parallel: int = 2, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, Document] = ChildPool(
            partial(PreparingWork, accepts),
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


class PreparingWork:
    """What a child process of the preparer does; bytes that need no change are not sent back."""

    def __init__(self, accepts: Accepts) -> None:
        self._accepts = accepts

    def __call__(self, data: bytes) -> Document:
        """Prepare one image. Raises Unreadable."""
        document = prepare(data, self._accepts)
        return replace(document, data=b"") if document.data == data else document


class ImageInspector:
    """Counts an image's pages; what is cut off or broken is Unreadable."""

    def __init__(self, limits: ImageLimits, *, parallel: int, timeout_s: float = 60.0) -> None:
        self._pool: ChildPool[bytes, int] = ChildPool(
            partial(InspectingWork, limits),
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


class InspectingWork:
    """What a child process of the inspector does."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits

    def __call__(self, data: bytes) -> int:
        """Inspect one image. Raises Unreadable."""
        facts = inspect(data, self._limits)
        check_integrity(data, facts.format, self._limits)
        return facts.page_count
