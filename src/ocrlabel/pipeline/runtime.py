"""What a run reaches the world with, and how it is asked to end early.

Clock, sleep, randomness and the store come in as a `Runtime`, so that a test runs hours of a fleet
in milliseconds. `Stop` ends a run in two steps: drain (what was sent may end), or now (what is
under way is written down as unknown). Then every wait has a last moment, by one of three words:
AT_ONCE, the end of the grace, or SAVING_S after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

from ocrlabel.pipeline.events import Event, Notice
from ocrlabel.storage.base import ObjectStore

T = TypeVar("T")
Alive: TypeAlias = Callable[[int, str], bool]
"""(pid, start mark) -> whether that very process still runs on this host."""
AT_ONCE = -math.inf
"""For `Stop.ending`: nothing that was paid for is under way."""
SAVING_S = 3.0
"""How long after the grace the store may take what was answered; then it goes to a rescue file."""
CLEARING_UP_S = 2.0
"""What is cancelled may take so long over it; then it is left alone."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker and the process it is: enough to tell, on the same host, that it has died.

    host is empty where a process cannot be told apart (no /proc): then only time decides.
    """

    worker: str
    host: str = ""
    pid: int = 0
    started: str = ""

    @staticmethod
    def of(body: Owner) -> Owner:
        """The owner alone of what it has written."""
        return Owner(body.worker, body.host, body.pid, body.started)


@dataclass(frozen=True, slots=True)
class Runtime:
    """clock: seconds that also pass while the machine sleeps (CLOCK_BOOTTIME); wall: Unix s.

    token gives a fresh random hex string; me is this worker; emit takes what is worth showing.
    rescue_folders: where answers go that the store does not take, the best place first.
    """

    store: ObjectStore
    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]
    me: Owner
    alive: Alive
    emit: Callable[[Event], None]
    rescue_folders: tuple[Path, ...] = ()
    told: set[str] = field(default_factory=set)

    def tell(self, kind: str, message: str) -> None:
        """Emit a notice."""
        self.emit(Notice(kind, message))

    def tell_once(self, kind: str, message: str, *, about: str = "") -> None:
        """Emit a notice, unless this process has already told of the same (`about`, else all)."""
        if (about or message) not in self.told:
            self.told.add(about or message)
            self.tell(kind, message)

    def certainly_dead(self, owner: Owner) -> bool:
        """True only for another process of this host that no longer runs."""
        if not owner.host or owner.host != self.me.host or owner.worker == self.me.worker:
            return False
        return not self.alive(owner.pid, owner.started)

    async def read_file(self, key: str, read: Callable[[BinaryIO], T]) -> T:
        """What is read of an object, in a thread, for its file blocks. Raises NotStored."""

        def opened() -> T:
            with self.store.open(key) as file:
                return read(file)

        return await asyncio.to_thread(opened)

    def where(self, key: str) -> str:
        """A key of the store as a person would look for it."""
        return f"{self.store.url.rstrip('/')}/{key}"


class Draining(Exception):
    """Nothing new is sent any more; whoever waits for its turn gives it up."""


class Stop:
    """Set by signals, deadlines and fatal errors; read by every part of the run.

    grace_s: how long requests under way may take once draining began.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._draining = asyncio.Event()
        self.reason = ""
        self.grace_ends_s = 0.0
        self._limits: dict[asyncio.Timeout, float] = {}

    @property
    def draining(self) -> bool:
        """No new request may be sent."""
        return self._draining.is_set()

    def drain(self, reason: str, *, grace_s: float) -> None:
        """Begin to drain; a second call only ever shortens the grace, and the first says why."""
        ends_s = self._clock() + grace_s
        if not self.draining:
            self.reason = reason
            self.grace_ends_s = ends_s
        self.grace_ends_s = min(self.grace_ends_s, ends_s)
        self._draining.set()
        for limit, after_grace_s in self._limits.items():
            if not limit.expired():
                limit.reschedule(self._last_moment(after_grace_s))

    def now(self, reason: str) -> None:
        """Give up what is under way as well, for this reason, whatever was said before."""
        self.drain(reason, grace_s=0.0)
        self.reason = reason

    def _last_moment(self, after_grace_s: float) -> float | None:
        """On the loop's clock; None while nothing is to end."""
        if not self.draining:
            return None
        left_s = self.grace_ends_s + after_grace_s - self._clock()
        return asyncio.get_running_loop().time() + max(0.0, left_s)

    @contextlib.asynccontextmanager
    async def ending(self, after_grace_s: float = 0.0) -> AsyncIterator[None]:
        """What is inside ends by Draining so long after the grace, whatever it waits for."""
        limit = asyncio.timeout_at(self._last_moment(after_grace_s))
        try:
            async with limit:
                self._limits[limit] = after_grace_s
                try:
                    yield
                finally:
                    del self._limits[limit]
        except TimeoutError:
            if not limit.expired():
                raise
            raise Draining from None

    async def wait_draining(self) -> None:
        """Return once draining begins."""
        await self._draining.wait()

    async def or_drain(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, or Draining as soon as draining begins (the work is cancelled)."""
        if self.draining:
            work.close()
            raise Draining
        task = asyncio.ensure_future(work)
        waiter = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Draining
        finally:
            waiter.cancel()
            task.cancel()
            await asyncio.wait({task, waiter}, timeout=CLEARING_UP_S)

    async def nap(self, sleep: Callable[[float], Awaitable[None]], wait_s: float) -> None:
        """Sleep, or raise Draining as soon as draining begins."""

        async def sleeping() -> None:
            await sleep(wait_s)

        await self.or_drain(sleeping())
