"""One rate for many workers, without a server: each works out its own share.

Pure functions of heartbeats; nobody's clock is trusted but one's own. The one promise: at no time
do the fractions of the workers that send sum to more than 1. It holds because

1. a joiner sends nothing until every live worker that sends has named it in a heartbeat, and a
   worker lowers its own share before it names a newcomer;
2. a worker whose heartbeat is older than its duration, counted from before it was written, stops
   by itself, and has to join again;
3. a worker counts as gone only after the same number was seen for the duration and a margin, or
   when its heartbeat says that it sends nothing.

`HeartbeatLoop.beat` is what a worker does every third of the duration or so, and at once when
`is_awaited`. A number whose writing failed is used up all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ocrlabel.pipeline.rate.aimd import Ceiling

MARGIN = 1.25
"""Of the duration: clocks that run at different speeds, and the time a look takes."""


@dataclass(frozen=True, slots=True)
class Share:
    """Our part of the fleet's rate: rank (from 0) among `members` workers that send.

    fraction: of every budget; 0 sends nothing. until: on our own clock, when the share ends
    unless a heartbeat was written before. Turns: of every `members` ticks of the fleet's rate,
    counted on the wall clock, ours is number `rank`. Clocks that disagree cost smoothness, never
    the total rate, which the fractions keep.
    """

    rank: int = 0
    members: int = 1
    fraction: float = 1.0
    until: float = math.inf

    def turn_at(self, at: float, interval_s: float) -> float:
        """Our first turn not before `at`, on a clock that all workers read (Unix s)."""
        if self.members == 1:
            return at
        period_s = self.members * interval_s
        phase_s = self.rank * interval_s
        # a turn that rounding puts a microsecond before `at` is this one
        return math.ceil((at - phase_s - 1e-6) / period_s) * period_s + phase_s


ALONE = Share()
NOTHING = Share(fraction=0.0)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker tells the others. number: from 1, never used twice.

    sends: False while it has nothing to send, or ends. since: the first heartbeat of this stay
    in the fleet; None: this one. sees: the number of every worker that it leaves room for.
    """

    worker: str
    number: int
    duration_s: float
    sends: bool = True
    since: int | None = None
    sees: Mapping[str, int] = field(default_factory=dict)
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A heartbeat, and when we first saw its number (our own clock)."""

    heartbeat: Heartbeat
    at: float

    def is_live(self, now: float) -> bool:
        """Whether its worker may still send because of it."""
        return self.heartbeat.sends and now < self.at + MARGIN * self.heartbeat.duration_s


@dataclass(frozen=True, slots=True)
class Member:
    """One worker's knowledge of its fleet."""

    worker: str
    duration_s: float
    sends: bool = True
    """Whether we want a share."""
    number: int = 0
    """Of our newest heartbeat; 0 before the first."""
    valid_until: float = -math.inf
    joined_as: int | None = None
    """Our first heartbeat of this stay in the fleet; None outside."""
    let_in: bool = False
    """Everybody who sent when we came has named us since."""
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    live: frozenset[str] = frozenset()
    """The other workers that may be sending, as of the last look."""
    named: Mapping[str, int] = field(default_factory=dict)
    """Whom our newest heartbeat sees."""

    def resting(self) -> Member:
        """We have nothing to send: gives the share back."""
        return replace(self, sends=False, joined_as=None, let_in=False)

    def asking(self) -> Member:
        """We have something to send (again)."""
        return replace(self, sends=True)

    def looking(self, heartbeats: Iterable[Heartbeat], now: float) -> Member:
        """After reading every other worker's newest heartbeat; now: when that was done."""
        seen = dict(self.sightings)
        for heartbeat in heartbeats:
            before = seen.get(heartbeat.worker)
            is_news = before is None or heartbeat.number > before.heartbeat.number
            if is_news and heartbeat.worker != self.worker:
                seen[heartbeat.worker] = Sighting(heartbeat, now)
        live = frozenset(worker for worker, sighting in seen.items() if sighting.is_live(now))
        # whoever came after we first wrote has seen us, and waits for us: it need not let us in
        let_in = self.let_in or (
            self.joined_as is not None
            and all(
                seen[worker].heartbeat.sees.get(self.worker, 0) >= self.joined_as for worker in live
            )
        )
        return replace(self, sightings=seen, live=live, let_in=let_in)

    def share(self) -> Share:
        """Our part, as of the last look."""
        if not self.let_in:
            return NOTHING
        members = sorted({*self.live, self.worker})
        return Share(
            rank=members.index(self.worker),
            members=len(members),
            fraction=1 / len(members),
            until=self.valid_until,
        )

    def heartbeat(self, ceilings: Mapping[str, Ceiling]) -> Heartbeat:
        """The next to be written. What it says must be true by then: set the share first."""
        return Heartbeat(
            worker=self.worker,
            number=self.number + 1,
            duration_s=self.duration_s,
            sends=self.sends,
            since=self.joined_as,
            sees={worker: self.sightings[worker].heartbeat.number for worker in self.live},
            ceilings=ceilings,
        )

    def wrote(self, heartbeat: Heartbeat, began_at: float, now: float) -> Member:
        """After a heartbeat was written. began_at: our clock before the writing began."""
        # others may have thought us gone while it was written: then we join again
        lapsed = now >= self.valid_until
        stays = self.joined_as is not None and not lapsed
        joined_as = self.joined_as if stays else heartbeat.number
        return replace(
            self,
            number=heartbeat.number,
            valid_until=began_at + self.duration_s,
            joined_as=joined_as if self.sends else None,
            let_in=self.let_in and stays,
            named=heartbeat.sees,
        )

    def is_awaited(self) -> bool:
        """Whether somebody waits for us to name it: write the next heartbeat at once."""
        return any(self.named.get(worker, 0) < self._came_as(worker) for worker in self.live)

    def _came_as(self, worker: str) -> int:
        heartbeat = self.sightings[worker].heartbeat
        return heartbeat.number if heartbeat.since is None else heartbeat.since
