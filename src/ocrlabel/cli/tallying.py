"""What a progress display needs to know, kept up from a run's events: plain numbers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrlabel.labels import Failed, Labelled
from ocrlabel.pipeline.account import pages_at_risk, pages_charged
from ocrlabel.pipeline.events import Asked, Event, RowDone, Started

_WINDOW_S = 60.0


@dataclass(slots=True)
class Progress:
    """Counts of a run as this process sees it. Rates are over the last minute."""

    clock: Callable[[], float]
    rows: int = 0
    done: int = 0
    failed: int = 0
    words: int = 0
    price_per_page_usd: float = 0.0
    spent_pages: int = 0
    throttled: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    began_s: float = 0.0
    fresh: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def take(self, event: Event) -> None:
        """Take in one event."""
        now_s = self.clock()
        match event:
            case Started():
                self.rows, self.done, self.failed = event.rows, event.done, event.failed
                self.price_per_page_usd = event.price_per_page_usd
                self.spent_pages = event.spent_pages
                self.began_s = now_s
            case RowDone(outcome=Labelled() as labelled):
                self._one_more(now_s)
                self.words += sum(len(page.words) for page in labelled.pages)
            case RowDone(outcome=Failed() as failed):
                self._one_more(now_s)
                self.failed += 1
                self.failures[failed.failure.value] += 1
            case Asked(attempt=attempt):
                self.spent_pages += pages_charged(attempt) + pages_at_risk(attempt)
                self.throttled += attempt.result.value == "throttled"
            case _:
                pass

    def _one_more(self, now_s: float) -> None:
        self.done += 1
        self.fresh += 1
        self._recent.append(now_s)
        while self._recent and self._recent[0] < now_s - _WINDOW_S:
            self._recent.popleft()

    @property
    def images_per_s(self) -> float:
        """Images done per second over the last minute, or since the start."""
        if not self._recent:
            return 0.0
        now_s = self.clock()
        since_s = max(self.began_s, now_s - _WINDOW_S)
        return len(self._recent) / max(now_s - since_s, 1e-3)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the present rate, None while there is none."""
        rate = self.images_per_s
        return (self.rows - self.done) / rate if rate > 0 else None

    @property
    def spent_usd(self) -> float:
        """Billed, and perhaps billed."""
        return self.spent_pages * self.price_per_page_usd

    @property
    def projected_usd(self) -> float:
        """What the whole will have cost, if it goes on as it went."""
        return self.spent_usd / self.done * self.rows if self.done else 0.0


def shown_duration(seconds: float) -> str:
    """A time for people: 42 s, 18 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def progress_line(progress: Progress) -> str:
    """The state as one line of plain text."""
    parts = [f"{progress.done:,} of {progress.rows:,} done"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    parts.append(f"{progress.images_per_s:.2f} images/s")
    if progress.left_s is not None:
        parts.append(f"{shown_duration(progress.left_s)} left")
    if progress.price_per_page_usd:
        parts.append(f"{progress.spent_usd:.2f} of about {progress.projected_usd:.2f} USD spent")
    return ", ".join(parts)
