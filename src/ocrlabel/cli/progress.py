"""Events -> a live bar on a terminal, plain lines elsewhere, or JSON lines for the cloud."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from ocrlabel.cli.settings import LogStyle
from ocrlabel.cli.tallying import Progress, progress_line, shown_duration
from ocrlabel.labels import Failed
from ocrlabel.pipeline.events import Asked, BatchSaved, Event, Notice, RowDone, Started

if TYPE_CHECKING:
    import rich.progress

_LINE_EVERY_S = 10.0
_METRICS_EVERY_S = 60.0


class Display(Protocol):
    """Shows a run while it goes. `say` prints a line between."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...
    def say(self, text: str) -> None: ...


def display_for(
    style: LogStyle, clock: Callable[[], float], wall: Callable[[], float], stream: IO[str]
) -> Display:
    """The display that was asked for; `auto` looks whether a person is watching."""
    if style == "auto":
        style = "bar" if stream.isatty() else "lines"
    match style:
        case "bar":
            return Bar(clock)
        case "json":
            return JsonLines(clock, wall, stream)
        case "quiet":
            return Quiet()
        case _:
            return Lines(clock, stream)


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __call__(self, event: Event) -> None: ...

    def say(self, text: str) -> None: ...


class Lines:
    """A plain line every ten seconds, and one for what a person should know at once."""

    def __init__(self, clock: Callable[[], float], stream: IO[str]) -> None:
        self._progress = Progress(clock)
        self._clock = clock
        self._stream = stream
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress.fresh:
            self.say(progress_line(self._progress))

    def __call__(self, event: Event) -> None:
        self._progress.take(event)
        now_s = self._clock()
        match event:
            case Started(done=done) if done:
                self.say(f"going on: {done:,} of {event.rows:,} rows were done before")
            case Notice(message=message):
                self.say(message)
            case RowDone() if now_s >= self._next_s:
                self._next_s = now_s + _LINE_EVERY_S
                self.say(progress_line(self._progress))
            case _:
                pass

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class JsonLines:
    """One JSON object per line: for log collectors, with CloudWatch's embedded metrics."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], stream: IO[str]
    ) -> None:
        self._progress = Progress(clock)
        self._clock = clock
        self._wall = wall
        self._stream = stream
        self._next_s = 0.0
        self._metrics_at = (clock(), 0, 0, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._metrics()

    def __call__(self, event: Event) -> None:
        self._progress.take(event)
        now_s = self._clock()
        match event:
            case Started():
                self._write("started", rows=event.rows, done=event.done, engine=event.engine)
            case RowDone(outcome=Failed() as failed):
                self._write(
                    "failed", id=failed.id, failure=failed.failure.value, message=failed.message
                )
            case BatchSaved():
                self._write("batch_saved", batch=event.batch, batches=event.batches)
            case Notice():
                self._write(event.kind, message=event.message)
            case Asked(attempt=attempt) if attempt.result.value not in {"answered", "unsent"}:
                self._write(
                    "attempt",
                    result=attempt.result.value,
                    status=attempt.status,
                    message=attempt.message,
                )
            case _:
                pass
        if isinstance(event, RowDone) and now_s >= self._next_s:
            self._next_s = now_s + _LINE_EVERY_S
            self._write("progress", **self._numbers())
        if now_s - self._metrics_at[0] >= _METRICS_EVERY_S:
            self._metrics()

    def say(self, text: str) -> None:
        self._write("said", message=text)

    def _numbers(self) -> dict[str, Any]:
        progress = self._progress
        left_s = progress.left_s
        return {
            "rows": progress.rows,
            "done": progress.done,
            "failed": progress.failed,
            "images_per_s": round(progress.images_per_s, 3),
            "left_s": None if left_s is None else round(left_s),
            "spent_usd": round(progress.spent_usd, 6),
        }

    def _metrics(self) -> None:
        """What happened since the last metrics, in CloudWatch's embedded metric format."""
        progress, now_s = self._progress, self._clock()
        since_s, done, failed, throttled, spent = self._metrics_at
        self._metrics_at = (
            now_s,
            progress.done,
            progress.failed,
            progress.throttled,
            progress.spent_pages,
        )
        values = {
            "ImagesPerSecond": (progress.done - done) / max(now_s - since_s, 1e-3),
            "Failures": progress.failed - failed,
            "Throttled": progress.throttled - throttled,
            "SpentUSD": (progress.spent_pages - spent) * progress.price_per_page_usd,
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

    def _write(self, event: str, **said: Any) -> None:
        line = {"time": round(self._wall(), 3), "event": event, **said}
        print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)


class Bar:
    """A live bar: done, failed, images/s, time left, spent."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._progress = Progress(clock)
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True),
            refresh_per_second=8,
        )
        self._task = self._bar.add_task("", total=None, state="getting ready")
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        self._progress.take(event)
        if isinstance(event, Notice):
            self.say(event.message)
        if self._bar is not None:
            self._bar.update(
                self._task,
                total=self._progress.rows or None,
                completed=self._progress.done,
                state=self._state(),
            )

    def _state(self) -> str:
        progress = self._progress
        parts = [f"{progress.images_per_s:.2f} images/s"] if progress.fresh else ["getting ready"]
        if progress.failed:
            parts.append(f"[red]{progress.failed:,} failed[/red]")
        if progress.fresh and progress.left_s is not None:
            parts.append(f"{shown_duration(progress.left_s)} left")
        if progress.price_per_page_usd:
            parts.append(f"${progress.spent_usd:.2f} of ~${progress.projected_usd:.2f}")
        return "  ".join(parts)

    def say(self, text: str) -> None:
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(text))
        else:
            print(text, file=sys.stderr)
