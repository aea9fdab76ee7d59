"""One key's limits on requests and on pages, asked together."""

from __future__ import annotations

from dataclasses import dataclass

from ocrlabel.fake.ledger import RateUse
from ocrlabel.fake.limiter import Limiter, limiter
from ocrlabel.fake.settings import Settings


@dataclass(frozen=True, slots=True)
class Over:
    """Over a limit, and when there is room again."""

    cause: str
    wait_s: float


class Gate:
    """Requests/s and pages/min of one key; a refused request uses up neither (assumption)."""

    def __init__(self, name: str, settings: Settings, use: RateUse, now_s: float) -> None:
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
