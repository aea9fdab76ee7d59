"""Progress for a log collector: JSON lines, and CloudWatch's embedded metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, Any, Self

from ocrlabel.cli.tallying import Progress
from ocrlabel.labels import Failed
from ocrlabel.pipeline.events import Asked, BatchSaved, Event, Fleet, Notice, RowDone, Started

_LINE_EVERY_S = 10.0
_METRICS_EVERY_S = 60.0


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
        """Take in one event."""
        if isinstance(event, Started):
            self._metrics()  # the counts begin anew
        self._progress.take(event)
        now_s = self._clock()
        match event:
            case Started():
                self._metrics_at = (now_s, 0, 0, self._progress.throttled, 0)
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
        if isinstance(event, RowDone | Fleet) and now_s >= self._next_s:
            self._next_s = now_s + _LINE_EVERY_S
            self._write("progress", **self._numbers())
        if now_s - self._metrics_at[0] >= _METRICS_EVERY_S:
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
        }

    def _metrics(self) -> None:
        """What happened here since the last metrics, in CloudWatch's embedded metric format.

        Of this worker alone: CloudWatch adds up what the workers of a fleet write.
        """
        progress, now_s = self._progress, self._clock()
        since_s, done, failed, throttled, spent = self._metrics_at
        self._metrics_at = (
            now_s,
            progress.done_here,
            progress.failed_here,
            progress.throttled,
            progress.spent_here,
        )
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

    def _write(self, event: str, **said: Any) -> None:
        line = {"time": round(self._wall(), 3), "event": event, **said}
        print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)
