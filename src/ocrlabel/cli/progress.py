"""What a person, or a log, sees of a run while it goes.

Every display takes the run's events and shows the same statistics (`ProgressStatistics`): a live
bar on a terminal, plain lines elsewhere, and JSON lines, with metrics, for the cloud.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self, TextIO

from ocrlabel.cli.exit_codes import for_screen, lasting
from ocrlabel.labels import Attempt, AttemptResult, Failed, readable
from ocrlabel.options import LogStyle
from ocrlabel.pipeline import events
from ocrlabel.pipeline.budget.account import cost_pages, pages_spent
from ocrlabel.wording import counted, duration, usd

_LINE_EVERY_S = 10.0
_METRICS_EVERY_S = 60.0
_WINDOW_S = 60.0
_BAR_COLUMNS = 40
_LEAST_BAR_COLUMNS = 5
# fewer rows, or less time, say nothing about how long the rest takes
_ENOUGH_ROWS = 5
_ENOUGH_S = 5.0
_NOT_STARTED = events.Started(0, 0, 0, engine="", price_per_page_usd=0.0, spent_pages=0)


def display_for(
    style: LogStyle,
    clock: Callable[[], float],
    wall: Callable[[], float],
    stream: TextIO,
    *,
    verbose: bool = False,
) -> Display:
    """The display of that style; `auto` is the bar where a person is watching, else lines.

    verbose: also a line for every image that failed and every request that was not answered.
    """
    stream = lasting(stream)
    if style == "auto":
        style = "bar" if stream.isatty() else "lines"
    if style == "json":
        return JsonLines(clock, wall, stream)
    if style == "quiet":
        return Display()
    kind = ProgressBar if style == "bar" else ProgressLines
    return kind(clock, stream, verbose=verbose)


class Display:
    """Takes the events of a run, inside a `with` block. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""

    def say(self, text: str) -> None:
        """Print a line between the displays of progress."""


class _ForPeople(Display):
    """Prints what is to be known, and shows the progress in its own way."""

    def __init__(
        self, clock: Callable[[], float], stream: TextIO, *, verbose: bool = False
    ) -> None:
        self._progress = ProgressStatistics(clock)
        self._clock = clock
        self._stream = stream
        self._verbose = verbose

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        self._progress.take(event)
        match event:
            case events.Notice(message=message):
                self.say(message)
            case events.RowDone(outcome=Failed() as failed) if self._verbose:
                self.say(f"{readable(failed.id)}: {failed.failure.value}: {failed.message}")
            case events.Asked(attempt=attempt) if self._verbose and _went_wrong(attempt):
                status = f" {attempt.status}" if attempt.status else ""
                self.say(f"a request was not answered: {attempt.result}{status} {attempt.message}")


