"""As many hands as the rate needs, all drawing from one iterator of rows.

A hand that waits for its turn keeps its place and its image; there are no permits to hold, so
nothing can deadlock on them. How many hands there are follows from rate x latency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrlabel.errors import BudgetReached, OcrLabelError, StoreUnavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice, RowDone
from ocrlabel.pipeline.leases.scheduler import Claims, Work
from ocrlabel.pipeline.requests.image_reader import Reader
from ocrlabel.pipeline.requests.outage import Outage
from ocrlabel.pipeline.requests.request import LeaseLost, NotNow
from ocrlabel.pipeline.runtime import Draining, Stop, World

_LOOK_S = 0.25
_STORE_PAUSE_S = 2.0
_HIRE_AT_ONCE = 8
_IDLE_AFTER_S = 1.5
_SPARE_HANDS = 2
"""Hands that open and prepare the next images while the others' requests are under way."""


@dataclass(slots=True, kw_only=True)
class Crew:
    """Runs hands until no row is left, or until the run is stopped."""

    world: World
    claims: Claims
    reader: Reader
    options: Options
    stop: Stop
    hands_wanted: Callable[[], int]
    _hands: set[asyncio.Task[None]] = field(default_factory=set)
    _fatal: OcrLabelError | None = None
    _exhausted: bool = False
    _looking: int = 0
    _no_claims: Outage = field(default_factory=Outage)
    _no_outcomes: Outage = field(default_factory=Outage)
    _had_rows_at_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._had_rows_at_s = self.world.clock()

    @property
    def busy(self) -> bool:
        """Whether any hand has a row, or had one a moment ago.

        A worker between two slices keeps its share of the rate: giving it back and taking it
        again would cost seconds.
        """
        if self._looking < len(self._hands):
            self._had_rows_at_s = self.world.clock()
        return self.world.clock() - self._had_rows_at_s < _IDLE_AFTER_S

    async def work(self) -> None:
        """Do all the rows there are. Raises what stopped the run, once all hands have ended."""
        try:
            while not self._exhausted and not self.stop.draining:
                self._hire()
                await self._until_some_end(_LOOK_S)
            await self._drain()
        finally:
            for hand in self._hands:
                hand.cancel()
            await asyncio.gather(*self._hands, return_exceptions=True)
        if self._fatal is not None:
            raise self._fatal

    async def _until_some_end(self, longest_s: float) -> None:
        done, _ = await asyncio.wait(
            self._hands, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED
        )
        for hand in done:
            self._hands.discard(hand)
            hand.result()  # hands end well, or by a bug that must be seen

    @property
    def _wanted(self) -> int:
        return self.hands_wanted() + _SPARE_HANDS + self.reader.resting

    def _hire(self) -> None:
        """More hands where the rate asks for them, unless some are waiting for rows already."""
        if self._hands and self._looking:
            return
        at_once = max(_HIRE_AT_ONCE, len(self._hands))
        for _ in range(min(at_once, self._wanted - len(self._hands))):
            self._hands.add(asyncio.ensure_future(self._hand()))

    async def _drain(self) -> None:
        """Let the hands end by themselves: for as long as the grace lasts when stopped."""
        while self._hands:
            left_s = _LOOK_S
            if self.stop.draining:
                left_s = self.stop.grace_ends_s - self.world.clock()
                if left_s <= 0:
                    return
            await self._until_some_end(min(left_s, _LOOK_S))

    async def _hand(self) -> None:
        while not self.stop.draining:
            if len(self._hands) > self._wanted:
                return
            self._looking += 1
            try:
                work = await self.claims.next()
                self._no_claims.over()
            except StoreUnavailable as error:
                await self._store_down(error, self._no_claims)
                continue
            finally:
                self._looking -= 1
            if work is None:
                self._exhausted = True
                return
            await self._do(work)

    async def _do(self, work: Work) -> None:
        lease = work.part.lease
        try:
            outcome = await self.reader.read(
                work.row, valid=lambda: lease.valid(self.world.clock())
            )
            if isinstance(outcome, NotNow):
                self.claims.put_back(work, at_s=outcome.look_again_s)
                return
            self.world.emit(RowDone(outcome))
            await self.claims.settled(work)
            # rows that end are progress, also while no slice can be claimed
            self._no_outcomes.over()
            self._no_claims.over()
        except Draining:
            return
        except LeaseLost:
            await self._regain(work)
        except StoreUnavailable as error:
            await self._must_wait(work, error)
        except OcrLabelError as error:
            self._stop_for(error)

    async def _regain(self, work: Work) -> None:
        """The lease ran out under a row: it is read again if the slice is still ours."""
        try:
            if await self.claims.renew(work.part):
                self.claims.put_back(work, at_s=self.world.clock())
        except StoreUnavailable as error:
            await self._must_wait(work, error)

    async def _must_wait(self, work: Work, error: StoreUnavailable) -> None:
        """Put a row back that a store failed on."""
        if self.reader.exchange.journal.is_broken:
            self._stop_for(error)
            return
        self.claims.put_back(work, at_s=self.world.clock() + _STORE_PAUSE_S)
        await self._store_down(error, self._no_outcomes)

    def _stop_for(self, error: OcrLabelError) -> None:
        """Stop the run for good reasons; requests that are under way may still end."""
        if self._fatal is None or isinstance(self._fatal, BudgetReached):
            self._fatal = error
        self.stop.drain(str(error), grace_s=self.reader.exchange.engine.request_timeout_s)

    async def _store_down(self, error: StoreUnavailable, outage: Outage) -> None:
        """Wait for a store to come back, for as long as an outage of the service may last.

        Claims and outcomes each have an outage of their own: rows that are drawn, or slices that
        can be claimed, are no sign that the images or the asks are there again.
        """
        if outage.failed(self.world.clock()):
            self.world.emit(Notice("store", f"{error}; waiting for it"))
        if outage.tried_for_s >= self.options.give_up_after:
            self._stop_for(error)
            return
        try:
            await self.stop.nap(self.world.sleep, _STORE_PAUSE_S)
        except Draining:
            return
