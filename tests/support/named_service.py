"""The fake under a name that stays: a run remembers its service's address, a free port is another one.

Commands reach the name by HTTP_PROXY; the proxy takes the name off and hands everything on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer

from tests.support.fake_upstage import Running

NAME = "http://upstage.test"


@contextmanager
def named(fake: Running) -> Iterator[Mapping[str, str]]:
    """Serve it under the name; gives the variables by which a command finds it."""
    host, _, port = fake.base_url.removeprefix("http://").removesuffix("/v1").partition(":")

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as there:
                back = threading.Thread(target=_copy, args=(there, self.request))
                back.start()
                _copy(self.request, there)
                back.join()

    class Server(ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield {
                "UPSTAGE_BASE_URL": f"{NAME}/v1",
                "HTTP_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
                "NO_PROXY": "127.0.0.1",  # the bucket
            }
        finally:
            server.shutdown()
            thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them is gone; then neither is used any more."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            # a client sends the head of a request at once, and not before it has its last answer
            target.sendall(data.replace(f" {NAME}/".encode(), b" /", 1) if _head(data) else data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _head(data: bytes) -> bool:
    return data.startswith(f"POST {NAME}/".encode())