class ProgressBar(_ForPeople):
    """A live bar: done, failed, images/s, time left, spent."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import Progress, TextColumn
        from rich.table import Column

        self._bar = Progress(
            TextColumn("{task.fields[line]}", table_column=Column(overflow="fold")),
            console=Console(file=self._stream),
            refresh_per_second=8,
        )
        self._task = self._bar.add_task("", total=None, line="getting ready")
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        """Take in one event, and show how far it is after it."""
        super().__call__(event)
        self._bar.update(self._task, line=self._line(self._bar.console.width))

    def _line(self, columns: int) -> str:
        """Bar, counts and sums.

        Where it is narrow the bar gives way, then words: never what is done, failed and spent.
        """
        progress = self._progress
        if not progress.rows:
            return "getting ready"
        counts = f"{progress.done:,}/{progress.rows:,}"
        for parts in self._narrower():
            text = "  ".join([counts, *parts])
            bar_columns = min(_BAR_COLUMNS, columns - len(text) - 2)
            if bar_columns >= 0:
                break
        text = text.replace(parts[0], f"[red]{parts[0]}[/red]", 1) if progress.failed else text
        if bar_columns < _LEAST_BAR_COLUMNS:
            return text
        full = bar_columns * progress.done // progress.rows  # all of it only when all is done
        bar = f"[green]{'━' * full}[/green][dim]{'━' * (bar_columns - full)}[/dim]"
        return f"{bar} {text}"

    def _narrower(self) -> Iterator[list[str]]:
        """What stands behind the counts, in full and then with less and less."""
        progress = self._progress
        under_way = progress.images_per_s > 0
        rate = f"{progress.images_per_s:.2f} images/s" if under_way else "getting ready"
        failed = [f"{progress.failed:,} failed"] if progress.failed else []
        left_s = progress.left_s
        left = [] if left_s is None else [time_left(progress, left_s)]
        spent = [spent_of_projected(progress)] if progress.price_per_page_usd else []
        workers = [f"{1 + progress.others.workers} workers"] if progress.others.workers else []
        yield [*failed, rate, *left, *spent, *workers]
        spent = [one.replace(" USD of about", " of").replace(" USD, cap", ", cap") for one in spent]
        yield [*failed, rate, *left, *spent, *workers]
        yield [*failed, rate, *left, *spent]
        yield [*failed, *left, *spent]
        yield [*failed, *spent]

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self._bar.console.print(Text(for_screen(text, self._stream)), soft_wrap=True)


class ProgressLines(_ForPeople):
    """A plain line every ten seconds in which something happened, and one for every notice."""

    _next_s = 0.0
    _last_done = 0
    _went_wrong: tuple[Attempt, ...] = ()

    def __exit__(self, *error: object) -> None:
        if self._is_news:
            self._print_progress()

    def __call__(self, event: events.Event) -> None:
        """Take in one event, and show how far it is after it, where it is time."""
        super().__call__(event)
        now_s = self._clock()
        match event:
            case events.Started(done=done) if done:
                self._last_done = done
                were = "were" if done > 1 else "was"
                self.say(f"going on: {done:,} of {counted(event.rows, 'row')} {were} done before")
            case events.Asked(attempt=attempt) if _went_wrong(attempt):
                if attempt.result is not AttemptResult.THROTTLED:
                    self._went_wrong += (attempt,)
        if (
            isinstance(event, events.RowDone | events.Fleet)
            and now_s >= self._next_s
            and self._is_news
        ):
            self._next_s = now_s + _LINE_EVERY_S
            self._print_progress()

    @property
    def _is_news(self) -> bool:
        return bool(self._went_wrong) or self._last_done != self._progress.done

    def _print_progress(self) -> None:
        self._last_done, bad = self._progress.done, self._went_wrong
        self._went_wrong = ()
        line = progress_line(self._progress)
        if bad:
            why = (bad[-1].message or bad[-1].result).splitlines()[0]
            line += f"; {counted(len(bad), 'request')} went wrong since, the last: {why}"
        self.say(line)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)


def _went_wrong(attempt: Attempt) -> bool:
    return attempt.result not in {AttemptResult.ANSWERED, AttemptResult.UNSENT}


class JsonLines(Display):
    """One JSON object per line: for log collectors, with CloudWatch's embedded metrics."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], stream: TextIO
    ) -> None:
        self._progress = ProgressStatistics(clock)
        self._clock = clock
        self._wall = wall
        self._stream = stream
        self._next_s = 0.0
        self._last_metrics = self._own_counts()

    def __exit__(self, *error: object) -> None:
        self._metrics()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        if isinstance(event, events.Started):
            self._metrics()  # the counts begin anew
        self._progress.take(event)
        now_s = self._clock()
        match event:
            case events.Started():
                self._last_metrics = self._own_counts()
                self._write("started", rows=event.rows, done=event.done, engine=event.engine)
            case events.RowDone(outcome=Failed() as failed):
                self._write(
                    "failed", id=failed.id, failure=failed.failure.value, message=failed.message
                )
            case events.BatchSaved():
                self._write("batch_saved", batch=event.batch, batches=event.batches)
            case events.Notice():
                self._write(event.kind, message=event.message)
            case events.Asked(attempt=attempt) if _went_wrong(attempt):
                self._write(
                    "attempt",
                    result=attempt.result.value,
                    status=attempt.status,
                    message=attempt.message,
                )
        if isinstance(event, events.RowDone | events.Fleet) and now_s >= self._next_s:
            self._next_s = now_s + _LINE_EVERY_S
            self._write("progress", **self._numbers())
        if now_s - self._last_metrics[0] >= _METRICS_EVERY_S:
            self._metrics()

    def say(self, text: str) -> None:
        """Print a line."""
        self._write("said", message=text)

    def _numbers(self) -> dict[str, Any]:
        progress = self._progress
        left_s = progress.left_s
        return {
            "rows": progress.rows,
            "done": progress.done,
            "failed": progress.failed,
            "other_workers": progress.others.workers,
            "images_per_s": round(progress.images_per_s, 3),
            "left_s": None if left_s is None else round(left_s),
            "spent_usd": round(progress.spent_usd, 6),
            "projected_usd": round(progress.projected_usd, 6),
            "max_cost_usd": progress.cap_usd,
        }

    def _metrics(self) -> None:
        """What happened here since the last metrics, in CloudWatch's embedded metric format.

        Of this worker alone: CloudWatch adds up what the workers of a fleet write.
        """
        progress = self._progress
        since_s, done, failed, throttled, spent = self._last_metrics
        now_s, *_ = self._last_metrics = self._own_counts()
        values = {
            "ImagesPerSecond": (progress.done_here - done) / max(now_s - since_s, 1e-3),
            "Failures": progress.failed_here - failed,
            "Throttled": progress.throttled - throttled,
            "SpentUSD": (progress.spent_here - spent) * progress.price_per_page_usd,
        }
        units = {"ImagesPerSecond": "Count/Second", "SpentUSD": "None"}
        names = [{"Name": name, "Unit": units.get(name, "Count")} for name in values]
        self._write(
            "metrics",
            _aws={
                "Timestamp": round(self._wall() * 1000),
                "CloudWatchMetrics": [
                    {"Namespace": "ocrlabel", "Dimensions": [[]], "Metrics": names}
                ],
            },
            **values,
        )

    def _own_counts(self) -> tuple[float, int, int, int, int]:
        one = self._progress
        return self._clock(), one.done_here, one.failed_here, one.throttled, one.spent_here

    def _write(self, event: str, **fields: Any) -> None:
        line = {"time": round(self._wall(), 3), "event": event, **fields}
        print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)


