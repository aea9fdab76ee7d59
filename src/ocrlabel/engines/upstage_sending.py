"""The body of a request, of which nothing more leaves once its time is over.

A process may be stopped at any moment, for longer than its request was good for, and sends from
where it stood as soon as it goes on. Meanwhile others reckon that nothing of it is in flight, and
ask again. So each part of the body is looked at right before it is written: a service that has
not received a whole document answers nothing, and bills nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx2


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
