"""Many at once, or one alone: the pool-wide lock behind the quarantine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Shared turns run side by side; a turn alone waits for them and keeps new ones waiting."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._sharing = 0
        self._alone = False
        self._wanting_alone = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """A turn beside others."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._wanting_alone)
            self._sharing += 1
        try:
            yield
        finally:
            self._sharing -= 1
            await self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """A turn with nobody else at work."""
        self._wanting_alone += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._alone and not self._sharing)
                self._alone = True
        finally:
            self._wanting_alone -= 1
            await self._wake()
        try:
            yield
        finally:
            self._alone = False
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
