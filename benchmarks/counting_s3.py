"""An S3 server (moto) that counts requests by kind: `python -m benchmarks.counting_s3`.

It prints its address; each line it is sent is answered with the counts since the last one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Counting:
    """A counting server in a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def requests(self) -> Counter[str]:
        """What the server saw since it was asked last, by kind: PUT, LIST, GET, ..."""
        print(file=self.process.stdin, flush=True)
        return Counter(json.loads(next(iter(self.process.stdout or ()))))


@contextmanager
def counting_s3() -> Iterator[Counting]:
    """Start one; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.counting_s3"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Counting(next(iter(process.stdout or ()), "").strip(), process)
        finally:
            process.terminate()


def kind_of(method: str, query: str) -> str:
    """As S3's price list names it."""
    return "LIST" if method == "GET" and "list-type" in query else method


def serve() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    seen: Counter[str] = Counter()
    lock = threading.Lock()
    moto = DomainDispatcherApplication(create_backend_app)

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *args: object) -> None:
            pass

    def counted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            seen[kind_of(environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""))] += 1
        return moto(environ, start)

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    for _ in sys.stdin:
        with lock:
            print(json.dumps(seen), flush=True)
            seen.clear()


if __name__ == "__main__":
    serve()
