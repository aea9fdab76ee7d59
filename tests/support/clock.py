"""Virtual time: a real asyncio loop whose clock jumps to the next timer when nothing else is due.

A test of an hour of waiting takes milliseconds, and gives the same times on every machine.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at start_s and moves only by the waits of the program under test."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s
        self._jumping = _JumpingSelector(self)
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9  # a jump may round to just before its timer

    def time(self) -> float:
        return self._now_s

    def run_in_executor(self, executor, func, *args):
        """Work for a thread is done at once: no virtual time passes while it would run."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- carried over, as a thread would
            done.set_exception(error)
        return done

    def jump(self, seconds: float) -> None:
        self._now_s += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            # nothing is scheduled: only another thread could go on (or the test hangs)
            return super().select(5)
        self._loop.jump(timeout)
        return []


def run_virtual(coro: Coroutine[Any, Any, T], *, start_s: float = 1000.0) -> T:
    """Like asyncio.run, in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(coro)


def clock() -> float:
    """Seconds of the running virtual loop: hand it in where a `clock` is wanted."""
    return asyncio.get_running_loop().time()


async def sleep(seconds: float) -> None:
    """Wait in virtual time: hand it in where a `sleep` is wanted."""
    await asyncio.sleep(seconds)
