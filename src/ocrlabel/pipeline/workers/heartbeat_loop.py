"""A worker among others: its heartbeat, its share of the rate, and settings changed on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.budget.budget import Purse, cap_pages
from ocrlabel.pipeline.events import Event, Fleet, Notice
from ocrlabel.pipeline.rate.aimd import Ceiling
from ocrlabel.pipeline.rate.fleet import ALONE, NOTHING, Heartbeat, Member, Share
from ocrlabel.pipeline.rate.limiter import RatePool
from ocrlabel.pipeline.runtime import World, certainly_dead
from ocrlabel.pipeline.state.layout import RunKeys
from ocrlabel.pipeline.workers.heartbeat import Beat, Heartbeats
from ocrlabel.pipeline.workers.limits import NAMES, changes_since

_LONGEST_S = 5.0
_AWAITED_S = 0.5
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


@dataclass(slots=True, kw_only=True)
class Pulse:
    """Beats until it is cancelled.

    busy: whether this worker has something to send; told: its counters, for the others and for
    `status`; began_at_s: when it set to work (Unix s).
    """

    world: World
    keys: RunKeys
    pool: RatePool
    purse: Purse | None
    duration_s: float
    busy: Callable[[], bool]
    told: Callable[[], Mapping[str, Any]]
    began_at_s: float
    price_per_page_usd: float
    known_limits: int = 0
    """The newest entry of the log of limits that the worker began with; later ones are news."""
    _member: Member = field(init=False)
    _heartbeats: Heartbeats = field(init=False)
    _company: Company = field(init=False)
    _limits: int = field(init=False, default=0)
    _begun: int = field(init=False, default=0)
    """The number of the newest heartbeat whose writing was begun."""

    def __post_init__(self) -> None:
        self._member = Member(self.world.me.worker, self.duration_s)
        self._heartbeats = Heartbeats(self.world, self.keys, duration_s=self.duration_s)
        self._company = Company(self._heartbeats.surely_lives)
        self._share(NOTHING)

    async def run(self) -> None:
        """Beat for as long as the worker works."""
        settled_in = False
        while True:
            try:
                await self.beat()
                if not settled_in:
                    # nothing may be sent before a second look: somebody may have come with us
                    await self.beat()
                    settled_in = True
            except StoreUnavailable as error:
                self.world.emit(Notice("store", f"{error}; no heartbeat, the share may end"))
            interval_s = min(self.duration_s / 3, _LONGEST_S)
            if self._member.is_awaited() or not self._member.let_in:
                interval_s = min(interval_s, _AWAITED_S)
            await self._until_due(interval_s)

    async def _until_due(self, interval_s: float) -> None:
        """Wait for the next beat; a worker that has nothing to send any more says so at once."""
        due_s = self.world.clock() + interval_s
        while (left_s := due_s - self.world.clock()) > 0 and self.busy() == self._member.sends:
            await self.world.sleep(min(left_s, _AWAITED_S))

    async def beat(self) -> None:
        """Look at the others, take the share that is ours now, and tell them so."""
        await self._read_limits()
        beats = await self._heartbeats.look()
        for event in self._company.seen(beats):
            self.world.emit(event)
        others = [self._heartbeat_of(beat) for beat in beats]
        for other in others:
            self.pool.adopt(other.ceilings)
        member = self._after_every_number_used().looking(others, self.world.clock())
        member = member.asking() if self.busy() else member.resting()
        self._member = member
        self._share(member.share())
        if self.purse is not None:
            self.purse.workers = 1 + len(member.live)
        began_s = self.world.clock()
        heartbeat = member.heartbeat(self.pool.ceilings())
        self._begun = heartbeat.number
        await self._heartbeats.beat(heartbeat.number, self._said(heartbeat))
        self._member = member.wrote(heartbeat, began_s, self.world.clock())
        if self.purse is not None:
            self.purse.seen_until(self._member.valid_until)
        self._share(self._member.share())

    def _share(self, share: Share) -> None:
        self.pool.set_share(share if self.pool.is_limited else ALONE)

    async def end(self) -> None:
        """Say goodbye: others may take the share over at once."""
        member = self._after_every_number_used().resting()
        heartbeat = member.heartbeat(self.pool.ceilings())
        with contextlib.suppress(StoreUnavailable):
            await self._heartbeats.beat(heartbeat.number, self._said(heartbeat) | {"gone": True})

    def _after_every_number_used(self) -> Member:
        """So that the next number is news to all, whatever became of the beats before it.

        An earlier round of this process may have used numbers up, and a beat that was cut or
        seems to have failed may have been written all the same.
        """
        number = max(self._member.number, self._heartbeats.used, self._begun)
        return replace(self._member, number=number)

    def _said(self, heartbeat: Heartbeat) -> dict[str, Any]:
        times = {"began_at_s": self.began_at_s, "at_s": self.world.wall()}
        return {"heartbeat": asdict(heartbeat), **times, **self.told()}

    def _heartbeat_of(self, beat: Beat) -> Heartbeat:
        found = dict(beat.said["heartbeat"])
        found["ceilings"] = {lane: Ceiling(**one) for lane, one in found["ceilings"].items()}
        heartbeat = Heartbeat(**found)
        if certainly_dead(beat.owner, self.world.me, self.world.alive):
            # as if it had said so itself with its next number
            return replace(heartbeat, number=heartbeat.number + 1, sends=False)
        return heartbeat

    async def _read_limits(self) -> None:
        """Take over what another start or `ocrlabel set` changed for the whole fleet."""
        for number, change in await changes_since(self.world, self.keys, self._limits):
            self._apply(change, number)
            self._limits = number

    def _apply(self, change: Mapping[str, Any], number: int) -> None:
        if "rps" in change:
            self.pool.set_rps(change["rps"], setting=number)
        if "max_cost_usd" in change and self.purse is not None:
            cost = change["max_cost_usd"]
            cap = None if cost is None else cap_pages(cost, self.price_per_page_usd)
            self.purse.change_cap(cap)
        if number > self.known_limits:
            changes = ", ".join(f"{name} {change[name]}" for name in NAMES if name in change)
            self.world.emit(Notice("settings", f"changed for this run: {changes}"))


def _sentence(alive: list[str]) -> str:
    if len(alive) == 1:
        return f"another worker is at work on this run: {alive[0]}"
    return f"{len(alive)} other workers are at work on this run"
