"""The service itself, without HTTP: a request comes in as a value, a reply goes out as one.

In this order: outage, key, document, rate, faults, credit, work, bill. That the rate is counted
before the document is judged, and credit after it, is an assumption.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from typing import Final

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ConfigError
from ocrlabel.fake.answers import AnswerSource
from ocrlabel.fake.documents import PageSizes, Refused, judge
from ocrlabel.fake.ledger import Ledger, LoggedRequest
from ocrlabel.fake.limiter import Gate
from ocrlabel.fake.settings import (
    DocumentLimits,
    ErrorShape,
    FakeSettings,
    Fault,
    changed,
    draw,
    fault_named,
)

_SNAPSHOT: Final = re.compile(r"ocr-(\d{6}|\d+\.\d+\.\d+)")
_MOST_JUDGED: Final = 10_000
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


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of a request that matter; None where a part is missing."""

    key: str | None
    model: str | None
    document: bytes | None
    schema: str | None = None


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
    entry: LoggedRequest | None = None


class Service:
    """clock counts seconds; started_at_s is added to the times in the log (Unix time, or 0)."""

    def __init__(
        self,
        settings: FakeSettings,
        answers: AnswerSource,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        log: Callable[[LoggedRequest], None],
        started_at_s: float = 0.0,
    ) -> None:
        self._settings = settings
        self._answers = answers
        self._clock = clock
        self._sleep = sleep
        self._offset_s = started_at_s - clock() if started_at_s else 0.0
        self._ledger = Ledger(log)
        self._gates: dict[str, Gate] = {}
        self._requests: Counter[str] = Counter()
        self._judged: dict[tuple[str, DocumentLimits], PageSizes | Refused] = {}
        self._reserved_pages = 0
        self._outage: tuple[Fault, float] | None = None
        self._rng = random.Random(settings.seed)

    async def digitize(self, request: Received) -> Reply:
        """One POST. The entry is in the ledger when this returns, save for a hang."""
        came_s = self._clock()
        self._ledger.began()
        digest = sha256(request.document).hexdigest() if request.document else ""
        visit = _Visit(
            request,
            came_s,
            self._name_of(request.key),
            digest,
            self._rng.random(),
            self._rng.gauss(),
        )
        try:
            reply = await self._reply(visit)
        except Refused as refused:
            reply = self.error(refused.status, refused.message, cause=str(refused.status))
        entry = LoggedRequest(
            t_s=round(came_s + self._offset_s, 6),
            took_s=round(self._clock() - came_s, 6),
            key=visit.key,
            sha256=digest,
            pages=reply.pages,
            status=reply.status,
            billed=reply.billed,
            cause=reply.cause,
        )
        if reply.ending is Ending.HANG:
            return replace(reply, entry=entry)
        self._ledger.ended(entry)
        return reply

    def left(self, reply: Reply) -> None:
        """The client of a hang gave up."""
        if reply.entry is not None:
            took_s = self._clock() + self._offset_s - reply.entry.t_s
            self._ledger.ended(replace(reply.entry, took_s=round(took_s, 6)))

    def stats(self) -> dict[str, object]:
        """Counts so far."""
        return self._ledger.stats()

    def control(self, changes: Mapping[str, object]) -> None:
        """Change how it behaves from now on. Raises ConfigError; then nothing is changed."""
        rest = dict(changes)
        outage, for_s = rest.pop("outage", self), rest.pop("for_s", 0)
        if not isinstance(for_s, int | float):
            raise ConfigError(f"for_s is a number of seconds, not {for_s!r}")
        settings = changed(self._settings, rest)
        if outage is not self:
            until_s = self._clock() + for_s if for_s else float("inf")
            self._outage = (fault_named(str(outage)), until_s) if outage else None
        self._settings = settings
        if rest.keys() & {"rps", "pages_per_minute", "limiter"}:
            for name in self._gates:
                self._gates[name] = self._new_gate(name)

    def error(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, cause: str = ""
    ) -> Reply:
        """An error in the shape that is set; also for what never comes as far as digitize."""
        body = error_body(status, message, self._settings.error_shape)
        return Reply(status, body, headers={**self._headers(), **(headers or {})}, cause=cause)

    async def _reply(self, visit: _Visit) -> Reply:
        if self._outage is not None and self._clock() < self._outage[1]:
            return await self._failing(self._outage[0], visit, ())
        self._refuse_key(visit.key)
        judged = self._judge(visit)
        pages = 0 if isinstance(judged, Refused) else len(judged)
        if visit.key not in self._gates:
            self._gates[visit.key] = self._new_gate(visit.key)
        over = self._gates[visit.key].enter(visit.came_s, pages)
        if over is not None:
            cause, wait_s = over
            headers = self._wait(wait_s, "Pages" if cause == "ppm" else "Requests")
            return self.error(429, "too many requests", headers, cause=cause)
        if isinstance(judged, Refused):
            raise judged
        fault = draw(self._settings.faults, visit.uniform)
        if fault is not None:
            return await self._failing(fault, visit, judged)
        return await self._worked(visit, judged)

    async def _worked(self, visit: _Visit, page_sizes_px: PageSizes) -> Reply:
        """Read, and billed: the client may be gone by the time it is done."""
        pages = len(page_sizes_px)
        credit = self._settings.credit_pages
        if credit is not None and self._ledger.billed_pages + self._reserved_pages + pages > credit:
            raise Refused(403, "insufficient credit")
        self._reserved_pages += pages
        try:
            await self._sleep(self._settings.latency.of(visit.gauss))
            document, model = visit.request.document or b"", visit.request.model
            version = model if model and model != "ocr" else self._settings.limits.model_version
            body = await self._answers(document, page_sizes_px, version)
        finally:
            self._reserved_pages -= pages
        return Reply(200, body, headers=self._headers(), pages=pages, billed=pages)

    async def _failing(self, fault: Fault, visit: _Visit, page_sizes_px: PageSizes) -> Reply:
        done = Reply(None)
        if fault.works:
            done = await self._worked(visit, page_sizes_px)
        reply = replace(done, cause=fault.name, pages=len(page_sizes_px))
        if fault.status is not None and not fault.html:
            headers = self._wait(1) if fault.status in {429, 503} else {}
            error = self.error(fault.status, fault.name, headers)
            return replace(reply, status=error.status, body=error.body, headers=error.headers)
        match fault.name:
            case _ if fault.html:
                page = replace(reply, body=GATEWAY_PAGE, content_type="text/html")
                return replace(page, status=fault.status, headers={"Location": "/login"})
            case "cut-json":
                return replace(reply, body=done.body[: len(done.body) // 2])
            case "cut-body":
                return replace(reply, ending=Ending.CUT)
            case "hang":
                return replace(reply, ending=Ending.HANG)
            case _:  # drop-before, drop-after
                return replace(reply, status=None, body=b"", ending=Ending.CUT)

    def _refuse_key(self, name: str) -> None:
        known = {key.name for key in self._settings.keys}
        if not name or (known and name not in known):
            raise Refused(401, "invalid API key")
        self._requests[name] += 1
        for refusal in self._settings.refusals:
            if refusal.key == name and self._requests[name] > refusal.after_requests:
                what = "insufficient credit" if refusal.status == 403 else "invalid API key"
                raise Refused(refusal.status, what)

    def _judge(self, visit: _Visit) -> PageSizes | Refused:
        request = visit.request
        if not request.model or not (request.model == "ocr" or _SNAPSHOT.fullmatch(request.model)):
            return Refused(400, "model is missing" if not request.model else "invalid model name")
        if request.schema:
            return Refused(400, "this fake does not convert answers: leave schema out")
        if request.document is None:
            return Refused(400, "document is missing")
        seen = visit.sha256, self._settings.limits
        if seen not in self._judged:  # most of a rehearsal is the same files again
            try:
                self._judged[seen] = judge(request.document, self._settings.limits)
            except Refused as refused:
                self._judged[seen] = refused
            if len(self._judged) > _MOST_JUDGED:
                del self._judged[next(iter(self._judged))]
        return self._judged[seen]

    def _new_gate(self, name: str) -> Gate:
        return Gate(name, self._settings, self._ledger.rate_use(name), self._clock())

    def _name_of(self, secret: str | None) -> str:
        """The name of a key, "" for what cannot be one."""
        try:
            keys = parse_keys(f"{secret}@1") if secret else ()
        except ConfigError:
            return ""
        return keys[0].name if len(keys) == 1 else ""

    def _headers(self) -> dict[str, str]:
        """Seen on live calls of other models; that OCR sends them is an assumption."""
        ppm, rps = self._settings.pages_per_minute, self._settings.requests_per_s
        if not self._settings.headers:
            return {}
        request_id = f"fake-{self._rng.getrandbits(64):016x}"
        limits = {"Pages": ppm or 300, "Requests": 60 * (rps or 1)}
        told = {f"X-Upstage-RateLimit-Limit-{unit}": f"{most:g}" for unit, most in limits.items()}
        return {"X-Request-Id": request_id, **told}

    def _wait(self, wait_s: float, unit: str = "Requests") -> dict[str, str]:
        """Retry-After in whole seconds, at least one; its sibling in seconds since 1970."""
        if self._settings.retry_after:
            return {"Retry-After": self._settings.retry_after}
        if not self._settings.headers:
            return {}
        seconds = max(1, math.ceil(wait_s))
        at_s = math.ceil(self._clock() + self._offset_s) + seconds
        sibling = f"X-Upstage-RateLimit-Retry-After-{unit}"
        return {"Retry-After": str(seconds), sibling: str(at_s)}


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request with everything that chance decides about it."""

    request: Received
    came_s: float
    key: str
    sha256: str
    uniform: float
    gauss: float


def error_body(status: int, message: str, shape: ErrorShape) -> bytes:
    """Both shapes are documented; which one the service uses when is not."""
    if shape == "flat":
        return json.dumps({"code": status, "message": message}).encode()
    code = _CODES.get(status, "server_error")
    return json.dumps({"error": {"code": code, "message": message, "type": code}}).encode()
