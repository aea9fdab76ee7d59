"""A worker among others: its heartbeats, its share of the rate, and limits changed on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.budget.budget import BudgetClient, cap_pages
from ocrlabel.pipeline.events import CapChanged, Event, Fleet, Notice
from ocrlabel.pipeline.rate.fleet import ALONE, NOTHING, Heartbeat, Member, Share
from ocrlabel.pipeline.rate.limiter import RatePool
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.run_store import Outage
from ocrlabel.pipeline.workers.heartbeat import Beat, Heartbeats, WorkerReport
from ocrlabel.pipeline.workers.limits import LimitsChange, changes_since, in_words, not_known

_LONGEST_S = 5.0
_AWAITED_S = 0.5
_SAY_EVERY_S = 60.0
_COUNTS = ("labelled", "failed", "spent_pages")


@dataclass(slots=True, kw_only=True)
class HeartbeatLoop:
    """Beats until it is cancelled.

    busy: whether this worker has something to send. report: what it did, for the others and for
    `status`. told: takes how many others may be sending, and what all that did of late say.
    known_limits: the newest entry of the log of limits that it began with; later ones are news.
    """

    run: Run
    pool: RatePool
    budget: BudgetClient | None
    busy: Callable[[], bool]
    report: Callable[[], WorkerReport]
    told: Callable[[int, Sequence[WorkerReport]], None] = lambda *_: None
    known_limits: int = 0
    _member: Member = field(init=False)
    _heartbeats: Heartbeats = field(init=False)
    _peers: PeerMonitor = field(init=False)
    _limits: int = field(init=False, default=0)
    _begun: int = field(init=False, default=0)
    """The number of the newest heartbeat whose writing was begun."""
    _met: frozenset[str] = field(init=False, default=frozenset())
    """Others that were sending while this worker was there."""
    _said_at_s: float | None = field(init=False, default=None)
    """When the trouble was last said."""

    def __post_init__(self) -> None:
        self._heartbeats = Heartbeats(self.run)
        self._member = Member(self.run.runtime.me.worker, self._heartbeats.duration_s)
        self._peers = PeerMonitor(self._heartbeats.surely_lives)
        self._share(NOTHING)

    async def keep(self) -> None:
        """Beat for as long as the worker works."""
        settled_in, outage = False, Outage()
        while True:
            try:
                await self.beat()
                if not settled_in:
                    # nothing may be sent before a second look: somebody may have come with us
                    await self.beat()
                    settled_in = True
            except StoreUnavailable as error:
                if outage.failed(self.run.runtime.clock()):
                    self.run.runtime.tell("store", f"{error}; no heartbeat, the share may end")
                await self.run.runtime.sleep(_AWAITED_S)  # a full disk fails without a wait
                continue
            outage.over()
            interval_s = min(self.run.options.lease_s / 3, _LONGEST_S)
            if self._member.is_awaited() or not self._member.let_in:
                interval_s = min(interval_s, _AWAITED_S)
            await self._until_due(interval_s)

    async def _until_due(self, interval_s: float) -> None:
        """Wait for the next beat; what is news to the others is said at once."""
        clock, sleep = self.run.runtime.clock, self.run.runtime.sleep
        due_s = clock() + interval_s
        while (left_s := due_s - clock()) > 0 and self.busy() == self._member.sends:
            if self._says_trouble():
                return
            await sleep(min(left_s, _AWAITED_S))

    async def beat(self) -> None:
        """Look at the others, take the share that is ours now, and tell them so."""
        await self._read_limits()
        beats = await self._heartbeats.look()
        for event in self._peers.seen(beats):
            self.run.runtime.emit(event)
        others = list(self._heartbeats_of(beats))
        for other in others:
            self.pool.adopt(other.ceilings)
        member = self._after_every_number_used().looking(others, self.run.runtime.clock())
        member = member.asking() if self.busy() else member.resting()
        self._member = member
        self._share(member.share())
        self._met |= member.live
        met = [beat.said for beat in beats if beat.owner.worker in self._met]
        self.told(len(member.live), met)
        if self.budget is not None:
            self.budget.workers = 1 + len(member.live)
        began_s = self.run.runtime.clock()
        heartbeat = member.heartbeat(self.pool.ceilings())
        self._begun = heartbeat.number
        await self._heartbeats.beat(heartbeat.number, self._said(heartbeat))
        self._member = member.wrote(heartbeat, began_s, self.run.runtime.clock())
        if self.budget is not None:
            self.budget.seen_until(self._member.valid_until)
        self._share(self._member.share())

    def _says_trouble(self) -> bool:
        """Whether a word was said of it: when it begins, every minute, and when it is over."""
        now_s, said_at_s = self.run.runtime.clock(), self._said_at_s
        trouble = self.report().trouble
        if trouble and said_at_s is not None and now_s - said_at_s < _SAY_EVERY_S:
            return False
        self._said_at_s = now_s if trouble else None
        if trouble or said_at_s is not None:
            self.run.runtime.tell("service", trouble or "requests are answered again")
            return True
        return False

    def _share(self, share: Share) -> None:
        self.pool.set_share(share if self.pool.is_limited else ALONE)

    async def end(self) -> None:
        """Say goodbye: others may take the share over at once."""
        member = self._after_every_number_used().resting()
        heartbeat = member.heartbeat(self.pool.ceilings())
        with contextlib.suppress(StoreUnavailable):
            await self._heartbeats.beat(heartbeat.number, self._said(heartbeat, gone=True))

    def _after_every_number_used(self) -> Member:
        """So that the next number is news to all, whatever became of the beats before it.

        An earlier round of this process may have used numbers up, and a beat that was cut or
        seems to have failed may have been written all the same.
        """
        number = max(self._member.number, self._heartbeats.used, self._begun)
        return replace(self._member, number=number)

    def _said(self, heartbeat: Heartbeat, *, gone: bool = False) -> WorkerReport:
        at_s = self.run.runtime.wall()
        return replace(self.report(), heartbeat=heartbeat, at_s=at_s, gone=gone)

    def _heartbeats_of(self, beats: Iterable[Beat]) -> Iterator[Heartbeat]:
        for beat in beats:
            if (heartbeat := beat.said.heartbeat) is None:
                continue
            if self.run.runtime.certainly_dead(beat.owner):
                # as if it had said so itself with its next number
                yield replace(heartbeat, number=heartbeat.number + 1, sends=False)
            else:
                yield heartbeat

    async def _read_limits(self) -> None:
        """Take over what another start or `ocrlabel set` changed for the whole fleet."""
        for number, change in await changes_since(self.run, self._limits):
            self._apply(change, number)
            self._limits = number

    def _apply(self, change: LimitsChange, number: int) -> None:
        if change.unreadable and number > self.known_limits:
            raise not_known(change.unreadable)
        values = change.values
        if "rps" in values:
            self.pool.set_rps(values["rps"], setting=number)
        if "max_cost_usd" in values and self.budget is not None:
            price_usd = self.run.price_per_page_usd
            self.budget.change_cap(cap_pages(values["max_cost_usd"], price_usd))
        if number > self.known_limits:
            self.run.runtime.tell("settings", f"changed for this run: {in_words(values)}")
            if "max_cost_usd" in values:
                self.run.runtime.emit(CapChanged(values["max_cost_usd"]))


@dataclass(slots=True)
class PeerMonitor:
    """What is told of the other workers. lives: whether one is certainly there.

    What a worker had done when it was first seen was counted when this one began; what it does
    from then on is added.
    """

    lives: Callable[[Beat], bool]
    _before: dict[str, WorkerReport] = field(default_factory=dict)
    _told: Fleet = field(default_factory=lambda: Fleet(0))

    def seen(self, beats: Iterable[Beat]) -> Iterator[Event]:
        """What the newest heartbeats of all others tell; with every beat, new or not."""
        done = dict.fromkeys(_COUNTS, 0)
        alive = []
        for beat in beats:
            before = self._before.setdefault(beat.owner.worker, beat.said)
            for name in _COUNTS:
                done[name] += getattr(beat.said, name) - getattr(before, name)
            if self.lives(beat):
                alive.append(beat.owner.worker)
        fleet = Fleet(len(alive), **done)
        if fleet.workers > self._told.workers:
            yield Notice("fleet", _sentence(alive))
        self._told = fleet
        yield fleet


def _sentence(alive: list[str]) -> str:
    if len(alive) == 1:
        return f"another worker is at work on this run: {alive[0]}"
    return f"{len(alive)} other workers are at work on this run"
