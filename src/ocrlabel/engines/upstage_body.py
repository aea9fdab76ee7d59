"""Bytes into JSON values, and the service's two ways to complain into one.

    {"error": {"message": "...", "type": "...", "code": "..."}}
    {"code": 400, "message": "..."}

Both are documented. `too_many_requests` is known to stand in either `type` or `code`, and also
under a status other than 429 (Upstage's own notebook tests for it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

_MESSAGE_CHARACTERS = 300


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
