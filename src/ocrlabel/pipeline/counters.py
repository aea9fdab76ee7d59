"""What this worker has done so far: counted from its events, told in its heartbeat."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ocrlabel.labels import Labelled
from ocrlabel.pipeline.budget.account import pages_at_risk, pages_charged
from ocrlabel.pipeline.events import Asked, Event, RowDone, Started
from ocrlabel.pipeline.runtime import Stop

_LATELY_S = 60.0


@dataclass(slots=True)
class Counters:
    """Passes every event on, and counts it. stop: tells why the worker ends early."""

    emit: Callable[[Event], None]
    stop: Stop | None = None
    labelled: int = 0
    failed: int = 0
    pages: int = 0
    words: int = 0
    spent_pages: int = 0
    price_per_page_usd: float = 0.0
    rate_per_s: float | None = None
    requests: Counter[str] = field(default_factory=Counter)
    _ends_s: deque[float] = field(default_factory=deque)
    """When the requests of the last minute ended (Unix s)."""
    _first_sent_s: float | None = None

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, RowDone):
            if isinstance(event.outcome, Labelled):
                self.labelled += 1
                self.pages += len(event.outcome.pages)
                self.words += sum(len(page.words) for page in event.outcome.pages)
            else:
                self.failed += 1
        elif isinstance(event, Asked):
            self._take(event)
        elif isinstance(event, Started):
            self.price_per_page_usd = event.price_per_page_usd
        self.emit(event)

    def _take(self, event: Asked) -> None:
        attempt = event.attempt
        self.requests[attempt.result.value] += 1
        self.spent_pages += pages_charged(attempt) + pages_at_risk(attempt)
        self.rate_per_s = event.rate_per_s
        # not the first to end: requests that are given up end in no order
        self._first_sent_s = min(self._first_sent_s or attempt.sent_at_s, attempt.sent_at_s)
        self._ends_s.append(attempt.sent_at_s + attempt.latency_s)
        while self._ends_s[0] < self._ends_s[-1] - _LATELY_S:
            self._ends_s.popleft()

    def told(self) -> dict[str, Any]:
        """Plain values for a heartbeat. lately: requests that ended, and since when they did."""
        rate = self.rate_per_s
        told = {
            "labelled": self.labelled,
            "failed": self.failed,
            "pages": self.pages,
            "spent_pages": self.spent_pages,
            "price_per_page_usd": self.price_per_page_usd,
            "requests": dict(self.requests),
            "rate_per_s": None if rate is None or rate == float("inf") else rate,
            "stopped": self.stop.reason if self.stop is not None else "",
        }
        if self._first_sent_s is not None:
            since_s = max(self._first_sent_s, self._ends_s[-1] - _LATELY_S)
            told["lately"] = {"requests": len(self._ends_s), "since_s": since_s}
        return told
