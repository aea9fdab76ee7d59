"""Events -> a live bar on a terminal, plain lines elsewhere, or JSON lines for the cloud."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import IO, Protocol, Self

from ocrlabel.cli.bar import Bar
from ocrlabel.cli.json_lines import JsonLines
from ocrlabel.cli.lines import Lines
from ocrlabel.cli.settings import LogStyle
from ocrlabel.pipeline.events import Event


class Display(Protocol):
    """Shows a run while it goes. `say` prints a line between."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __call__(self, event: Event) -> None:
        """Take in one event."""

    def say(self, text: str) -> None:
        """Print a line between."""


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

    def __call__(self, event: Event) -> None:
        """Take in one event."""

    def say(self, text: str) -> None:
        """Print a line between."""
