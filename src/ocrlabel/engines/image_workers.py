"""Untrusted images looked at in child processes, which may die of one without the run dying of it.

`ImagePreparer` makes an image fit to send, for engines that send it to a service. `image_inspector`
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
            partial(partial, _prepared, accepts),
            parallel,
            result=Document,
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


def _prepared(accepts: Accepts, data: bytes) -> Document:
    """In the child process; bytes that need no change are not sent back."""
    document = prepare(data, accepts)
    return replace(document, data=b"") if document.data == data else document


def image_inspector(limits: ImageLimits, *, parallel: int) -> ChildPool[bytes, int]:
    """Processes that count an image's pages; what is cut off or broken is Unreadable."""
    return ChildPool(
        partial(partial, _pages, limits),
        parallel,
        result=int,
        timeout_s=60.0,
        memory_limit_bytes=_INSPECTOR_MEMORY_BYTES,
        what="image opening",
    )


def _pages(limits: ImageLimits, data: bytes) -> int:
    """In the child process."""
    facts = inspect(data, limits)
    check_integrity(data, facts.format, limits)
    return facts.page_count
