"""HTTP into ocrlabel's errors: the only place where a status or a transport error is judged.

    could not connect, pool full               Unavailable(sent=False)
    write, read, time-out, cut, garbled        Unavailable: perhaps done, perhaps billed
    429, or too_many_requests in any body      Throttled
    5xx                                        Unavailable
    401, 402, 403                              KeyRefused
    3xx, 404, 405                              Unavailable: this is not where OCR is
    all other 4xx                              Rejected
    2xx that is no answer                      BadAnswer (upstage_answer.py)

Source: the status table of the Document OCR reference (2025 to 2026). 402 is not in it; it can
only be about money, so it is read like 403.

The service complains in one of two shapes, both documented:

    {"error": {"message": "...", "type": "...", "code": "..."}}
    {"code": 400, "message": "..."}

`too_many_requests` is known to stand in either `type` or `code`, and also under a status other
than 429 (Upstage's own notebook tests for it).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx2

from ocrlabel.errors import ImageError, KeyRefused, Rejected, Throttled, Unavailable
from ocrlabel.labels import FailureClass

NEVER_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,  # raised while the tunnel is made, before the request
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,  # refused by our own side's HTTP parser
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
        413: "the file or its page count is too large for the service",
        415: "the service does not read this format",
        422: "the service calls the file damaged",
        429: "too many requests",
    }
)
_MESSAGE_CHARACTERS = 300


def of_transport(error: Exception, url: str) -> Unavailable:
    """What a failed exchange means. url is for the message; it holds no secret."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, NEVER_SENT):
        return Unavailable(
            f"cannot connect to {url} ({what}): is UPSTAGE_BASE_URL right, and the network up?",
            sent=False,
        )
    if isinstance(error, TIMED_OUT):
        return Unavailable(f"no answer from {url} in time ({what})", failure=FailureClass.TIMED_OUT)
    return Unavailable(f"the exchange with {url} was cut ({what})")


def of_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, now_s: float, url: str
) -> ImageError | KeyRefused | None:
    """What an answer other than a good one means; None for a 2xx that complains of nothing.

    now_s is Unix time, for a Retry-After that is a date.
    """
    complaint = complaint_of(body)
    wait_s = retry_after_s(headers.get("retry-after"), now_s)
    if status == 429 or (complaint is not None and complaint.throttled):
        return Throttled(_message(429, complaint, url), status=status, retry_after_s=wait_s)
    if status >= 500:
        message = _message(status, complaint, url)
        return Unavailable(message, status=status, retry_after_s=wait_s)
    if status in {401, 402, 403}:
        return KeyRefused(_message(status, complaint), status=status)
    if is_elsewhere(status):
        target = headers.get("location", "")
        there = f"it redirects to {target[:200]}" if target else "there is no OCR at this address"
        return Unavailable(
            f"HTTP {status} from {url}: {there}; check UPSTAGE_BASE_URL", status=status
        )
    if status >= 400:
        return Rejected(_message(status, complaint), status=status)
    return None


def is_elsewhere(status: int) -> bool:
    """Whether this status says that there is no OCR at the address, for any image."""
    return status in {404, 405} or 300 <= status < 400


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds to wait from a Retry-After header (seconds or an HTTP date), None if unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _message(status: int, complaint: Complaint | None, url: str = "") -> str:
    meaning = _MEANING.get(status, "the service failed" if status >= 500 else "refused")
    quoted = f' (it says "{complaint.message}")' if complaint and complaint.message else ""
    return f"HTTP {status}{f' from {url}' if url else ''}: {meaning}{quoted}"


class NotJson(ValueError):
    """The bytes are not JSON that this reader takes."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the service says went wrong; fit for a log line."""

    message: str
    throttled: bool


def json_of(body: bytes) -> object:
    """The JSON value in body. Raises NotJson, whatever the bytes are.

    NaN and Infinity are refused: they are no JSON, and no coordinate.
    """
    try:
        value: object = json.loads(body, parse_constant=_refuse)
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except ValueError as error:  # also JSONDecodeError, UnicodeDecodeError, absurdly long integers
        raise NotJson(_one_line(str(error))) from error
    return value


def complaint_of(body: bytes) -> Complaint | None:
    """The complaint in a body, None where it is none (an answer, HTML, nothing)."""
    try:
        value = json_of(body)
    except NotJson:
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
    return Complaint(_one_line(message or code or kind), throttled)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""


def _refuse(constant: str) -> object:
    raise NotJson(f"{constant} is no JSON")


def _one_line(text: str) -> str:
    """Short, and without anything that could forge a log line or fail to be written."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= _MESSAGE_CHARACTERS else shown[:_MESSAGE_CHARACTERS] + "…"
