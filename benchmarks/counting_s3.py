"""S3 servers that count requests by kind: moto, and SeaweedFS, which can hold a million rows.

`python -m benchmarks.counting_s3` is moto's process: it prints its address; each line it is sent is
answered with the counts since the last one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.seaweed import free_ports, seaweed_server


@dataclass
class Counting:
    """A counting server in a process of its own."""

    url: str
    requests: Callable[[], Counter[str]]
    """What the server saw since it was asked last, by kind: PUT, LIST, GET, ..."""


@dataclass
class Counted:
    """What SeaweedFS shows of its requests (a HEAD counts as a GET)."""

    metrics: str
    before: Counter[str] = field(default_factory=Counter)

    def since_last(self) -> Counter[str]:
        """By kind."""
        seen: Counter[str] = Counter()
        for line in httpx2.get(self.metrics).text.splitlines():
            if found := _REQUESTS.match(line):
                seen[found[1]] += int(float(found[2]))
        new, self.before = seen - self.before, seen
        return new


_REQUESTS = re.compile(r'SeaweedFS_s3_request_total\{.*type="(\w+)".*\} (\S+)')


@contextmanager
def counting_seaweed() -> Iterator[Counting]:
    """Start one; it ends with the block."""
    (port,) = free_ports(1)
    with seaweed_server(port) as url:
        yield Counting(url, Counted(f"http://127.0.0.1:{port}/metrics").since_last)


@contextmanager
def counting_moto() -> Iterator[Counting]:
    """Start one; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.counting_s3"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:

        def since_last() -> Counter[str]:
            print(file=process.stdin, flush=True)
            return Counter(json.loads(next(iter(process.stdout or ()))))

        try:
            yield Counting(next(iter(process.stdout or ()), "").strip(), since_last)
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
