"""The contract of an engine (`ocrlabel.engine`), as checks that an engine's own tests run.

    def test_it_keeps_the_contract():
        check(MyEngine, PNG)

    def test_it_tells_what_goes_wrong():
        with HttpService(good=HttpReply(body=ANSWER)) as service:
            check_faults(lambda: MyEngine(service.url), PNG, service, too_fast=[HttpReply(429)])

The second one is for engines that ask a service: it meets every fault of `FAULTS`, and those of
its service that are given, and may send one request for each question and no more: trying again is
the run's. A check that fails raises AssertionError with all that is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from ocrlabel.engine import (
    Answer,
    BadAnswer,
    Engine,
    KeyRefused,
    NeverSent,
    Rejected,
    Throttled,
    Unavailable,
    Unreadable,
)
from ocrlabel.engines.plugins import Checked, checked

__all__ = ["FAULTS", "HttpReply", "HttpService", "check", "check_faults"]

_HANG_S = 1.0
_TICK_S, _BLOCKED_S = 0.05, 1.0
_RETRY_AFTER_S = 7


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a service answers. cut: the connection ends before the body does. hangs: no answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    hangs: bool = False


_HTML = b"<!doctype html><title>Sign in</title>"
FAULTS: Final[Mapping[str, tuple[HttpReply, type[Exception]]]] = {
    "500 of the service": (HttpReply(500, b'{"error": "internal"}'), Unavailable),
    "502 of a proxy": (HttpReply(502, _HTML, {"Content-Type": "text/html"}), Unavailable),
    "503 with Retry-After": (
        HttpReply(503, headers={"Retry-After": str(_RETRY_AFTER_S)}),
        Unavailable,
    ),
    "a login page with 200": (HttpReply(200, _HTML, {"Content-Type": "text/html"}), Unavailable),
    "302 to itself": (HttpReply(302, _HTML, {"Location": "/"}), Unavailable),
    "200 with nothing": (HttpReply(200), Unavailable),
    "200 with half an answer": (HttpReply(200, b'{"pages": [{"wor'), Unavailable),
    "a connection that is cut": (HttpReply(200, b'{"pages"', cut=True), Unavailable),
}
"""What any service may meet, and what an engine raises then (BadAnswer is an Unavailable)."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args: Any) -> None:
        """Who hangs up on a service is judged by what it raises, not by what is printed here."""


class HttpService:
    """A service over real HTTP on this machine. received: how many requests came in whole."""

    def __init__(self, good: HttpReply) -> None:
        self.good = self.reply = good
        self.received = 0
        self._ending = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service._answer(self)

            do_GET = do_PUT = do_POST  # noqa: N815 -- as http.server looks for them

            def log_message(self, *_args: Any) -> None: ...

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Transfer-Encoding", "") == "chunked":
            while size := int(request.rfile.readline().split(b";")[0] or b"0", 16):
                request.rfile.read(size + 2)
            request.rfile.readline()
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.received += 1
        reply = self.reply
        if reply.hangs:
            self._ending.wait(60)
            return
        request.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(reply.body) + reply.cut))
        request.end_headers()
        request.wfile.write(reply.body)
        request.close_connection = reply.cut


def check(make: Callable[[], Engine], image: bytes) -> None:
    """Read an image, and hold the engine to the contract on the way.

    make: a fresh engine at each call, which may be asked. Raises AssertionError, and ConfigError
    where the engine is none or does not start.
    """
    _raise(asyncio.run(_checked(make, image)))


def check_faults(
    make: Callable[[], Engine],
    image: bytes,
    service: HttpService,
    *,
    too_fast: Sequence[HttpReply],
    refuses_key: Sequence[HttpReply] = (HttpReply(401),),
    refuses_image: Sequence[HttpReply] = (),
) -> None:
    """Meet what goes wrong: each fault has its error, and each question is one request.

    make: a fresh engine that asks `service`. too_fast, refuses_key, refuses_image: what the real
    service answers then: Throttled, KeyRefused and Rejected. Raises AssertionError.
    """
    own = {Throttled: too_fast, KeyRefused: refuses_key, Rejected: refuses_image}
    faults = dict(FAULTS) | {
        f"{kind.__name__.lower()} {number}": (reply, kind)
        for kind, replies in own.items()
        for number, reply in enumerate(replies, 1)
    }
    _raise(asyncio.run(_met(make, image, service, faults)))


