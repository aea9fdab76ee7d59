"""Each key's gate, and three ways in which a service may count against a rate.

How Upstage counts is not documented (assumption: any of these), so a client has to do well under
all three. Times are seconds of one clock that the caller reads.

Of a limit, `wait_s` is 0 when `cost` may pass now, else the seconds until it may. Only `take`
counts, so that two limits can be asked before either is used up.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

from ocrlabel.fake.ledger import RateUse
from ocrlabel.fake.settings import FakeSettings, LimiterKind

_ROUNDING = 1e-9


class Gate:
    """Requests/s and pages/min of one key; a refused request uses up neither (assumption)."""

    def __init__(self, name: str, settings: FakeSettings, use: RateUse, now_s: float) -> None:
        rps, ppm = settings.requests_per_s, settings.pages_per_minute
        for key in settings.keys:
            if key.name == name:
                rps = rps if key.requests_per_s is None else key.requests_per_s
                ppm = ppm if key.pages_per_minute is None else key.pages_per_minute
                break
        kind = settings.limiter
        self._requests = None if rps is None else limiter(kind, rps, 1.0, settings.burst)
        self._pages = None if ppm is None else limiter(kind, ppm, 60.0, None)
        self._use = use
        use.allowed_from(now_s, rps)

    def enter(self, now_s: float, pages: int) -> tuple[str, float] | None:
        """None when the request may pass, else which limit it is over, and for how many s."""
        for cause, limit, cost in (("rps", self._requests, 1), ("ppm", self._pages, pages)):
            if limit is not None and (wait_s := limit.wait_s(now_s, cost)) > 0:
                self._use.throttled()
                return cause, wait_s
        if self._requests is not None:
            self._requests.take(now_s)
        if self._pages is not None:
            self._pages.take(now_s, pages)
        self._use.passed(now_s)
        return None


def limiter(kind: LimiterKind, amount: float, period_s: float, burst: float | None) -> Limiter:
    """`amount` per `period_s`. burst is the bucket's size; by default what one period allows.

    Something that costs more than a whole period's amount passes when nothing else did: a
    hundred-page file is throttled, never locked out (assumption).
    """
    if kind == "bucket":
        return Bucket(amount / period_s, max(1.0, burst or math.ceil(amount)))
    # below one per period a window would never let anything through
    period_s *= max(1.0, 1.0 / amount)
    window = FixedWindow if kind == "fixed" else SlidingWindow
    return window(max(1.0, amount), period_s)


class Bucket:
    """A token bucket that starts full."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._level = burst
        self._seen_s = -math.inf

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """0 when the bucket holds the cost, or is full."""
        self._refill(now_s)
        missing = min(cost, self._burst) - self._level
        return 0.0 if missing <= _ROUNDING else missing / self._rate_per_s

    def take(self, now_s: float, cost: float = 1.0) -> None:
        """Below zero the rest is owed."""
        self._refill(now_s)
        self._level -= cost

    def _refill(self, now_s: float) -> None:
        passed_s = now_s - self._seen_s
        self._level = min(self._burst, self._level + passed_s * self._rate_per_s)
        self._seen_s = now_s


class FixedWindow:
    """Counts from zero at every full period of the clock."""

    def __init__(self, amount: float, period_s: float) -> None:
        self._amount = amount
        self._period_s = period_s
        self._window = -math.inf
        self._used = 0.0

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """0 within the amount, else the rest of the period."""
        self._turn(now_s)
        if self._used == 0 or self._used + cost <= self._amount + _ROUNDING:
            return 0.0
        return (self._window + 1) * self._period_s - now_s

    def take(self, now_s: float, cost: float = 1.0) -> None:
        """Counted in the period that now is in."""
        self._turn(now_s)
        self._used += cost

    def _turn(self, now_s: float) -> None:
        window = math.floor(now_s / self._period_s)
        if window != self._window:
            self._window, self._used = window, 0.0


class SlidingWindow:
    """Remembers each passage for one period: never more than the amount within any period."""

    def __init__(self, amount: float, period_s: float) -> None:
        self._amount = amount
        self._period_s = period_s
        self._passed: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """0 within the amount, else until enough is a period old."""
        self._forget(now_s)
        excess = self._used + cost - self._amount
        if not self._passed or excess <= _ROUNDING:
            return 0.0
        free_s = now_s
        for passed_s, passed in self._passed:
            excess -= passed
            free_s = passed_s + self._period_s
            if excess <= _ROUNDING:
                break
        return free_s - now_s

    def take(self, now_s: float, cost: float = 1.0) -> None:
        """Remembered for one period."""
        self._forget(now_s)
        self._passed.append((now_s, cost))
        self._used += cost

    def _forget(self, now_s: float) -> None:
        while self._passed and self._passed[0][0] + self._period_s <= now_s:
            self._used -= self._passed.popleft()[1]
        if not self._passed:
            self._used = 0.0


Limiter: TypeAlias = Bucket | FixedWindow | SlidingWindow
