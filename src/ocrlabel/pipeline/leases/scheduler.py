"""Who works on what: hands out rows, one at a time, from slices that this worker has claimed.

All tasks of a worker draw from one iterator, so that memory stays at tasks x image and no slice
is claimed before it is needed. Batches are walked in order; a batch in which everything is taken
is passed over, so that no worker is idle while a slice is free anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from ocrlabel.errors import StoreUnavailable
from ocrlabel.labels import ImageRef
from ocrlabel.pipeline.leases.leases import (
    Closed,
    Free,
    HeldUntil,
    Lease,
    LeaseMark,
    Leases,
    LeaseState,
)
from ocrlabel.pipeline.run_context import Round
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.journal import JournalCache

LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class HeldSlice:
    """A slice that this worker holds. `complete`: closing it means that every row is settled."""

    batch: int
    number: int
    lease: Lease
    open_rows: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """An input row to be read. failed_before: how many runs in a row have failed on it."""

    ref: ImageRef
    held: HeldSlice
    failed_before: int = 0

    @property
    def batch(self) -> int:
        """Its batch."""
        return self.held.batch


@dataclass(slots=True)
class RowQueue:
    """First come, first served; a row that has to wait comes first once it is due."""

    _next: deque[Row] = field(default_factory=deque)
    _later: list[tuple[float, int, Row]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    @property
    def has_next(self) -> bool:
        """Whether a row is there that does not have to wait."""
        return bool(self._next)

    def take(self, now_s: float) -> Row | None:
        """The next row; None when there is none, or none is due."""
        if self._later and self._later[0][0] <= now_s:
            return heapq.heappop(self._later)[2]
        return self._next.popleft() if self._next else None

    def due_s(self) -> float | None:
        """When the first of the rows that wait is due."""
        return self._later[0][0] if self._later else None

    def add(self, rows: Iterable[Row]) -> None:
        """Rows of a slice that was just claimed."""
        self._next.extend(rows)

    def put_back(self, row: Row, at_s: float) -> None:
        """A row that has to be looked at again at this time."""
        heapq.heappush(self._later, (at_s, next(self._order), row))

    def drop(self, held: HeldSlice) -> None:
        """Forget the rows of a slice that is somebody else's by now."""
        self._next = deque(row for row in self._next if row.held is not held)
        self._later = [later for later in self._later if later[2].held is not held]
        heapq.heapify(self._later)


