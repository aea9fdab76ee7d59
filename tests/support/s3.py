"""An S3 server over real HTTP (moto), and a proxy before it that misbehaves as told."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from ocrlabel.storage.credentials import Credentials

REGION = "us-east-1"
CREDENTIALS = Credentials("testing", "testing")


@contextmanager
def moto_server() -> Iterator[str]:
    """A moto server on a free port; gives its address.

    One conditional put at a time: moto looks whether a key is there, and puts it a moment later, so
    that on a slow machine two of 32 racing writers win. S3 does both in one, as SeaweedFS does.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    app, putting = server._server.app, threading.Lock()

    def one_at_a_time(environ, start_response):
        if "HTTP_IF_NONE_MATCH" not in environ:
            return app(environ, start_response)
        # whole before the turn: a writer that was stopped half way stops nobody else
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with putting:
            return app(environ | {"wsgi.input": io.BytesIO(body)}, start_response)

    server._server.app = one_at_a_time
    try:
        _, port = server.get_host_and_port()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def make_bucket(endpoint_url: str, bucket: str) -> None:
    """Make a bucket."""
    raw_put(endpoint_url, bucket)


def raw_put(endpoint_url: str, path: str) -> None:
    """Put an empty object, or a bucket, over plain HTTP, without a signature."""
    host = endpoint_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("PUT", f"/{path}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise AssertionError(f"the server answers {answer.status} to PUT /{path}")


def raw_keys(endpoint_url: str, bucket: str) -> list[str]:
    """The keys in a bucket as S3 has them, seen without the code under test."""
    store = S3Store(
        bucket,
        endpoint=endpoint_url,
        region=REGION,
        client_options={"allow_http": True},
        credential_provider=CREDENTIALS,
    )
    return sorted(found["path"] for found in obstore.list(store).collect())


@dataclass(frozen=True, slots=True)
class Fault:
    """What the next request of a method meets. Statuses as S3 writes them.

    status: answer this instead of the server's answer; 0 cuts the connection. forward: the
    server did get the request. delay_s: before anything else. cut_at: send the server's answer
    and cut it after so many bytes of its body.
    """

    method: str
    status: int = 0
    code: str = "InternalError"
    forward: bool = False
    delay_s: float = 0.0
    cut_at: int | None = None


@dataclass
class Proxy:
    """Faults are used up in order, each by the next request of its method.

    always: what every request meets, of any method, for as long as it stands here.
    took_place: called with method and path once the server has answered, before the client hears.
    login_page: what every listing is answered with, as a portal does that wants a password first.
    """

    url: str
    took_place: Callable[[str, str], None] = lambda method, path: None
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    login_page: bytes = b""
    seen: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str) -> Fault | None:
        """Take the next fault for this method, if there is one."""
        with self._lock:
            self.seen.append(method)
            for fault in self.faults:
                if fault.method == method:
                    self.faults.remove(fault)
                    return fault
        return self.always


@contextmanager
def flaky_proxy(endpoint_url: str) -> Iterator[Proxy]:
    """A proxy on a free port before an S3 server."""
    upstream = endpoint_url.removeprefix("http://")
    proxy = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            proxy.signatures.append(self.headers.get("authorization", ""))
            fault = proxy.next_fault(self.command)
            if fault is not None and fault.delay_s:
                time.sleep(fault.delay_s)  # noqa: TID251 -- this server's own thread waits
            if fault is None or fault.forward or fault.cut_at is not None:
                status, headers, answer = self._forward(body)
                proxy.took_place(self.command, self.path)
            if proxy.login_page and "list-type=2" in self.path:
                self._answer(200, [("Content-Type", "text/html")], proxy.login_page)
            elif fault is None:
                self._answer(status, headers, answer)
            elif fault.cut_at is not None:
                self._answer(status, headers, answer, fault.cut_at)
            elif fault.status == 0:
                self._cut()
            else:
                error = f"<Error><Code>{fault.code}</Code><Message>on purpose</Message></Error>"
                self._answer(fault.status, [], error.encode())

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 -- http.server's names

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(upstream, timeout=30)
            # the host too is as it came: it is part of what was signed
            connection.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            kept = [
                (name, value)
                for name, value in answer.getheaders()
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}
                or (name.lower() == "content-length" and self.command == "HEAD")
            ]
            return answer.status, kept, data

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            body: bytes,
            cut_at: int | None = None,
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:cut_at])
            if cut_at is not None:
                self._cut()

        def _cut(self) -> None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # a client that gave up is what these tests are about

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
