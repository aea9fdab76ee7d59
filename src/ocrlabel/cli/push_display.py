"""How far a push is: a live bar for a person, a line every ten seconds for a log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Protocol, Self

from ocrlabel.dataset.push.survey import Step

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 10.0


class PushDisplay(Protocol):
    """Takes in every step; used in a `with` block."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def __call__(self, step: Step) -> None:
        """Take in one step."""


def push_display_for(stream: IO[str], clock: Callable[[], float]) -> PushDisplay:
    """A bar where a person is watching, else lines."""
    return PushBar() if stream.isatty() else PushLines(stream, clock)


class PushBar:
    """A live bar for each stage."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[size]}"),
            console=Console(file=sys.stderr),
        )
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: Step) -> None:
        """Take in one step."""
        if self._bar is None:
            return
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._bar.add_task(step.stage, size="")
        self._bar.update(
            self._tasks[step.stage],
            total=step.total or None,
            completed=step.done,
            size=_size(step),
        )


class PushLines:
    """A line when a stage begins and when it ends, and every ten seconds between."""

    def __init__(self, stream: IO[str], clock: Callable[[], float]) -> None:
        self._stream, self._clock = stream, clock
        self._stage, self._next_s = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __call__(self, step: Step) -> None:
        """Take in one step."""
        now_s = self._clock()
        ended = step.total and step.done == step.total
        if step.stage == self._stage and now_s < self._next_s and not ended:
            return
        self._stage, self._next_s = step.stage, now_s + _LINE_EVERY_S
        of = f" of {step.total:,}" if step.total else ""
        counted = f" {step.done:,}{of}" if step.done else ""
        size = f", {_size(step)}" if step.size_bytes else ""
        print(f"{step.stage}{counted}{size}", file=self._stream, flush=True)


def _size(step: Step) -> str:
    return f"{step.size_bytes / 1e6:,.1f} MB" if step.size_bytes else ""
