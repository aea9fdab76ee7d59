"""What goes back over the wire, as values; app.py puts it there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ocrlabel.fake.ledger import Entry
from ocrlabel.fake.settings import ErrorShape

GATEWAY_PAGE: Final = (
    b"<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"
)

# Only too_many_requests is known; the other codes are invented (assumption).
_CODES: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "insufficient_credit",
    413: "file_too_large",
    415: "unsupported_format",
    422: "corrupted_document",
    429: "too_many_requests",
}


class Ending(Enum):
    """How the exchange ends: after all bytes, after half of them or none, or not at all."""

    WHOLE = "whole"
    CUT = "cut"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Reply:
    """billed, pages and cause are for the ledger; entry is set while a HANG is still open."""

    status: int | None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = Ending.WHOLE
    pages: int = 0
    billed: int = 0
    cause: str = ""
    entry: Entry | None = None


def error_body(status: int, message: str, shape: ErrorShape) -> bytes:
    """Both shapes are documented; which one the service uses when is not."""
    if shape == "flat":
        return json.dumps({"code": status, "message": message}).encode()
    code = _CODES.get(status, "server_error")
    return json.dumps({"error": {"code": code, "message": message, "type": code}}).encode()


def retry_after(wait_s: float) -> dict[str, str]:
    """Whole seconds, at least one: the header knows no fractions."""
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
