"""Progress for a person: a live bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from ocrlabel.cli.tallying import Progress, shown_duration, spent_of_projected
from ocrlabel.pipeline.events import Event, Notice

if TYPE_CHECKING:
    import rich.progress


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
        """Take in one event."""
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
        under_way = progress.images_per_s > 0
        parts = [f"{progress.images_per_s:.2f} images/s" if under_way else "getting ready"]
        if progress.failed:
            parts.append(f"[red]{progress.failed:,} failed[/red]")
        if progress.left_s is not None:
            parts.append(f"{shown_duration(progress.left_s)} left")
        if progress.price_per_page_usd:
            parts.append(spent_of_projected(progress))
        if progress.others.workers:
            parts.append(f"{1 + progress.others.workers} workers")
        return "  ".join(parts)

    def say(self, text: str) -> None:
        """Print a line."""
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(text))
        else:
            print(text, file=sys.stderr)
