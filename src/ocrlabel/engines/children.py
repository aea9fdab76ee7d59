"""A pool of child processes for work that can die or hang, and whom a death counts against."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from ocrlabel.engines.child import Child, ChildDied, ChildHung
from ocrlabel.engines.turns import Turns
from ocrlabel.errors import EngineUnusable, Unreadable
from ocrlabel.labels import FailureClass

Task = TypeVar("Task")
Result = TypeVar("Result")


class ChildPool(Generic[Task, Result]):
    """`size` places, each with one process that does one task at a time.

    Each process has its own socket, so a death belongs to exactly one task. That task alone is
    not guilty yet (memory may have run out because of a neighbour): it is done once more with no
    other process at work, and only a death alone counts against it. A task that hangs is killed
    at once. After either, the next task finds a fresh process.

    factory: see Child. timeout_s: for one task; start_timeout_s: until the factory is through.
    memory_limit_bytes: what one process may write to (Linux, RLIMIT_DATA); None: no limit.
    """

    def __init__(
        self,
        factory: Callable[[], Callable[[Task], Result]],
        size: int,
        *,
        timeout_s: float,
        start_timeout_s: float = 120.0,
        memory_limit_bytes: int | None = None,
        what: str = "worker",
    ) -> None:
        self.size = size
        self._factory = factory
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._what = what
        self._turns = Turns()
        self._places = asyncio.Semaphore(size)
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._closed = False

    @property
    def pids(self) -> frozenset[int]:
        """The processes that are there now."""
        return frozenset(child.pid for child in self._all if child.pid is not None)

    async def start(self) -> object:
        """Start the first process; the others start when there is work for them.

        Returns the worker's `about`. Raises ConfigError (the factory's own) or EngineUnusable.
        """
        child = await self._fresh()
        self._idle.append(child)
        return child.about

    async def run(self, task: Task, *, timeout_s: float | None = None) -> Result:
        """Do one task, waiting for a free place. timeout_s: for this task, once it has a place.

        Raises the task's own ImageError; Unreadable with TIMED_OUT when it took longer than
        timeout_s, with CRASHED when the process died of it while nothing else ran; EngineUnusable
        when no process can be started any more.
        """
        allowed_s = self._timeout_s if timeout_s is None else timeout_s
        async with self._places:
            with contextlib.suppress(ChildDied):
                async with self._turns.shared(), self._child() as child:
                    return await self._ask(child, task, allowed_s)
            try:
                async with self._turns.alone(), self._child() as child:
                    return await self._ask(child, task, allowed_s)
            except ChildDied as death:
                raise Unreadable(
                    f"the {self._what} process died of it twice, the second time with nothing "
                    f"else at work ({death})",
                    failure=FailureClass.CRASHED,
                ) from None

    async def close(self) -> None:
        """End every process and reap it: none is left, and no zombie."""
        self._closed = True
        idle, self._idle = self._idle, []
        busy = self._all.difference(idle)
        self._all.clear()
        await asyncio.gather(*(child.close() for child in idle), *(child.kill() for child in busy))

    async def _ask(self, child: Child, task: Task, allowed_s: float) -> Result:
        try:
            result: Result = await child.ask(task, allowed_s)
        except ChildHung:
            raise Unreadable(
                f"the {self._what} did not finish it within {allowed_s:g} s, and was killed",
                failure=FailureClass.TIMED_OUT,
            ) from None
        return result

    @contextlib.asynccontextmanager
    async def _child(self) -> AsyncIterator[Child]:
        """An idle process, or a fresh one; among the idle again unless its task got lost in it."""
        child = await self._idle_one() or await self._fresh()
        try:
            yield child
        finally:
            if child.fit:
                self._idle.append(child)
            else:
                await child.kill()
                self._all.discard(child)

    async def _idle_one(self) -> Child | None:
        # One that ended while it was idle (the kernel took its memory) is no task's death.
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            self._all.discard(child)
            await child.kill()
        return None

    async def _fresh(self) -> Child:
        """A process that is ready. A start that fails is tried once more: memory may be short."""
        try:
            return await self._started()
        except (ChildDied, OSError):  # a TimeoutError is one
            pass
        try:
            return await self._started()
        except ChildDied as death:
            reason = str(death)
        except TimeoutError:
            reason = f"not ready after {self._start_timeout_s:g} s"
        except OSError as error:
            reason = str(error)
        raise EngineUnusable(
            f"the {self._what} process does not start: {reason}\n"
            "  see whether memory is left, and whether the same command works on one image"
        )

    async def _started(self) -> Child:
        if self._closed:
            raise EngineUnusable(f"the {self._what} was closed with work still to do")
        child = Child()
        self._all.add(child)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await child.start(self._factory, self._memory_limit_bytes)
        finally:
            if not child.fit:
                await child.kill()
                self._all.discard(child)
        return child
