"""What a progress display needs to know, kept up from a run's events: plain numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrlabel.labels import Failed
from ocrlabel.pipeline.events import AllSettled, Asked, Event, Fleet, RowDone, Started
from ocrlabel.pipeline.money.account import pages_at_risk, pages_charged
from ocrlabel.wording import counted, usd

_WINDOW_S = 60.0
_ENOUGH_ROWS = 5
_ENOUGH_S = 5.0
"""Fewer rows, or less time, say nothing about how long the rest takes."""

_NOTHING_YET = Started(0, 0, 0, engine="", price_per_page_usd=0.0, spent_pages=0)


@dataclass(slots=True)
class Progress:
    """Counts of a run: what was done before, here, and by its other workers.

    done_here, failed_here, spent_here and throttled are this process's own. Rates are over the
    last minute.
    """

    clock: Callable[[], float]
    done_here: int = 0
    failed_here: int = 0
    spent_here: int = 0
    throttled: int = 0
    began_s: float = 0.0
    others: Fleet = field(default_factory=lambda: Fleet(0))
    _start: Started = _NOTHING_YET
    _all_settled: bool = False
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Started():
                self._start, self.others = event, Fleet(self.others.workers)
                self.done_here = self.failed_here = self.spent_here = 0
                self._all_settled = False
                self.began_s = self.clock()
                self._recent.clear()
            case RowDone(outcome=outcome):
                self.done_here += 1
                self.failed_here += isinstance(outcome, Failed)
                self._more(1)
            case Asked(attempt=attempt):
                self.spent_here += pages_charged(attempt) + pages_at_risk(attempt)
                self.throttled += attempt.result.value == "throttled"
            case Fleet():
                before, self.others = self.others, event
                self._more(_rows(event) - _rows(before))
            case AllSettled():
                self._all_settled = True
            case _:
                pass

    def _more(self, rows: int) -> None:
        now_s = self.clock()
        if rows > 0:
            self._recent.append((now_s, rows))
        while self._recent and self._recent[0][0] < now_s - _WINDOW_S:
            self._recent.popleft()

    @property
    def rows(self) -> int:
        """How many rows this command is to do."""
        return self._start.rows

    @property
    def done(self) -> int:
        """Rows that have their outcome, whoever saw to them."""
        known = self._start.done + self.done_here + _rows(self.others)
        return self.rows if self._all_settled else min(self.rows, known)

    @property
    def failed(self) -> int:
        """Those of them that have no label."""
        return self._start.failed + self.failed_here + self.others.failed

    @property
    def price_per_page_usd(self) -> float:
        """0 for engines that cost nothing."""
        return self._start.price_per_page_usd

    @property
    def images_per_s(self) -> float:
        """Images done per second over the last minute, or since the start."""
        if not self._recent:
            return 0.0
        now_s = self.clock()
        since_s = max(self.began_s, now_s - _WINDOW_S)
        return self._lately / max(now_s - since_s, 1e-3)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the present rate; None where nothing tells, or none is."""
        left = self.rows - self.done
        early = self._lately < _ENOUGH_ROWS or self.clock() - self.began_s < _ENOUGH_S
        return None if early or not left else left / self.images_per_s

    @property
    def _lately(self) -> int:
        return sum(rows for _, rows in self._recent)

    @property
    def spent_usd(self) -> float:
        """Billed, and perhaps billed."""
        pages = self._start.spent_pages + self.spent_here + self.others.spent_pages
        return pages * self.price_per_page_usd

    @property
    def projected_usd(self) -> float:
        """What the whole will have cost, if it goes on as it went."""
        return self.spent_usd / self.done * self.rows if self.done else 0.0


def _rows(fleet: Fleet) -> int:
    return fleet.labelled + fleet.failed


def shown_duration(seconds: float) -> str:
    """A time for people: 42 s, 18 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def spent_of_projected(progress: Progress) -> str:
    """0.0600 USD of about 0.1200 USD."""
    return f"{usd(progress.spent_usd)} of about {usd(progress.projected_usd)}"


def progress_line(progress: Progress) -> str:
    """The state as one line of plain text."""
    parts = [f"{progress.done:,} of {progress.rows:,} done"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    parts.append(f"{progress.images_per_s:.2f} images/s")
    if progress.left_s is not None:
        parts.append(f"{shown_duration(progress.left_s)} left")
    if progress.price_per_page_usd:
        parts.append(f"{spent_of_projected(progress)} spent")
    if progress.others.workers:
        parts.append(f"with {counted(progress.others.workers, 'other worker')}")
    return ", ".join(parts)
