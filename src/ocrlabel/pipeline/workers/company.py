"""The other workers of a run, as a person who watches this one wants to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ocrlabel.pipeline.events import Event, Fleet, Notice
from ocrlabel.pipeline.workers.heartbeats import Beat

_COUNTS = ("labelled", "failed", "spent_pages")


@dataclass(slots=True)
class Company:
    """Heartbeats -> what to tell of them. lives: whether a worker is certainly there.

    What a worker had done when it was first seen was counted when this one began; what it does
    from then on is added.
    """

    lives: Callable[[Beat], bool]
    _before: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _told: Fleet = field(default_factory=lambda: Fleet(0))

    def seen(self, beats: Iterable[Beat]) -> Iterator[Event]:
        """What is new in the newest heartbeats of all others."""
        done = dict.fromkeys(_COUNTS, 0)
        alive = []
        for beat in beats:
            before = self._before.setdefault(beat.owner.worker, beat.said)
            for name in _COUNTS:
                done[name] += beat.said.get(name, 0) - before.get(name, 0)
            if self.lives(beat):
                alive.append(beat.owner.worker)
        fleet = Fleet(len(alive), **done)
        if fleet.workers > self._told.workers:
            yield Notice("fleet", _sentence(alive))
        if fleet != self._told:
            yield fleet
        self._told = fleet


def _sentence(alive: list[str]) -> str:
    if len(alive) == 1:
        return f"another worker is at work on this run: {alive[0]}"
    return f"{len(alive)} other workers are at work on this run"
