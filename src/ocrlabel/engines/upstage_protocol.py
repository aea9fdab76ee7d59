"""HTTP into ocrlabel's errors: the only place where a status or a transport error is judged.

Who said it comes first, then the number. The service complains in one of two shapes, both
documented; other words are of something in between (firewall, proxy, login page, gateway):

    {"error": {"message": "...", "type": "...", "code": "..."}}
    {"code": 400, "message": "..."}

    no answer                                  Unavailable
    429, or too_many_requests in any body      Throttled
    own 401, 402, 403                          KeyRefused
    own 5xx, and 4xx that may pass             Unavailable
    own 3xx, 404, 405                          Unavailable; of all images, if nothing was ever read
    own other 4xx                              Rejected; likewise, unless it is about the file
    3xx, 404, 405 of another                   BadAnswer; of all images, if nothing was ever read
    all else of another                        BadAnswer: it may pass, and condemns nothing
    2xx that is no answer                      BadAnswer (upstage_answer.py)

Source: the status table of the Document OCR reference (2025 to 2026). 402 is not in it; it can
only be about money, so it is read like 403. What each may cost: docs/architecture.md.

`too_many_requests` is known to stand in either `type` or `code`, and also under a status other
than 429 (Upstage's own notebook tests for it).
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx2

from ocrlabel.errors import (
    BadAnswer,
    ConfigError,
    EngineUnusable,
    ImageError,
    KeyRefused,
    Rejected,
    Throttled,
    Unavailable,
)
from ocrlabel.labels import FailureClass
from ocrlabel.proxies import WITHOUT

_NOT_CONNECTED: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,  # raised while the tunnel is made, before the request
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)
TIMED_OUT: Final = (httpx2.ReadTimeout, httpx2.WriteTimeout)
TRANSLATED: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.CookieConflict,
    httpx2.StreamError,
    OSError,  # ssl.SSLError and socket errors that the client lets through
)
"""Everything that the client is known to raise. Roots: what derives from them is covered."""

_MEANING: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "the service calls the request wrong",
        401: "the service does not know this key",
        402: "payment is required",
        403: "the account has no credit left, or the key may not use OCR",
        404: "there is no OCR at this address",
        405: "there is no OCR at this address",
        413: "the file or its page count is too large for the service",
        415: "the service does not read this format",
        422: "the service calls the file damaged",
        429: "too many requests",
    }
)
_MESSAGE_CHARACTERS = 300
_ABOUT_THE_FILE: Final = frozenset({"413", "415", "422"})
_MAY_PASS: Final = frozenset({408, 409, 421, 423, 425, 499})
_ELSEWHERE: Final = frozenset({*range(300, 400), 404, 405})
_IN_FRONT: Final = frozenset({407, 511})  # a proxy's, and a network's that wants a login
RETRY_AFTER_MOST_S: Final = 3600.0
"""What asks for a longer wait is asked again after this."""
_HINTS: Final = tuple(f"x-upstage-ratelimit-retry-after-{unit}" for unit in ("requests", "pages"))
"""Nothing documents them: heard on a 429 that says nothing else."""
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_TAG: Final = re.compile(r"<[^>]*>?")
_EPOCH_S: Final = 1e9
"""No wait is so long: it is a time of day, in seconds since 1970."""


def of_transport(error: Exception, url: str, through: str = "") -> Unavailable:
    """What a failed exchange means. url and the proxy's words are for the message: no secrets."""
    url = f"{url} {through}".rstrip()
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, _NOT_CONNECTED):
        hopeless = any(map(_is_hopeless, _causes(error)))
        remedy = "is UPSTAGE_BASE_URL right, and the network up?"
        if through:
            remedy = f"does the proxy run, and is its address right? ({WITHOUT})"
        if any(getattr(cause, "reason", "") in _NO_TLS for cause in _causes(error)):
            remedy += " What answers there speaks no TLS: write http:// if that is meant"
        elif any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
            remedy += " A proxy or an own authority's certificate: name it in SSL_CERT_FILE"
        return Unavailable(
            f"cannot connect to {url} ({what}): {remedy}", ends=ConfigError if hopeless else None
        )
    if isinstance(error, TIMED_OUT):
        return Unavailable(f"no answer from {url} in time ({what})", failure=FailureClass.TIMED_OUT)
    return Unavailable(f"the exchange with {url} was cut ({what})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_hopeless(error: BaseException) -> bool:
    """It will not pass by itself: no trust in a certificate, no such host, no TLS."""
    if isinstance(error, socket.gaierror):
        return error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)}
    no_tls = getattr(error, "reason", "") in _NO_TLS
    return no_tls or isinstance(error, ssl.SSLCertVerificationError)


def of_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    url: str,
    through: str = "",
) -> ImageError | KeyRefused | None:
    """What an answer other than a good one means; None for a 2xx that complains of nothing.

    now_s is Unix time, for a wait that is given as a date. through: a proxy, in words.
    """
    complaint = complaint_of(body)
    wait_s = retry_after_s(headers.get("retry-after"), now_s)
    if status == 429 or (complaint is not None and complaint.throttled):
        hints = (retry_after_s(headers.get(name), now_s) for name in _HINTS)
        if wait_s is None:
            wait_s = max((hint_s for hint_s in hints if hint_s is not None), default=None)
        return Throttled(_message(429, complaint, url), status=status, retry_after_s=wait_s)
    is_page = _is_page(headers, body)
    if 200 <= status < 300 and not is_page:
        return None
    if complaint is None or not complaint.own:
        error = _of_another(status, headers, body, f"{url} {through}".rstrip())
        # what is in front of the service has not handed it on
        unsent = (is_page and status < 500) or status in _IN_FRONT or 300 <= status < 400
        error.sent, error.retry_after_s = not unsent, wait_s
        return error
    return _of_service(status, complaint, wait_s, url)


