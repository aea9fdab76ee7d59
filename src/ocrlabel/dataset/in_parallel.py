"""A piece of work for each of many things, a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_parallel(
    things: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int
) -> None:
    """Work on every thing, begun in order. The first error stops the others and is raised.

    Only at_once things are taken from `things` ahead of the work.
    """
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await work(thing)

    # not a TaskGroup: that would wrap the error, and every caller would have to unwrap it
    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