async def _checked(make: Callable[[], Engine], image: bytes) -> list[str]:
    wrong: list[str] = []
    engine, other = _of(make()), _of(make())
    wrong += [
        f"two engines that are made alike differ in {name}"
        for name in ("name", "options", "price_per_page_usd", "max_pages", "lanes")
        if getattr(engine, name) != getattr(other, name)
    ]
    async with _started(engine):
        for data, what in ((b"", "nothing"), (b"<!doctype html><html>", "a page of HTML")):
            try:
                await engine.prepare(data)
            except Unreadable:
                continue
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is told
                wrong.append(f"prepare of {what} raised {error!r}, not Unreadable")
            else:
                wrong.append(f"prepare of {what} raised nothing: no image would be refused")
        document = await engine.prepare(image)
        asking = asyncio.ensure_future(engine.recognise(document, engine.lanes[0].name))
        wrong += [one async for one in _held_up(asking)]
        answer = asking.result()
        wrong += _far_off(answer)
        pages = document.page_count
        if pages is not None and pages != len(answer.pages):
            wrong.append(f"{len(answer.pages)} pages answered for a document of {pages}")
        if answer.billed_pages > (pages or engine.max_pages):
            wrong.append(f"{answer.billed_pages} pages billed, more than can have been reserved")
        if bool(answer.billed_pages) != bool(price_usd := engine.price_per_page_usd):
            wrong.append(f"billed_pages is {answer.billed_pages}, price_per_page_usd {price_usd:g}")
        if answer.raw and engine.parse(answer.raw, document).pages != answer.pages:
            wrong.append("parse makes other pages of raw than recognise gave")
        with contextlib.suppress(BadAnswer):
            engine.parse(b"\x00 no answer", document)
            wrong.append("parse takes any bytes for an answer: it raises no BadAnswer")
    return wrong


async def _held_up(asking: asyncio.Future[Answer]) -> AsyncIterator[str]:
    while not asking.done():
        began_s = time.monotonic()
        await asyncio.wait({asking}, timeout=_TICK_S)
        if (held_s := time.monotonic() - began_s) > _BLOCKED_S:
            yield (
                f"recognise held the event loop for {held_s:.1f} s, and all else waited: await what"
                " takes long, or give it to asyncio.to_thread"
            )


def _far_off(answer: Answer) -> Iterator[str]:
    for page in answer.pages:
        corners = [corner for word in page.words for corner in word.polygon]
        if any(abs(x) > 2 * page.width_px or abs(y) > 2 * page.height_px for x, y in corners):
            yield f"a word lies far off page {page.number}: corners are px of the upright page"
        elif corners and max(map(max, corners)) <= 1:
            yield f"all corners on page {page.number} are 0 to 1: they are px, and no shares"


async def _met(
    make: Callable[[], Engine],
    image: bytes,
    service: HttpService,
    faults: Mapping[str, tuple[HttpReply, type[Exception]]],
) -> list[str]:
    wrong: list[str] = []
    engine = _of(make())
    good = ("a good answer", (service.good, None))
    async with _started(engine):
        document = await engine.prepare(image)

        async def asked() -> Exception | None:
            try:
                await engine.recognise(document, engine.lanes[0].name)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is told
                return error
            return None

        # in the end once more a good answer: none of it may have broken the engine
        for what, (reply, kind) in [good, *faults.items(), good]:
            service.reply, before = reply, service.received
            wrong += [f"{what}: {fault}" for fault in _judged(reply, kind, await asked())]
            if (count := service.received - before) != 1:
                wrong.append(f"{what}: {count} requests for one question")
        service.reply = HttpReply(hangs=True)
        try:
            async with asyncio.timeout(_HANG_S):
                if (error := await asked()) is not None:
                    wrong.append(f"cancelled: {error!r}")
        except NeverSent:
            wrong.append("cancelled once all was sent: NeverSent")
        except TimeoutError:
            pass
    return wrong


def _judged(
    reply: HttpReply, kind: type[Exception] | None, error: Exception | None
) -> Iterator[str]:
    """What is wrong with how a question ended; kind: None where it is to be answered."""
    if error is None or kind is None:
        if error or kind:
            yield f"it was {f'refused: {error!r}' if error else 'taken for an answer'}"
    elif not isinstance(error, kind):
        yield f"{error!r}, not {kind.__name__}"
    elif isinstance(error, Unavailable):
        # a login page comes from something before the service
        if not error.sent and (reply.status >= 500 or reply.body != _HTML):
            yield "sent=False, and the service had the whole request"
        if "Retry-After" in reply.headers and error.retry_after_s != _RETRY_AFTER_S:
            yield f"retry_after_s is {error.retry_after_s}, not {_RETRY_AFTER_S}"


def _of(engine: Engine) -> Engine:
    return engine if isinstance(engine, Checked) or _is_ours(engine) else checked(engine)


def _is_ours(engine: Engine) -> bool:
    return type(engine).__module__.startswith("ocrlabel.engines.")


@contextlib.asynccontextmanager
async def _started(engine: Engine) -> AsyncIterator[None]:
    await engine.start()
    try:
        yield
    finally:
        await engine.close()


def _raise(wrong: Sequence[str]) -> None:
    if wrong:
        raise AssertionError("the engine breaks its contract:\n  " + "\n  ".join(wrong))