@dataclass(slots=True)
class BatchState:
    """Which of its slices are ours, closed or released, and how the others stood when last seen."""

    number: int
    ours: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    released: set[int] = field(default_factory=set)
    looked_at_s: float = -math.inf
    states: dict[int, LeaseState] = field(default_factory=dict)

    def free(self, number: int) -> Free | None:
        """How a slice may be claimed; None when it may not, as far as is known."""
        if number in self.ours | self.closed | self.released:
            return None
        stands = self.states.get(number, Free(number=1, taken_over=False))
        return stands if isinstance(stands, Free) else None

    def not_ours(self, number: int) -> None:
        """A slice is given back, or somebody else's."""
        self.ours.discard(number)
        # others may have closed theirs since: the last one to close must see all closed
        self.looked_at_s = -math.inf


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """The rows of a run that are left, drawn by `next`; `settled` and `put_back` return them."""

    round: Round
    leases: Leases
    journals: JournalCache
    stop: Stop
    selection: Selection
    refs: Callable[[int, int], Awaitable[Sequence[ImageRef]]]
    batch_done: Callable[[int], Awaitable[None]]
    unfinished: Sequence[int]
    _batches: dict[int, BatchState] = field(init=False)
    _queue: RowQueue = field(init=False, default_factory=RowQueue)
    _slices: dict[str, HeldSlice] = field(init=False, default_factory=dict)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._batches = {
            number: BatchState(number)
            for number in self.unfinished
            if self.selection.within(self.round.run.plan.batch_range(number))
        }

    async def next(self) -> Row | None:
        """The next row; None when nothing is left, or when the run is draining."""
        async with self._turn:
            while not self.stop.draining:
                if (row := self._queue.take(self.round.runtime.clock())) is not None:
                    return row
                if await self._claim() or self._queue.has_next:
                    continue
                if not self._slices and not self._batches:
                    return None
                await self._wait()
        return None

    async def _wait(self) -> None:
        """Wait until something changes here, something is due, or it is time to look again."""
        until_s = self.round.runtime.clock() + LOOK_AGAIN_S
        if (due_s := self._queue.due_s()) is not None:
            until_s = min(until_s, due_s)
        self._changed.clear()
        nap = self.round.runtime.sleep(max(0.01, until_s - self.round.runtime.clock()))
        until = (nap, self._changed.wait(), self.stop.wait_draining())
        tasks = [asyncio.ensure_future(one) for one in until]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _claim(self) -> bool:
        """Claim one slice anywhere; False when none is free now."""
        for batch in list(self._batches.values()):
            await self._look(batch)
            if batch.number not in self._batches:
                continue
            for number, rows in self.round.run.plan.slices(batch.number):
                if not self.selection.within(rows):
                    continue
                free = batch.free(number)
                if free is not None and await self._take(batch, number, rows, free):
                    return True
        return False

    async def _look(self, batch: BatchState) -> None:
        """See how the slices of a batch stand, unless that was seen a moment ago."""
        now_s = self.round.runtime.clock()
        if now_s - batch.looked_at_s < LOOK_AGAIN_S:
            return
        found = await self.leases.look_at_batch(batch.number)
        batch.states = {int(name.rpartition("-")[2]): stands for name, stands in found.items()}
        batch.closed |= {number for number, at in batch.states.items() if isinstance(at, Closed)}
        batch.looked_at_s = now_s
        await self._finish_if_done(batch)

    async def _take(self, batch: BatchState, number: int, rows: range, free: Free) -> bool:
        lease = await self.leases.claim(f"{batch.number:04d}-{number:02d}", free)
        if lease is None:  # somebody was faster
            batch.states[number] = HeldUntil(self.round.runtime.clock() + LOOK_AGAIN_S)
            return False
        held = HeldSlice(batch.number, number, lease)
        batch.ours.add(number)
        self._slices[lease.name] = held
        try:
            await self._draw(held, rows, taken_over=free.taken_over)
            if not held.open_rows:
                await self._give_back(held)
        except StoreUnavailable:
            await self._let_go(held)
            raise
        return True

    async def _draw(self, held: HeldSlice, rows: range, *, taken_over: bool) -> None:
        """The rows of a slice that are left to read."""
        journals = self.journals
        journal = await journals.fresh(held.batch) if taken_over else journals.begin(held.batch)
        todo = [o for o in self.selection.within(rows) if o not in journal.outcomes]
        doing = set(todo)
        held.complete = all(o in doing or o in journal.outcomes for o in self._required(rows))
        if not todo:
            return
        refs = await self.refs(todo[0], todo[-1] + 1)
        held.open_rows = len(todo)
        before = self.selection.failed_before
        self._queue.add(
            Row(ref, held, before.get(ref.ordinal, 0)) for ref in refs if ref.ordinal in doing
        )

    async def settled(self, row: Row) -> None:
        """The row's outcome is durable. Closes the slice, and the batch, with its last row."""
        row.held.open_rows -= 1
        if row.held.open_rows == 0 and not row.held.lease.lost:
            try:
                await self._give_back(row.held)
            except StoreUnavailable:
                # the rows are saved: whoever looks at the slice next finds it done
                await self._let_go(row.held)
        self._changed.set()

    def put_back(self, row: Row, *, at_s: float) -> None:
        """The row has to be looked at again at this time."""
        self._queue.put_back(row, at_s)
        self._changed.set()

    def lost(self, held: HeldSlice) -> None:
        """The slice is somebody else's: drop its rows."""
        held.lease.lost = True
        # it may have been claimed again by now: then another slice of it is ours
        if self._slices.get(held.lease.name, held) is held:
            self._slices.pop(held.lease.name, None)
            if (batch := self._batches.get(held.batch)) is not None:
                batch.not_ours(held.number)
        self._queue.drop(held)
        self._changed.set()

    async def _give_back(self, held: HeldSlice) -> None:
        state = LeaseMark.CLOSED if held.complete else LeaseMark.RELEASED
        self._slices.pop(held.lease.name, None)
        given = await self.leases.give_back(held.lease, state)
        batch = self._batches.get(held.batch)
        if batch is None:
            return
        batch.not_ours(held.number)
        if given:  # the store took it
            (batch.closed if held.complete else batch.released).add(held.number)
        if not batch.ours:
            await self._finish_if_done(batch)

    async def _let_go(self, held: HeldSlice) -> None:
        """Hold a slice no longer that the store failed on: it is claimed again like any other."""
        await self._release(held)
        self.lost(held)

    async def _release(self, held: HeldSlice) -> None:
        with contextlib.suppress(StoreUnavailable):  # then it expires
            await self.leases.give_back(held.lease, LeaseMark.RELEASED)

    def _required(self, rows: range) -> Sequence[int]:
        """The rows that must be settled before a slice or a batch of them is done for good."""
        return self.selection.within(rows) if self.round.number else rows

    async def _finish_if_done(self, batch: BatchState) -> None:
        """Write the checkpoint once every slice of the batch is closed, whoever closed them."""
        slices = list(self.round.run.plan.slices(batch.number))
        required = {number for number, rows in slices if self._required(rows)}
        selected = {number for number, rows in slices if self.selection.within(rows)}
        if batch.closed >= required:
            if self._batches.pop(batch.number, None) is not None:
                try:
                    await self.batch_done(batch.number)
                except StoreUnavailable:
                    self._batches[batch.number] = batch
                    raise
        elif batch.closed | batch.released >= selected:  # nothing that was asked for is left in it
            self._batches.pop(batch.number, None)

    async def keep(self) -> None:
        """Renew every held lease each third of its duration, for as long as the run lasts."""
        while True:
            await self.round.runtime.sleep(self.leases.duration_s / 3)
            for held in list(self._slices.values()):
                with contextlib.suppress(StoreUnavailable):  # it expires, or the next try renews it
                    await self.renew(held)

    async def renew(self, held: HeldSlice) -> bool:
        """Renew one lease; False, and its rows are dropped, when it is somebody else's by now."""
        if not self._holds(held):
            return False
        if await self.leases.renew(held.lease):
            return True
        if self._holds(held):
            self.lost(held)
        return False

    def _holds(self, held: HeldSlice) -> bool:
        return self._slices.get(held.lease.name) is held

    async def release_all(self) -> None:
        """Give every lease back, so that others need not wait for it to expire."""
        slices = list(self._slices.values())
        self._slices.clear()
        await asyncio.gather(*(self._release(held) for held in slices))
