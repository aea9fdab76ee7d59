"""The body of a request: under which name a document is sent, and until when.

A process may be stopped at any moment, for longer than its request was good for, and sends from
where it stood as soon as it goes on. Meanwhile others reckon that nothing of it is in flight, and
ask again. So each part of the body is looked at right before it is written: a service that has
not received a whole document answers nothing, and bills nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from io import BytesIO
from typing import Final

import httpx2

from ocrlabel.engines.base import Document

# Named by what is inside: the service asks for an extension that matches. The user's own name is
# never sent: it may be personal, longer than the service takes, or not ASCII.
_SENT_AS: Final[Mapping[str, tuple[str, str]]] = {
    "jpeg": ("page.jpg", "image/jpeg"),
    "png": ("page.png", "image/png"),
    "bmp": ("page.bmp", "image/bmp"),
    "tiff": ("page.tiff", "image/tiff"),
    "pdf": ("page.pdf", "application/pdf"),
    "heic": ("page.heic", "image/heic"),
    "webp": ("page.webp", "image/webp"),
}


def as_file(document: Document) -> tuple[str, BytesIO, str]:
    """The name, bytes and type of a document in a form.

    As a file it leaves in parts of 64 KB; as bytes it would be handed over in one piece.
    """
    name, content_type = _SENT_AS.get(
        document.format, (f"page.{document.format}", "application/octet-stream")
    )
    return name, BytesIO(document.data), content_type


class InTime(httpx2.AsyncByteStream):
    """Another body, cut off by a TimeoutError at `until_s` on the clock.

    clock counts seconds that also pass while the machine sleeps. What the system's own buffers
    have taken is past recall.
    """

    def __init__(
        self, body: httpx2.AsyncByteStream, *, until_s: float, clock: Callable[[], float]
    ) -> None:
        self._body = body
        self._until_s = until_s
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts of the body. Raises TimeoutError in place of the first that comes too late."""
        async for part in self._body:
            if self._clock() >= self._until_s:
                raise TimeoutError
            yield part

    async def aclose(self) -> None:
        """Close the other body."""
        await self._body.aclose()
