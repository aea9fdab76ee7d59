"""The fake on a real socket: for tests in a thread, for the command in the foreground."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import uvicorn

from ocrlabel.errors import ConfigError, OcrLabelError
from ocrlabel.fake.answers import AnswerSource, FromBytes
from ocrlabel.fake.app import CuttableProtocol, application
from ocrlabel.fake.ledger import Entry
from ocrlabel.fake.service import Service
from ocrlabel.fake.settings import Settings

HOST = "127.0.0.1"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Running:
    """A fake that is being served. entries grows as requests are over."""

    base_url: str
    entries: list[Entry]
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
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(act())
            except OcrLabelError as error:
                future.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return future.result(timeout=10)


@contextmanager
def running(
    settings: Settings | None = None,
    answers: AnswerSource | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Running]:
    """A fake in a thread of its own, on a free port of 127.0.0.1. Hanging requests are cut."""
    entries: list[Entry] = []
    service = Service(
        settings or Settings(),
        answers or FromBytes(),
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


def server_of(service: Service) -> uvicorn.Server:
    """uvicorn, quiet, with connections that stay open longer than any client keeps them."""
    return uvicorn.Server(
        uvicorn.Config(
            application(service),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
    )


def listening(port: int) -> socket.socket:
    """A socket that takes connections from now on; 0 is any free port. Raises ConfigError."""
    # The protocol is spelt out because asyncio switches Nagle's algorithm off only where it is:
    # without, every answer waits 40 ms for an acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise ConfigError(f"port {port} cannot be had ({error.strerror}): give --port") from error
    sock.listen(1024)
    return sock
