"""The fake of the service in a thread of this process, on a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from ocrlabel.fake.answers import AnswerSource, from_bytes
from ocrlabel.fake.ledger import LoggedRequest
from ocrlabel.fake.server import HOST, listening, server_of
from ocrlabel.fake.service import Service
from ocrlabel.fake.settings import FakeSettings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Running:
    """A fake that is being served. entries grows as requests are over."""

    base_url: str
    entries: list[LoggedRequest]
    service: Service
    loop: asyncio.AbstractEventLoop

    def stats(self) -> dict[str, object]:
        """As GET /stats."""
        return self._there(self.service.stats)

    def control(self, changes: Mapping[str, object]) -> None:
        """As POST /control. Raises ConfigError."""
        self._there(lambda: self.service.control(changes))

    def _there(self, act: Callable[[], _T]) -> _T:
        """In the server's own thread: nothing else may touch the service."""

        async def run() -> _T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=10)


@contextmanager
def running(
    settings: FakeSettings | None = None,
    answers: AnswerSource = from_bytes,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Running]:
    """A fake in a thread of its own, on a free port of 127.0.0.1. Hanging requests are cut."""
    entries: list[LoggedRequest] = []
    service = Service(
        settings or FakeSettings(),
        answers,
        clock=clock,
        sleep=asyncio.sleep,
        log=entries.append,
    )
    server = server_of(service)
    ready: Future[asyncio.AbstractEventLoop] = Future()
    with listening(0) as sock:

        async def serve() -> None:
            ready.set_result(asyncio.get_running_loop())
            await server.serve(sockets=[sock])

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="fake-upstage")
        thread.start()
        try:
            base_url = f"http://{HOST}:{sock.getsockname()[1]}/v1"
            yield Running(base_url, entries, service, ready.result(timeout=10))
        finally:
            server.should_exit = True
            thread.join()
