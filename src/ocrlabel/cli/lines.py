"""Progress for a log: a plain line every ten seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Self

from ocrlabel.cli.tallying import Progress, progress_line
from ocrlabel.pipeline.events import Event, Notice, RowDone, Started

_LINE_EVERY_S = 10.0


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
        """Take in one event."""
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
        """Print a line."""
        print(text, file=self._stream, flush=True)
