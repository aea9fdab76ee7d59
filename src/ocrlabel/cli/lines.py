"""Progress for a log: a plain line every ten seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Self

from ocrlabel.cli.tallying import Progress, progress_line
from ocrlabel.pipeline.events import Event, Fleet, Notice, RowDone, Started
from ocrlabel.wording import counted

_LINE_EVERY_S = 10.0


class Lines:
    """A plain line every ten seconds, and one for what a person should know at once."""

    def __init__(self, clock: Callable[[], float], stream: IO[str]) -> None:
        self._progress = Progress(clock)
        self._clock = clock
        self._stream = stream
        self._next_s = 0.0
        self._said = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_news:
            self._say_progress()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        self._progress.take(event)
        now_s = self._clock()
        match event:
            case Started(done=done) if done:
                self.say(
                    f"going on: {done:,} of {counted(event.rows, 'row')} were done before"
                    if done > 1
                    else f"going on: 1 of {counted(event.rows, 'row')} was done before"
                )
            case Notice(message=message):
                self.say(message)
            case RowDone() | Fleet() if now_s >= self._next_s and self._is_news:
                self._next_s = now_s + _LINE_EVERY_S
                self._say_progress()
            case _:
                pass

    @property
    def _is_news(self) -> bool:
        return self._progress.images_per_s > 0 and self._said != self._progress.done

    def _say_progress(self) -> None:
        self._said = self._progress.done
        self.say(progress_line(self._progress))

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)
