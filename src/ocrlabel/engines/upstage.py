"""The engine "upstage": the Upstage Document OCR API, one POST for each document.

A document is made fit for the service in a child process (`image_workers`), sent with one of the
keys (`upstage_keys`; each key is a lane with a rate of its own), and answered: a refusal or a
broken exchange becomes one of ocrlabel's errors (`upstage_protocol`), an answer becomes pages and
words (`upstage_answer`).

Nothing here sends twice. Trying again is the run's business, which writes every attempt down
first; so redirects are not followed and the transport makes no retries of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Final, cast

import httpx2

from ocrlabel.engine import Answer, NeverSent
from ocrlabel.engines import upstage_protocol
from ocrlabel.engines.image_workers import ImagePreparer
from ocrlabel.engines.upstage_answer import read_answer
from ocrlabel.engines.upstage_keys import Key, without_keys
from ocrlabel.errors import BadAnswer, ConfigError, ImageError, KeyRefused, Unavailable
from ocrlabel.images.limits import Accepts
from ocrlabel.labels import Document, FailureClass
from ocrlabel.options import PRICE_PER_PAGE_USD
from ocrlabel.proxies import through_proxy

BASE_URL: Final = "https://api.upstage.ai/v1"
MODEL: Final = "ocr"

ACCEPTS: Final = Accepts(frozenset({"jpeg", "png", "bmp", "tiff", "pdf", "heic"}))
"""Sent as they are, in any colour mode: 50 MB, 100 pages, 200 megapixels per page. The newest page
of the reference allows 100 MB, and WebP; that this holds for OCR is not confirmed."""

MAX_BODY_BYTES: Final = 100_000_000
"""A 244-word page is about 60 KB of JSON: a hundred full pages stay far below this."""

_CONNECT_S, _WRITE_S = 10.0, 60.0

# Named by what is inside: the service asks for an extension that matches. The user's own name is
# never sent: it may be personal, longer than the service takes, or not ASCII.
_QUOTABLE_BYTES = 1 << 16
_SENT_AS: Final[Mapping[str, tuple[str, str]]] = {
    "jpeg": ("page.jpg", "image/jpeg"),
    "png": ("page.png", "image/png"),
    "bmp": ("page.bmp", "image/bmp"),
    "tiff": ("page.tiff", "image/tiff"),
    "pdf": ("page.pdf", "application/pdf"),
    "heic": ("page.heic", "image/heic"),
    "webp": ("page.webp", "image/webp"),
}


class UpstageEngine:
    """Each key is a lane; `recognise` sends with the lane's key.

    wall gives Unix seconds (for a Retry-After that is a date), clock seconds that also pass while
    the machine sleeps. read_s is the longest silence, whole_s the most for one request, connecting
    included: the service's own limit is not documented; its clients wait 300 s for a document.
    preparer makes images fit to send. transport replaces the network in tests.
    environment: to name the variable at fault. Raises ConfigError when keys or base_url cannot be
    used.
    """

    name = "upstage"
    parallel = None
    max_pages = ACCEPTS.limits.max_pages
    """The service's limit; a document with more is not sent."""

    def __init__(
        self,
        keys: tuple[Key, ...],
        *,
        preparer: ImagePreparer | None = None,
        wall: Callable[[], float],
        clock: Callable[[], float],
        base_url: str = BASE_URL,
        model: str = MODEL,
        read_s: float = 300.0,
        whole_s: float = 420.0,
        price_per_page_usd: float = PRICE_PER_PAGE_USD,
        max_body_bytes: int = MAX_BODY_BYTES,
        transport: httpx2.AsyncBaseTransport | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not keys:
            raise ConfigError("no Upstage key: set UPSTAGE_API_KEY, or use --engine rapidocr")
        self._read_s = read_s
        self.request_timeout_s = whole_s
        self.price_per_page_usd = price_per_page_usd
        self._preparer = preparer or ImagePreparer(ACCEPTS)
        self._base_url = checked(base_url)
        self._url = f"{self._base_url}/document-digitization"
        # With the address in every image's key, answers of a rehearsal against the fake are never
        # taken for answers of the service.
        elsewhere = {} if self._base_url == BASE_URL else {"base_url": self._base_url}
        self.options: Mapping[str, str] = {"model": model, **elsewhere}
        self.lanes = tuple(key.lane for key in keys)
        self._keys = {key.name: key for key in keys}
        self._wall = wall
        self._clock = clock
        self._model = model
        self._max_body_bytes = max_body_bytes
        self._transport = transport
        self._environment = environment
        self._is_near = is_loopback(self._base_url)
        self._through = "" if self._is_near else through_proxy(self._url, environment)
        self._http: httpx2.AsyncClient | None = None
        self._found = False  # a good answer came from this address

    async def start(self) -> None:
        """Make the connection pool. Nothing is sent: the first answer shows if a key works.

        Raises ConfigError.
        """
        try:
            self._http = httpx2.AsyncClient(
                headers={"User-Agent": "ocrlabel"},
                timeout=httpx2.Timeout(
                    connect=_CONNECT_S,
                    write=_WRITE_S,
                    read=self._read_s,
                    pool=_CONNECT_S,
                ),
                # The run decides how many requests are in flight; the pool must never queue them,
                # for what waits in it was already written down as sent.
                limits=httpx2.Limits(
                    max_connections=None,
                    max_keepalive_connections=64,
                    keepalive_expiry=20.0,  # well before a load balancer closes (60 s as a rule)
                ),
                follow_redirects=False,
                trust_env=not self._is_near,  # HTTPS_PROXY, SSL_CERT_FILE
                transport=self._transport,
            )
        except (ImportError, ValueError, httpx2.InvalidURL, OSError) as error:
            raise ConfigError(_unusable(error, self._environment)) from error

    async def prepare(self, data: bytes) -> Document:
        """The document as the service takes it; raises Unreadable."""
        return await self._preparer.prepare(data)

    async def recognise(self, document: Document, lane: str) -> Answer:
        """One POST. Raises what the Engine protocol names, and nothing else.

        What cannot pass by itself (a certificate that is not trusted, a host that does not exist)
        is a ConfigError as long as nothing was ever answered; later it is an outage.
        """
        key = self._keys[lane]
        request, body = self._request(document, key)
        try:
            answer = await self._answered(request, document)
        except asyncio.CancelledError as stopped:
            if not body.handed_over:
                raise NeverSent from stopped
            raise
        except KeyRefused as error:
            error.message += f"; it is {key.place}" if key.place else ""
            raise
        except ImageError as error:
            if isinstance(error, Unavailable) and not body.handed_over:
                error.sent = False
                if error.status is None and error.ends is not None and not self._found:
                    raise error.ends(error.message) from error
            raise
        self._found = True
        return answer

    async def _answered(self, request: httpx2.Request, document: Document) -> Answer:
        try:
            async with asyncio.timeout(self.request_timeout_s):
                status, headers, body = await self._post(request)
        except TimeoutError as error:
            raise Unavailable(
                f"no whole answer from {self._url} within {self.request_timeout_s:g} s",
                failure=FailureClass.TIMED_OUT,
            ) from error
        except upstage_protocol.TRANSLATED as error:
            raise upstage_protocol.of_transport(error, self._url, self._through) from error
        refusal = self._refusal(status, headers, body)
        if refusal is not None:
            raise refusal
        try:
            return read_answer(body, document, status=status)
        except ImageError as error:
            wrong = error
            if len(body) <= _QUOTABLE_BYTES:
                try:
                    read_answer(self._shown(body), document, status=status)
                except ImageError as again:  # its message quotes the start of it
                    wrong = again
            raise self._without_keys(wrong) from None

    def parse(self, raw: bytes, document: Document) -> Answer:
        """What recognise made of this answer, made again."""
        return read_answer(raw, document)

    async def close(self) -> None:
        """End the preparer's processes and close every connection."""
        await self._preparer.close()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _request(self, document: Document, key: Key) -> tuple[httpx2.Request, InTime]:
        if self._http is None:
            raise RuntimeError("start the engine before using it")
        name, content_type = _SENT_AS.get(
            document.format, (f"page.{document.format}", "application/octet-stream")
        )
        request = self._http.build_request(
            "POST",
            self._url,
            headers={"Authorization": f"Bearer {key.secret}"},
            data={"model": self._model},
            # as a file it leaves in parts of 64 KB, as bytes in one piece
            files={"document": (name, BytesIO(document.data), content_type)},
        )
        made = cast("httpx2.AsyncByteStream", request.stream)  # the client makes it fit for both
        until_s = self._clock() + self.request_timeout_s
        body = InTime(made, until_s=until_s, clock=self._clock)
        request.stream = body
        return request, body

    async def _post(self, request: httpx2.Request) -> tuple[int, Mapping[str, str], bytes]:
        if self._http is None:
            raise RuntimeError("start the engine before using it")
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_body_bytes:
                    raise BadAnswer(
                        f"HTTP {response.status_code} with more than"
                        f" {self._max_body_bytes / 1e6:g} MB: no OCR answer is that large",
                        status=response.status_code,
                    )
        finally:
            await response.aclose()
        return response.status_code, response.headers, bytes(body)

    def _refusal(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> ImageError | KeyRefused | None:
        """What an answer refuses. A service may repeat a key; a message of ours never does."""
        judged = partial(
            upstage_protocol.of_answer, now_s=self._wall(), url=self._url, through=self._through
        )
        refusal = judged(status, headers, body)
        if refusal is None:
            return None
        # before it is cut to a message: what is left of a key that was cut is no key any more
        told = {name.lower(): self._shown_text(value) for name, value in headers.items()}
        again = judged(status, told, self._shown(body))
        return again if type(again) is type(refusal) else self._without_keys(refusal)

    def _shown(self, body: bytes) -> bytes:
        """The part of a body that a message may quote, without keys."""
        text = body[:_QUOTABLE_BYTES].decode("utf-8", "surrogateescape")
        return self._shown_text(text).encode("utf-8", "surrogateescape")

    def _shown_text(self, text: str) -> str:
        return without_keys(text, self._keys.values())

    def _without_keys(self, error: ImageError | KeyRefused) -> ImageError | KeyRefused:
        error.message = self._shown_text(error.message)
        error.args = (error.message,)
        return error


class InTime(httpx2.AsyncByteStream):
    """Another body, cut off by a TimeoutError at `until_s` on the clock.

    A process may be stopped at any moment, for longer than its request was good for, and sends
    from where it stood as soon as it goes on. Meanwhile others reckon that nothing of it is in
    flight, and ask again. So each part of the body is looked at right before it is written: a
    service that has not received a whole document answers nothing, and bills nothing. What the
    system's own buffers have taken is past recall.

    handed_over: the last part was asked for, the closing line of the form: the service may have
    the whole document. Until then it certainly has not.
    """

    def __init__(
        self, body: httpx2.AsyncByteStream, *, until_s: float, clock: Callable[[], float]
    ) -> None:
        self._body = body
        self._until_s = until_s
        self._clock = clock
        self.handed_over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts of the body. Raises TimeoutError in place of the first that comes too late."""
        parts = aiter(self._body)
        part = await anext(parts, b"")
        while True:
            following = await anext(parts, None)
            if self._clock() >= self._until_s:
                raise TimeoutError
            self.handed_over = following is None
            yield part
            if following is None:
                return
            part = following

    async def aclose(self) -> None:
        """Close the other body."""
        await self._body.aclose()


def checked(base_url: str) -> str:
    """The address without a slash at the end. Raises ConfigError."""
    try:
        url = httpx2.URL(base_url.strip())
    except httpx2.InvalidURL as error:
        raise ConfigError(f"UPSTAGE_BASE_URL is no address: {error}") from None
    if url.userinfo:
        raise ConfigError("UPSTAGE_BASE_URL holds a name or password: only host and path, please")
    if url.scheme not in {"http", "https"} or not _reachable(url) or url.query or url.fragment:
        raise ConfigError(f"UPSTAGE_BASE_URL is {base_url!r}: give an address such as {BASE_URL}")
    return str(url).rstrip("/")


def is_loopback(base_url: str) -> bool:
    """No proxy reaches a server on this machine."""
    host = httpx2.URL(base_url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unusable(error: Exception, environment: Mapping[str, str]) -> str:
    """Which variables of the environment keep the client from being made, and what to do."""
    if isinstance(error, OSError):
        names, remedy = {"SSL_CERT_FILE", "SSL_CERT_DIR"}, f"no certificates there ({error})"
    else:
        names = {"ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"}
        remedy = (
            "give the address of an HTTP proxy (SOCKS is not spoken), or name the host in NO_PROXY"
        )
    found = sorted(name for name in environment if name.upper() in names)
    return f"{' or '.join(found)} cannot be used: {remedy}"


def _reachable(url: httpx2.URL) -> bool:
    """Host and port are such as the resolver takes; it would raise errors of other kinds."""
    try:
        return bool(url.host.encode("idna")) and (url.port or 0) < 65536
    except UnicodeError:
        return False
