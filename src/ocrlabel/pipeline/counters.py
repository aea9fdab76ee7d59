"""What this worker has done so far: counted from its events, told in its heartbeat."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrlabel.errors import OcrLabelError
from ocrlabel.labels import AttemptResult, Labelled
from ocrlabel.pipeline.budget.account import pages_at_risk, pages_spent, unanswered
from ocrlabel.pipeline.events import Asked, Event, RowDone
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.workers.heartbeat import RecentRequests, WorkerReport

_LATELY_S = 60.0


@dataclass(slots=True)
class Counters:
    """Passes every event on, and counts it. stop: tells why the worker ends early.

    began_at_s: when the worker set to work (Unix s). cut_pages: perhaps billed for requests that
    were stopped under way.
    """

    emit: Callable[[Event], None]
    stop: Stop
    price_per_page_usd: float = 0.0
    began_at_s: float | None = None
    labelled: int = 0
    failed: int = 0
    pages: int = 0
    spent_pages: int = 0
    cut_pages: int = 0
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
            else:
                self.failed += 1
        elif isinstance(event, Asked):
            self._take(event)
        self.emit(event)

    def _take(self, event: Asked) -> None:
        attempt = event.attempt
        self.requests[attempt.result.value] += 1
        self.spent_pages += pages_spent(attempt)
        self.cut_pages += attempt.result is AttemptResult.UNKNOWN and pages_at_risk(attempt)
        self.rate_per_s = event.rate_per_s
        # not the first to end: requests that are given up end in no order
        self._first_sent_s = min(self._first_sent_s or attempt.sent_at_s, attempt.sent_at_s)
        self._ends_s.append(attempt.sent_at_s + attempt.latency_s)
        while self._ends_s[0] < self._ends_s[-1] - _LATELY_S:
            self._ends_s.popleft()

    def tell_of_cut(self, error: OcrLabelError) -> OcrLabelError:
        """The error that ended the worker, with what may have been paid for nothing."""
        if self.cut_pages and self.price_per_page_usd:
            requests = self.requests[AttemptResult.UNKNOWN.value]
            cost = unanswered(requests, self.cut_pages, self.price_per_page_usd)
            error.add_note(f"  {cost}")
        return error

    def report(self) -> WorkerReport:
        """For a heartbeat. lately: requests that ended, and since when they did."""
        rate, lately = self.rate_per_s, None
        if self._first_sent_s is not None:
            since_s = max(self._first_sent_s, self._ends_s[-1] - _LATELY_S)
            lately = RecentRequests(len(self._ends_s), since_s)
        return WorkerReport(
            began_at_s=self.began_at_s,
            labelled=self.labelled,
            failed=self.failed,
            pages=self.pages,
            spent_pages=self.spent_pages,
            price_per_page_usd=self.price_per_page_usd,
            requests=dict(self.requests),
            rate_per_s=None if rate == float("inf") else rate,
            stopped=self.stop.reason,
            lately=lately,
        )