def spent_of_projected(progress: ProgressStatistics, word: str = "") -> str:
    """0.0600 USD of about 0.1200 USD, cap 0.5000 USD."""
    cap = f", cap {usd(progress.cap_usd)}" if progress.cap_usd is not None else ""
    return f"{usd(progress.spent_usd)} of about {usd(progress.projected_usd)}{word}{cap}"


def time_left(progress: ProgressStatistics, left_s: float) -> str:
    """12 min left; or how long until the cap ends it."""
    return f"{duration(left_s)} {'to the cap' if progress.cap_comes_first else 'left'}"


def progress_line(progress: ProgressStatistics) -> str:
    """The state as one line of plain text."""
    parts = [f"{progress.done:,} of {progress.rows:,} done"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.images_per_s:
        parts.append(f"{progress.images_per_s:.2f} images/s")
    if progress.left_s is not None:
        parts.append(time_left(progress, progress.left_s))
    if progress.price_per_page_usd:
        parts.append(spent_of_projected(progress, " spent"))
    if progress.others.workers:
        parts.append(f"with {counted(progress.others.workers, 'other worker')}")
    return ", ".join(parts)


@dataclass(slots=True)
class ProgressStatistics:
    """Counts of a run: what was done before, here, and by its other workers.

    done_here, failed_here, spent_here and throttled are this process's own; of spent_here, the
    pages of rows that are done are settled_here. Rates are over the last minute.
    """

    clock: Callable[[], float]
    done_here: int = 0
    failed_here: int = 0
    spent_here: int = 0
    settled_here: int = 0
    throttled: int = 0
    began_s: float = 0.0
    others: events.Fleet = field(default_factory=lambda: events.Fleet(0))
    _start: events.Started = _NOT_STARTED
    _all_settled: bool = False
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.Started():
                self._start, self.others = event, events.Fleet(self.others.workers)
                self.done_here = self.failed_here = self.spent_here = self.settled_here = 0
                self._all_settled = False
                self.began_s = self.clock()
                self._recent.clear()
            case events.RowDone(outcome=outcome):
                self.done_here += 1
                self.failed_here += isinstance(outcome, Failed)
                # of the pages that were asked for here, and not by an earlier start
                under_way = self.spent_here - self.settled_here
                self.settled_here += min(cost_pages(outcome.attempts), under_way)
                self._count_recent(1)
            case events.Asked(attempt=attempt):
                self.spent_here += pages_spent(attempt)
                self.throttled += attempt.result is AttemptResult.THROTTLED
            case events.Fleet():
                before, self.others = self.others, event
                self._count_recent(_rows(event) - _rows(before))
            case events.CapChanged(max_cost_usd=cap_usd):
                self._start = replace(self._start, max_cost_usd=cap_usd)
            case events.AllSettled():
                self._all_settled = True

    def _count_recent(self, rows: int) -> None:
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
        """Rows that have their outcome, from any worker, now or before."""
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
        return self._recent_rows / max(now_s - since_s, 1e-3)

    @property
    def left_s(self) -> float | None:
        """Seconds for the rest at the present rate; None while unknown, or with nothing left."""
        left = min(self.rows - self.done, self._rows_in_cap)
        early = self._recent_rows < _ENOUGH_ROWS or self.clock() - self.began_s < _ENOUGH_S
        return None if early or not left else left / self.images_per_s

    @property
    def _recent_rows(self) -> int:
        return sum(rows for _, rows in self._recent)

    @property
    def spent_usd(self) -> float:
        """Billed, and perhaps billed."""
        return self._usd(self.spent_here)

    def _usd(self, pages_here: int) -> float:
        pages = self._start.spent_pages + pages_here + self.others.spent_pages
        return pages * self.price_per_page_usd

    @property
    def projected_usd(self) -> float:
        """The cost of the whole run, if the rest costs as much per row as the rows done."""
        left_usd = (self.rows - self.done) * self._usd_per_row
        return max(self.spent_usd, self._usd(self.settled_here) + left_usd)

    @property
    def _usd_per_row(self) -> float:
        """What the rows of this command cost so far, and before its first what is expected."""
        before = max(1, self._start.done)
        pages = self.settled_here + self.others.spent_pages + before * self._start.pages_per_row
        rows = self.done_here + _rows(self.others) + before
        return pages / rows * self.price_per_page_usd

    @property
    def cap_usd(self) -> float | None:
        """The most that the whole run may cost; None for an engine that costs nothing."""
        return self._start.max_cost_usd if self.price_per_page_usd else None

    @property
    def cap_comes_first(self) -> bool:
        """Whether the cap will be reached before the last row."""
        return self._rows_in_cap < self.rows - self.done

    @property
    def _rows_in_cap(self) -> float:
        if self.cap_usd is None or not self._usd_per_row:
            return math.inf
        return max(0.0, self.cap_usd - self.spent_usd) / self._usd_per_row


def _rows(fleet: events.Fleet) -> int:
    return fleet.labelled + fleet.failed
