"""As many tasks as the rate needs, all drawing from one iterator of rows.

A task that waits for its turn keeps its place and its image; there are no permits to hold, so
nothing can deadlock on them. How many tasks there are follows from rate x latency.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ocrlabel.errors import BudgetReached, EngineUnusable, OcrLabelError, StoreUnavailable
from ocrlabel.pipeline.events import RowDone
from ocrlabel.pipeline.leases.scheduler import Row, Scheduler
from ocrlabel.pipeline.requests.image_reader import RowReader
from ocrlabel.pipeline.requests.request import LeaseLost, NotNow
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import CLEARING_UP_S, Draining, Stop
from ocrlabel.pipeline.state.run_store import Outage

_LOOK_S = 0.25
_STORE_PAUSE_S = 2.0
_ADDED_AT_ONCE = 8
_IDLE_AFTER_S = 1.5
_ASLEEP_S = 10.0
"""Between two looks: the machine slept, and has not waited for the service."""
_SPARE_TASKS = 2
"""Tasks that open and prepare the next images while the others' requests are under way."""


@dataclass(slots=True, kw_only=True)
class TaskPool:
    """Runs tasks until no row is left, or until the run is stopped."""

    run: Run
    scheduler: Scheduler
    reader: RowReader
    stop: Stop
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _fatal: Exception | None = None
    _exhausted: bool = False
    _looking: int = 0
    _no_claims: Outage = field(default_factory=Outage)
    _no_outcomes: Outage = field(default_factory=Outage)
    _had_rows_at_s: float = field(init=False)
    _looked_at_s: float = field(init=False)
    _awake_since_s: float = field(init=False)
    _gave_up: bool = False

    def __post_init__(self) -> None:
        self._had_rows_at_s = self._looked_at_s = self._awake_since_s = self.run.runtime.clock()
        refusals = self.reader.exchange.refusals
        refusals.nothing_else = lambda: len(self._tasks) - self._looking <= refusals.waiting

    @property
    def busy(self) -> bool:
        """Whether any task has a row, or had one a moment ago.

        A worker between two slices keeps its share of the rate: giving it back and taking it
        again would cost seconds.
        """
        if self._looking < len(self._tasks):
            self._had_rows_at_s = self.run.runtime.clock()
        return self.run.runtime.clock() - self._had_rows_at_s < _IDLE_AFTER_S

    async def work(self) -> None:
        """Do all the rows there are. Raises what stopped the run, once all tasks have ended."""
        try:
            while not self._exhausted and not self.stop.draining:
                self._add_tasks()
                await self._until_some_end(_LOOK_S)
            await self._drain()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:  # what does not end is left alone: answers are to be saved
                await asyncio.wait(self._tasks, timeout=CLEARING_UP_S)
        if self._fatal is not None:
            raise self._fatal

    async def _until_some_end(self, longest_s: float) -> None:
        done, _ = await asyncio.wait(
            self._tasks, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED
        )
        said = f"engine {self.reader.exchange.engine.name} cancelled the task that asked it"
        for task in done:
            self._tasks.remove(task)
            error = EngineUnusable(said) if task.cancelled() else task.exception()
            if isinstance(error, Exception):
                self._stop_for(error)  # a bug: it must be seen, but the others may end first
            elif error is not None:
                raise error
        if not self.stop.draining or self._fatal is not None:  # a signal has a grace of its own
            self._give_up_on_silence()

    def _give_up_on_silence(self) -> None:
        """End the run, and what is under way, when nothing was answered for `--give-up-after`."""
        now_s, exchange = self.run.runtime.clock(), self.reader.exchange
        if now_s > self._looked_at_s + _ASLEEP_S:
            self._awake_since_s = now_s
        self._looked_at_s = now_s
        silent_s = now_s - max(exchange.silent_since(now_s), self._awake_since_s)
        if silent_s >= self.run.options.give_up_after and self._looking < len(self._tasks):
            self._gave_up = True
            if self._fatal is None:
                self._stop_for(exchange.gave_up(silent_s))

    @property
    def _wanted(self) -> int:
        exchange = self.reader.exchange
        in_flight = exchange.pool.in_flight_wanted()
        return in_flight + _SPARE_TASKS + self.reader.resting + exchange.refusals.held

    def _add_tasks(self) -> None:
        """More tasks where the rate asks for them, unless some are waiting for rows already."""
        if self._tasks and self._looking:
            return
        at_once = max(_ADDED_AT_ONCE, len(self._tasks))
        for _ in range(min(at_once, self._wanted - len(self._tasks))):
            self._tasks.append(asyncio.ensure_future(self._task()))

    async def _drain(self) -> None:
        """Let the tasks end by themselves: for as long as the grace lasts when stopped."""
        while self._tasks:
            left_s = _LOOK_S
            if self.stop.draining:
                left_s = self.stop.grace_ends_s - self.run.runtime.clock()
                if left_s <= 0 or self._gave_up:
                    return
            await self._until_some_end(min(left_s, _LOOK_S))

    async def _task(self) -> None:
        while not self.stop.draining:
            if len(self._tasks) > self._wanted:
                return
            self._looking += 1
            try:
                row = await self.scheduler.next()
                self._no_claims.over()
            except StoreUnavailable as error:
                await self._store_down(error, self._no_claims)
                continue
            finally:
                self._looking -= 1
            if row is None:
                self._exhausted = True
                return
            await self._do(row)

    async def _do(self, row: Row) -> None:
        try:
            outcome = await self.reader.read(row)
            if isinstance(outcome, NotNow):
                self.scheduler.put_back(row, at_s=outcome.look_again_s)
                return
            self.run.runtime.emit(RowDone(outcome))
            await self.scheduler.settled(row)
            # rows that end are progress, also while no slice can be claimed
            self._no_outcomes.over()
            self._no_claims.over()
        except Draining:
            return
        except LeaseLost:
            await self._regain(row)
        except StoreUnavailable as error:
            await self._must_wait(row, error)
        except OcrLabelError as error:
            self._stop_for(error)

    async def _regain(self, row: Row) -> None:
        """The lease ran out under a row: it is read again if the slice is still ours."""
        try:
            if await self.scheduler.renew(row.held):
                self.scheduler.put_back(row, at_s=self.run.runtime.clock())
        except StoreUnavailable as error:
            await self._must_wait(row, error)

    async def _must_wait(self, row: Row, error: StoreUnavailable) -> None:
        """Put a row back that a store failed on."""
        self.scheduler.put_back(row, at_s=self.run.runtime.clock() + _STORE_PAUSE_S)
        await self._store_down(error, self._no_outcomes)

    def _stop_for(self, error: Exception) -> None:
        """Stop the run for good reasons; requests that are under way may still end."""
        if self._fatal is None or isinstance(self._fatal, BudgetReached):
            self._fatal = error
        self.stop.drain(str(error), grace_s=self.reader.exchange.engine.request_timeout_s)

    async def _store_down(self, error: StoreUnavailable, outage: Outage) -> None:
        """Wait for a store to come back, for as long as an outage of the service may last.

        Claims and outcomes each have an outage of their own: rows that are drawn, or slices that
        can be claimed, are no sign that the images or the claims are there again.
        """
        if outage.failed(self.run.runtime.clock()):
            self.run.runtime.tell("store", f"{error}; waiting for it")
        if outage.tried_for_s >= self.run.options.give_up_after:
            self._stop_for(error)
            return
        try:
            await self.stop.nap(self.run.runtime.sleep, _STORE_PAUSE_S)
        except Draining:
            return