def _of_service(
    status: int, complaint: Complaint, wait_s: float | None, url: str
) -> ImageError | KeyRefused:
    if status >= 500 or status in _MAY_PASS:
        message = _message(status, complaint, url)
        return Unavailable(message, status=status, retry_after_s=wait_s)
    if status in {401, 402, 403}:
        return KeyRefused(_message(status, complaint), status=status)
    if status in _ELSEWHERE:
        message = f"{_message(status, complaint, url)}; check UPSTAGE_BASE_URL"
        return Unavailable(message, status=status, ends=ConfigError)
    about_the_file = bool({str(status), complaint.code} & _ABOUT_THE_FILE)
    message = _message(status, complaint)
    return Rejected(message, status=status, ends=None if about_the_file else EngineUnusable)


def _of_another(status: int, headers: Mapping[str, str], body: bytes, url: str) -> BadAnswer:
    failure = FailureClass.BAD_ANSWER if status < 300 else FailureClass.UNAVAILABLE
    if status in _ELSEWHERE:
        target = headers.get("location", "")
        there = f"it redirects to {target[:200]}" if target else "there is no OCR at this address"
        message = f"HTTP {status} from {url}: {there}; check UPSTAGE_BASE_URL"
        return BadAnswer(message, status=status, failure=failure, ends=ConfigError)
    said = _one_line(_TAG.sub(" ", body[:2000].decode("utf-8", "replace")))[:80]
    return BadAnswer(
        f"HTTP {status} from {url}, not in the service's words ({said or 'it is empty'}):"
        " is a login page, firewall or proxy in between?",
        status=status,
        failure=failure,
    )


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """HTML or text, as the service never answers."""
    start = body[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    is_text = headers.get("content-type", "").strip().lower().startswith("text/")
    return start.startswith(b"<") or (is_text and start[:1] not in {b"", b"{", b"["})


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds to wait from a Retry-After header, None if unreadable; at most RETRY_AFTER_MOST_S.

    Seconds, an HTTP date, or seconds or milliseconds since 1970 (the service's own headers carry
    seconds).
    """
    if value is None:
        return None
    try:
        seconds = float(value)
        if seconds >= _EPOCH_S:
            seconds = (seconds / 1000 if seconds >= 1000 * _EPOCH_S else seconds) - now_s
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(0.0, seconds), RETRY_AFTER_MOST_S) if math.isfinite(seconds) else None


def _message(status: int, complaint: Complaint | None, url: str = "") -> str:
    meaning = _MEANING.get(status, "the service failed" if status >= 500 else "refused")
    quoted = f' (it says "{complaint.message}")' if complaint and complaint.message else ""
    return f"HTTP {status}{f' from {url}' if url else ''}: {meaning}{quoted}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the body says went wrong; fit for a log line. own: in a documented shape."""

    message: str
    throttled: bool
    own: bool
    code: str


def json_of(body: bytes) -> object:
    """The JSON value in body. Raises ValueError, whatever the bytes are.

    NaN and Infinity are refused: they are no JSON, and no coordinate.
    """
    try:
        value: object = json.loads(body, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:  # also JSONDecodeError, UnicodeDecodeError, absurdly long integers
        raise ValueError(_one_line(str(error))) from error
    return value


def complaint_of(body: bytes) -> Complaint | None:
    """The complaint in a body, None where it is none (an answer, HTML, nothing)."""
    try:
        value = json_of(body)
    except ValueError:
        return None
    return complaint_in(value)


def complaint_in(value: object) -> Complaint | None:
    """Like complaint_of, for a body that is read already."""
    if not isinstance(value, Mapping) or "pages" in value:
        return None
    inner = value.get("error", value)
    if isinstance(inner, str):
        inner = {"message": inner}
    if not isinstance(inner, Mapping):
        return None
    code, kind, message = (_plain(inner.get(name)) for name in ("code", "type", "message"))
    if not (code or kind or message):
        return None
    throttled = "too_many_requests" in {code, kind} or code == "429"
    return Complaint(_one_line(message or code or kind), throttled, _is_own(value), code)


def _is_own(value: Mapping[str, object]) -> bool:
    """Whether a complaint has one of the two documented shapes."""
    inner, flat = value.get("error"), value.get("code")
    if isinstance(inner, Mapping):
        named = any(isinstance(inner.get(name), str) and inner[name] for name in ("type", "code"))
        return named and isinstance(inner.get("message"), str)
    is_status = isinstance(flat, int) and 400 <= flat <= 599
    return inner is None and is_status and isinstance(value.get("message"), str)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _one_line(text: str) -> str:
    """Short, and without anything that could forge a log line or fail to be written."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= _MESSAGE_CHARACTERS else shown[:_MESSAGE_CHARACTERS] + "…"
