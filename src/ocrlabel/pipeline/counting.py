"""What this worker has done so far: counted from its events, told in its heartbeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ocrlabel.labels import Labelled
from ocrlabel.pipeline.events import Asked, Event, RowDone
from ocrlabel.pipeline.money.account import pages_at_risk, pages_charged


@dataclass(slots=True)
class Counters:
    """Passes every event on, and counts it."""

    emit: Callable[[Event], None]
    labelled: int = 0
    failed: int = 0
    pages: int = 0
    words: int = 0
    spent_pages: int = 0
    rate_per_s: float | None = None
    requests: Counter[str] = field(default_factory=Counter)

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
            self.requests[event.attempt.result.value] += 1
            self.spent_pages += pages_charged(event.attempt) + pages_at_risk(event.attempt)
            self.rate_per_s = event.rate_per_s
        self.emit(event)

    def told(self) -> dict[str, Any]:
        """Plain values for a heartbeat."""
        rate = self.rate_per_s
        return {
            "labelled": self.labelled,
            "failed": self.failed,
            "pages": self.pages,
            "spent_pages": self.spent_pages,
            "requests": dict(self.requests),
            "rate_per_s": None if rate is None or rate == float("inf") else rate,
        }
