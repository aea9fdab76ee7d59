"""Hands out rows, one at a time, from slices that this worker has claimed.

All hands of a worker draw from one iterator, so that memory stays at hands x image and no slice
is claimed before it is needed. Batches are walked in order; a batch in which everything is taken
is passed over, so that no worker is idle while a slice is free anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from ocrlabel.errors import StoreUnavailable
from ocrlabel.labels import ImageRef
from ocrlabel.pipeline.leases.lease import (
    Closed,
    Free,
    HeldUntil,
    Lease,
    Leases,
    LeaseState,
    Standing,
)
from ocrlabel.pipeline.outcomes import Row
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.saved.views import Views
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.stop import Stop
from ocrlabel.pipeline.world import World

_LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class Part:
    """A slice that this worker holds. `complete`: closing it means that every row is settled."""

    batch: int
    number: int
    lease: Lease
    open_rows: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Work:
    """A row to read, and the slice that it comes from."""

    row: Row
    part: Part


@dataclass(slots=True)
class _Batch:
    """What this worker knows of an unfinished batch."""

    number: int
    ours: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    released: set[int] = field(default_factory=set)
    looked_at_s: float | None = None
    standings: dict[int, Standing] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Claims:
    """The rows of a run that are left, drawn by `next`; `settled` and `put_back` return them."""

    world: World
    plan: Plan
    leases: Leases
    views: Views
    stop: Stop
    selection: Selection
    refs: Callable[[int, int], Awaitable[Sequence[ImageRef]]]
    batch_done: Callable[[int], Awaitable[None]]
    unfinished: Sequence[int]
    retrying: bool = False
    _batches: dict[int, _Batch] = field(init=False)
    _queue: deque[Work] = field(init=False, default_factory=deque)
    _later: list[tuple[float, int, Work]] = field(init=False, default_factory=list)
    _held: dict[str, Part] = field(init=False, default_factory=dict)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _order: count[int] = field(init=False, default_factory=count)

    def __post_init__(self) -> None:
        self._batches = {
            number: _Batch(number)
            for number in self.unfinished
            if self.selection.within(self.plan.batch_range(number))
        }

    async def next(self) -> Work | None:
        """The next row; None when nothing is left, or when the run is draining."""
        async with self._turn:
            while not self.stop.draining:
                if self._later and self._later[0][0] <= self.world.clock():
                    return heapq.heappop(self._later)[2]
                if self._queue:
                    return self._queue.popleft()
                if await self._claim() or self._queue:
                    continue
                if not self._held and not self._batches:
                    return None
                await self._wait(_LOOK_AGAIN_S)
        return None

    async def _wait(self, longest_s: float) -> None:
        """Wait until something changes here, something is due, or it is time to look again."""
        until_s = self.world.clock() + longest_s
        if self._later:
            until_s = min(until_s, self._later[0][0])
        self._changed.clear()
        nap_s = max(0.01, until_s - self.world.clock())

        async def sleeping() -> None:
            await self.world.sleep(nap_s)

        tasks = {
            asyncio.ensure_future(sleeping()),
            asyncio.ensure_future(self._changed.wait()),
            asyncio.ensure_future(self.stop.wait_draining()),
        }
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
            for number, rows in self.plan.slices(batch.number):
                free = self._free(batch, number, rows)
                if free is not None and await self._take(batch, number, rows, free):
                    return True
        return False

    async def _look(self, batch: _Batch) -> None:
        """See how the slices of a batch stand, unless that was seen a moment ago."""
        now_s = self.world.clock()
        if batch.looked_at_s is not None and now_s - batch.looked_at_s < _LOOK_AGAIN_S:
            return
        found = await self.leases.look_at_batch(batch.number)
        batch.looked_at_s = now_s
        batch.standings = {int(name.rpartition("-")[2]): stands for name, stands in found.items()}
        for number, stands in batch.standings.items():
            if isinstance(stands, Closed):
                batch.closed.add(number)
        await self._finish_if_done(batch)

    def _free(self, batch: _Batch, number: int, rows: range) -> Free | None:
        taken = batch.ours | batch.closed | batch.released
        if number in taken or not self.selection.within(rows):
            return None
        stands = batch.standings.get(number, Free(number=1, taken_over=False))
        if isinstance(stands, HeldUntil) and self.world.clock() >= stands.look_again_s:
            batch.looked_at_s = None
            return None
        return stands if isinstance(stands, Free) else None

    async def _take(self, batch: _Batch, number: int, rows: range, free: Free) -> bool:
        lease = await self.leases.claim(self._name(batch.number, number), free)
        if lease is None:
            batch.standings[number] = HeldUntil(self.world.clock() + _LOOK_AGAIN_S)
            return False
        view = (
            await self.views.fresh(batch.number)
            if free.taken_over
            else self.views.begin(batch.number)
        )
        todo = [o for o in self.selection.within(rows) if o not in view.outcomes]
        doing = set(todo)
        complete = all(o in doing or o in view.outcomes for o in self._required(rows))
        part = Part(batch.number, number, lease, len(todo), complete)
        batch.ours.add(number)
        self._held[lease.name] = part
        if not todo:
            await self._give_back(part)
            return True
        refs = await self.refs(todo[0], todo[-1] + 1)
        before = self.selection.failed_before
        self._queue.extend(
            Work(Row(ref, batch.number, before.get(ref.ordinal, 0)), part)
            for ref in refs
            if ref.ordinal in doing
        )
        return True

    async def settled(self, work: Work) -> None:
        """The row's outcome is durable. Closes the slice, and the batch, with its last row."""
        work.part.open_rows -= 1
        if work.part.open_rows == 0 and not work.part.lease.lost:
            try:
                await self._give_back(work.part)
            except StoreUnavailable:
                # the rows are saved: whoever looks at the slice next finds it done
                self.lost(work.part)
        self._changed.set()

    def put_back(self, work: Work, *, at_s: float) -> None:
        """The row has to be looked at again at this time."""
        heapq.heappush(self._later, (at_s, next(self._order), work))
        self._changed.set()

    def lost(self, part: Part) -> None:
        """The slice is somebody else's: drop its rows."""
        part.lease.lost = True
        self._held.pop(part.lease.name, None)
        batch = self._batches.get(part.batch)
        if batch is not None:
            batch.ours.discard(part.number)
            batch.looked_at_s = None
        self._queue = deque(work for work in self._queue if work.part is not part)
        self._later = [later for later in self._later if later[2].part is not part]
        heapq.heapify(self._later)
        self._changed.set()

    async def _give_back(self, part: Part) -> None:
        state = LeaseState.CLOSED if part.complete else LeaseState.RELEASED
        self._held.pop(part.lease.name, None)
        given = await self.leases.give_back(part.lease, state)
        batch = self._batches.get(part.batch)
        if batch is None:
            return
        batch.ours.discard(part.number)
        if given:
            (batch.closed if part.complete else batch.released).add(part.number)
        # others may have closed theirs since: the last one to close must see all closed
        batch.looked_at_s = None
        if not batch.ours:
            await self._finish_if_done(batch)

    def _required(self, rows: range) -> Sequence[int]:
        """The rows that must be settled before a slice or a batch of them is done for good."""
        return self.selection.within(rows) if self.retrying else rows

    async def _finish_if_done(self, batch: _Batch) -> None:
        """Write the checkpoint once every slice of the batch is closed, whoever closed them."""
        slices = list(self.plan.slices(batch.number))
        required = {number for number, rows in slices if self._required(rows)}
        selected = {number for number, rows in slices if self.selection.within(rows)}
        if batch.closed >= required:
            if self._batches.pop(batch.number, None) is not None:
                try:
                    await self.batch_done(batch.number)
                except StoreUnavailable:
                    self._batches[batch.number] = batch
                    raise
        elif batch.closed | batch.released >= selected:
            self._batches.pop(batch.number, None)

    async def keep(self) -> None:
        """Renew every held lease each third of its duration, for as long as the run lasts."""
        while True:
            await self.world.sleep(self.leases.duration_s / 3)
            for part in list(self._held.values()):
                with contextlib.suppress(StoreUnavailable):  # it expires, or the next try renews it
                    await self.renew(part)

    async def renew(self, part: Part) -> bool:
        """Renew one lease; False, and its rows are dropped, when it is somebody else's by now."""
        if part.lease.name not in self._held:
            return False
        if await self.leases.renew(part.lease):
            return True
        if part.lease.name in self._held:
            self.lost(part)
        return False

    async def release_all(self) -> None:
        """Give every lease back, so that others need not wait for it to expire."""
        for part in list(self._held.values()):
            self._held.pop(part.lease.name, None)
            await self.leases.give_back(part.lease, LeaseState.RELEASED)

    def _name(self, batch: int, number: int) -> str:
        return f"{batch:04d}-{number:02d}"
