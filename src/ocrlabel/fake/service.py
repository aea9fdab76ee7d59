"""The service itself, without HTTP: a request comes in as a value, a reply goes out as one.

In this order: outage, key, document, rate, faults, credit, work, bill. That the rate is counted
before the document is judged, and credit after it, is an assumption.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ConfigError
from ocrlabel.fake.answers import (
    GATEWAY_PAGE,
    AnswerSource,
    Documents,
    Ending,
    Looked,
    Refused,
    Reply,
    error_body,
    retry_after,
)
from ocrlabel.fake.ledger import Ledger, LoggedRequest, RateUse
from ocrlabel.fake.limiter import Limiter, limiter
from ocrlabel.fake.settings import (
    FakeSettings,
    Fault,
    draw,
    fault_named,
    limits_named,
    parse_faults,
    parse_latency,
    parse_refusals,
)

_SNAPSHOT: Final = re.compile(r"ocr-(\d{6}|\d+\.\d+\.\d+)")
Change = Callable[[FakeSettings, Any], FakeSettings]


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of a request that matter; None where a part is missing."""

    key: str | None
    model: str | None
    document: bytes | None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request with everything that chance decides about it."""

    request: Received
    came_s: float
    key: str
    sha256: str
    uniform: float
    gauss: float


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
        self._documents = Documents()
        self._reserved_pages = 0
        self._outage: tuple[Fault, float] | None = None
        self._rng = random.Random(settings.seed)

    async def digitize(self, request: Received) -> Reply:
        """One POST. The entry is in the ledger when this returns, save for a hang."""
        came_s = self._clock()
        self._ledger.came()
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
            reply = self._error(refused.status, refused.message, cause=str(refused.status))
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
        self._ledger.over(entry)
        return reply

    def left(self, reply: Reply) -> None:
        """The client of a hang gave up."""
        if reply.entry is not None:
            took_s = self._clock() + self._offset_s - reply.entry.t_s
            self._ledger.over(replace(reply.entry, took_s=round(took_s, 6)))

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

    def error(self, status: int, message: str) -> Reply:
        """An error in the shape that is set, for what never comes as far as digitize."""
        return self._error(status, message)

    async def _reply(self, visit: _Visit) -> Reply:
        if self._outage is not None and self._clock() < self._outage[1]:
            return await self._failing(self._outage[0], visit, Looked("", ()))
        self._refuse_key(visit.key)
        looked = self._look(visit)
        pages = len(looked.page_sizes_px) if isinstance(looked, Looked) else 0
        over = self._gate(visit).enter(visit.came_s, pages)
        if over is not None:
            headers = retry_after(over.wait_s) if self._settings.headers else {}
            return self._error(429, "too many requests", headers, cause=over.cause)
        if isinstance(looked, Refused):
            raise looked
        fault = draw(self._settings.faults, visit.uniform)
        if fault is not None:
            return await self._failing(fault, visit, looked)
        return await self._worked(visit, looked)

    async def _worked(self, visit: _Visit, looked: Looked) -> Reply:
        """Read, and billed: the client may be gone by the time it is done."""
        pages = len(looked.page_sizes_px)
        credit = self._settings.credit_pages
        if credit is not None and self._ledger.billed_pages + self._reserved_pages + pages > credit:
            raise Refused(403, "insufficient credit")
        self._reserved_pages += pages
        try:
            await self._sleep(self._settings.latency.of(visit.gauss))
            document, version = visit.request.document or b"", self._version(visit.request.model)
            body = await self._answers.body(document, looked, version)
        finally:
            self._reserved_pages -= pages
        return Reply(200, body, headers=self._headers(), pages=pages, billed=pages)

    async def _failing(self, fault: Fault, visit: _Visit, looked: Looked) -> Reply:
        done = Reply(None)
        if fault.works:
            done = await self._worked(visit, looked)
        reply = replace(done, cause=fault.name, pages=len(looked.page_sizes_px))
        if fault.status is not None:
            wait = {429, 503} & {fault.status} and self._settings.headers
            error = self._error(fault.status, fault.name, retry_after(1) if wait else {})
            return replace(reply, status=error.status, body=error.body, headers=error.headers)
        match fault.name:
            case "html":
                return replace(reply, status=200, body=GATEWAY_PAGE, content_type="text/html")
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

    def _look(self, visit: _Visit) -> Looked | Refused:
        request = visit.request
        if not request.model or not (request.model == "ocr" or _SNAPSHOT.fullmatch(request.model)):
            return Refused(400, "model is missing" if not request.model else "invalid model name")
        if request.schema:
            return Refused(400, "this fake does not convert answers: leave schema out")
        if request.document is None:
            return Refused(400, "document is missing")
        return self._documents.look(request.document, visit.sha256, self._settings.limits)

    def _gate(self, visit: _Visit) -> Gate:
        if visit.key not in self._gates:
            self._gates[visit.key] = self._new_gate(visit.key)
        return self._gates[visit.key]

    def _new_gate(self, name: str) -> Gate:
        return Gate(name, self._settings, self._ledger.rate_use(name), self._clock())

    def _name_of(self, secret: str | None) -> str:
        """The name of a key, "" for what cannot be one."""
        try:
            keys = parse_keys(f"{secret}@1") if secret else ()
        except ConfigError:
            return ""
        return keys[0].name if len(keys) == 1 else ""

    def _version(self, model: str | None) -> str:
        return model if model and model != "ocr" else self._settings.limits.model_version

    def _headers(self) -> dict[str, str]:
        """Seen once on a live call of Document Parse; that OCR sends it is an assumption."""
        ppm = self._settings.pages_per_minute
        if not self._settings.headers:
            return {}
        request_id = f"fake-{self._rng.getrandbits(64):016x}"
        return {"X-Upstage-Ratelimit-Limit-Pages": f"{ppm or 300:g}", "X-Request-Id": request_id}

    def _error(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, cause: str = ""
    ) -> Reply:
        body = error_body(status, message, self._settings.error_shape)
        return Reply(status, body, headers={**self._headers(), **(headers or {})}, cause=cause)


@dataclass(frozen=True, slots=True)
class Over:
    """Over a limit, and when there is room again."""

    cause: str
    wait_s: float


class Gate:
    """Requests/s and pages/min of one key; a refused request uses up neither (assumption)."""

    def __init__(self, name: str, settings: FakeSettings, use: RateUse, now_s: float) -> None:
        own = next((key for key in settings.keys if key.name == name), None)
        rps = own.requests_per_s if own else None
        ppm = own.pages_per_minute if own else None
        self._requests: Limiter | None = None
        self._pages: Limiter | None = None
        self._use = use
        rps = settings.requests_per_s if rps is None else rps
        ppm = settings.pages_per_minute if ppm is None else ppm
        if rps is not None:
            self._requests = limiter(settings.limiter, rps, 1.0, settings.burst)
        if ppm is not None:
            self._pages = limiter(settings.limiter, ppm, 60.0, None)
        use.allowed_from(now_s, rps)

    def enter(self, now_s: float, pages: int) -> Over | None:
        """None when the request may pass."""
        for cause, limit, cost in (("rps", self._requests, 1), ("ppm", self._pages, pages)):
            if limit is not None and (wait_s := limit.wait_s(now_s, cost)) > 0:
                self._use.throttled()
                return Over(cause, wait_s)
        if self._requests is not None:
            self._requests.take(now_s)
        if self._pages is not None:
            self._pages.take(now_s, pages)
        self._use.passed(now_s)
        return None


def changed(settings: FakeSettings, changes: Mapping[str, object]) -> FakeSettings:
    """The settings with these changes. Raises ConfigError; then nothing is changed."""
    for name, value in changes.items():
        if name not in _CHANGES:
            raise ConfigError(f"no setting is called {name!r}: {', '.join(sorted(_CHANGES))}")
        try:
            settings = _CHANGES[name](settings, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{name} cannot be {value!r}") from error
    return settings


def _rps(settings: FakeSettings, value: Any) -> FakeSettings:
    if not isinstance(value, Mapping):
        rate = _positive(value)
        keys = tuple(replace(key, requests_per_s=rate) for key in settings.keys)
        return replace(settings, requests_per_s=rate, keys=keys)
    known = {name for key in settings.keys for name in (key.name, key.secret)}
    if unknown := set(value) - known:
        raise ConfigError(f"no key is called {min(unknown)!r}")
    return replace(
        settings,
        keys=tuple(
            replace(key, requests_per_s=_positive(value[name]))
            if (name := key.name if key.name in value else key.secret) in value
            else key
            for key in settings.keys
        ),
    )


def _pages_per_minute(settings: FakeSettings, value: Any) -> FakeSettings:
    rate = _positive(value)
    keys = tuple(replace(key, pages_per_minute=rate) for key in settings.keys)
    return replace(settings, pages_per_minute=rate, keys=keys)


def _limiter(settings: FakeSettings, value: Any) -> FakeSettings:
    if value not in {"bucket", "fixed", "sliding"}:
        raise ValueError(value)
    return replace(settings, limiter=value)


def _error_shape(settings: FakeSettings, value: Any) -> FakeSettings:
    if value not in {"nested", "flat"}:
        raise ValueError(value)
    return replace(settings, error_shape=value)


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not 0 < (rate := float(value)) < 1e6:
        raise ValueError(value)
    return rate


_CHANGES: Final[Mapping[str, Change]] = {
    "fail": lambda settings, value: replace(settings, faults=parse_faults(value)),
    "latency": lambda settings, value: replace(settings, latency=parse_latency(str(value))),
    "limits": lambda settings, value: replace(settings, limits=limits_named(str(value))),
    "headers": lambda settings, value: replace(settings, headers=bool(value)),
    "credit": lambda settings, value: replace(
        settings, credit_pages=None if value is None else int(value)
    ),
    "refuse": lambda settings, value: replace(
        settings, refusals=parse_refusals(value, settings.keys)
    ),
    "rps": _rps,
    "pages_per_minute": _pages_per_minute,
    "limiter": _limiter,
    "error_shape": _error_shape,
}
