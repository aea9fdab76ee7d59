"""The cap on money: a ledger of page grants that never sum above it, and each worker's part.

A worker may spend its grants for as long as nobody can take it for dead: until a duration after it
began to write its newest heartbeat or entry. Then it must write "hold" first, and finds out what is
left to it. Whoever settles for it, from its claims and attempts, does so only if it has written
nothing since it was counted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ocrlabel.errors import BudgetReached, RunMismatch
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.codec import Codec, Damaged, Seconds
from ocrlabel.pipeline.state.layout import number_of, stored_under
from ocrlabel.wording import counted, usd

Kind: TypeAlias = Literal["grant", "hold", "settle"]
CAP_REACHED = "the cap of"
"""How the reason begins of a run that its cap has ended."""
_GRANT_PAGES = 64
_NO_CAP = 2**62


def cap_pages(max_cost_usd: float | None, price_per_page_usd: float) -> int | None:
    """How many pages a cap buys; never one more, whatever floats do. None: there is no cap."""
    if max_cost_usd is None:
        return None
    return math.floor(min(max_cost_usd / price_per_page_usd + 1e-9, _NO_CAP))


def grant_size(*, wanted: int, available: int, workers: int) -> int:
    """How many pages to take at once: enough for a while, and less as the cap comes near.

    0 when not even `wanted` is left.
    """
    if available < wanted:
        return 0
    fair = available // (2 * max(1, workers))
    return max(wanted, min(_GRANT_PAGES, fair))


class BudgetClient:
    """What this worker may still spend. Every request reserves first, then pays what it cost."""

    def __init__(self, run: Run, *, cap: int | None) -> None:
        self._runtime = run.runtime
        self._duration_s = run.options.lease_s
        self._price_usd = run.price_per_page_usd
        self._paid_before = run.plan.paid_before.spent_pages
        self._ledger = BudgetLedger(run, duration_s=self._duration_s)
        self._held_until_s = -math.inf
        self.cap = cap
        self._lowered = False
        self.workers = 1
        self.settle_dead_workers: Callable[[], Awaitable[bool]] | None = None
        self._turn = asyncio.Lock()
        self._paid = asyncio.Event()
        self._granted = 0
        self._reserved = 0
        self.spent_pages = 0

    @property
    def worker_pages(self) -> int:
        """Pages that this worker spent or has reserved."""
        return self.spent_pages + self._reserved

    def change_cap(self, cap: int | None) -> None:
        """Another cap holds from now on. Under a lower one, what is granted is asked for again."""
        if cap is not None and (self.cap is None or cap < self.cap):
            self._lowered = True
        self.cap = cap

    async def reserve(self, pages: int) -> None:
        """Set pages aside before a request. Raises BudgetReached when the cap does not allow it.

        Without a cap grants are written down too: one that is set later counts them.
        """
        async with self._turn:
            await self._hold()
            await self._give_back_under_a_lower_cap()
            while self._left() < pages:
                await self._take(pages - self._left())
                await self._hold()
            self._reserved += pages

    @property
    def covers(self) -> bool:
        """Whether what is reserved may be spent: to be looked at right before a request.

        False after a time in which this worker may have been taken for dead, and under a cap that
        was lowered: reserve again.
        """
        held = self._runtime.clock() < self._held_until_s and self._left() >= 0
        return held and not self._lowered

    def seen_until(self, until_s: float) -> None:
        """A heartbeat is written: nobody takes this worker for dead until then (own clock)."""
        if self._runtime.clock() < self._held_until_s:
            self._held_until_s = max(self._held_until_s, until_s)

    def pay(self, reserved: int, cost: int) -> None:
        """A reserved request ended and cost this much (0: certainly nothing)."""
        self._reserved -= reserved
        self.spent_pages += cost
        self._paid.set()

    async def _take(self, wanted: int) -> None:
        entries, capped_at = await self._ledger.refresh(), self.cap
        if capped_at is not None and self._ledger.unreadable:
            raise RunMismatch(
                f"{self._ledger.unreadable}: what it says was spent is not known,"
                " so nothing more is sent under a cap\n"
                "  bring it back from a backup; or look at what was spent with `ocrlabel status`,"
                " and go on with --max-cost none"
            )
        cap = _NO_CAP if capped_at is None else capped_at
        taken = self._paid_before + taken_pages(entries)
        available = cap - taken
        pages = grant_size(wanted=wanted, available=available, workers=self.workers)
        if pages == 0:
            if self._reserved:
                # what is under way may cost less than was set aside for it
                self._paid.clear()
                await self._paid.wait()
                return
            if self.settle_dead_workers is not None and await self.settle_dead_workers():
                return
            if self.cap != capped_at:
                return  # it was changed meanwhile
            raise BudgetReached(
                f"{CAP_REACHED} {counted(cap, 'page')} ({usd(cap * self._price_usd)}) is reached:"
                f" {taken - self._left():,} are spent or may have been,"
                f" and the next request may cost {wanted - available:,} more than is left\n"
                "  raise --max-cost to go on; all answers so far are saved"
            )
        await self._append("grant", pages)

    async def _give_back_under_a_lower_cap(self) -> None:
        """Keep of the grants only what is spent or reserved, and of that only what is sent.

        Until the fleet is under the cap, or nothing is reserved here, nothing more is covered.
        """
        while self._lowered:
            await self._ledger.refresh()
            kept = min(self._granted, self.worker_pages)
            if self._granted and not await self._append_settlement(kept):
                continue
            self._granted = kept
            if self._reserved:
                # else nobody would find out what of it was spent, should this worker die
                await self._append("hold", 0)
            taken = self._paid_before + taken_pages(self._ledger.entries)
            is_over = self.cap is not None and taken > self.cap
            self._lowered = is_over and self._reserved > 0
            if self._lowered:
                self._paid.clear()
                await self._paid.wait()

    async def _hold(self) -> None:
        """Find out what is left of the grants, where somebody may have settled for this worker."""
        while self._granted > self.spent_pages and self._runtime.clock() >= self._held_until_s:
            await self._ledger.refresh()
            await self._append("hold", 0)

    async def _append(self, kind: Kind, pages: int) -> None:
        """Write an entry after all that are known; nothing when somebody else just wrote one."""
        worker, began_s = self._runtime.me.worker, self._runtime.clock()
        if await self._ledger.append(kind, worker, pages):
            self._granted = by_worker(self._ledger.entries)[worker]
            self._held_until_s = max(self._held_until_s, began_s + self._duration_s)

    async def _append_settlement(self, pages: int) -> bool:
        return await self._ledger.append("settle", self._runtime.me.worker, pages)

    def _left(self) -> int:
        return self._granted - self.worker_pages

    async def settle(self) -> None:
        """Give back what is left of the grants; what is still reserved counts as spent."""
        self._held_until_s = -math.inf  # where this fails, somebody else may settle
        if self._granted:
            while not await self._append_settlement(self.worker_pages):
                await self._ledger.refresh()
            self._granted = self.worker_pages  # a later round takes grants of its own

    async def settle_for(self, gone: Iterable[BudgetEntry], used: Mapping[str, int]) -> None:
        """Settle for workers that are gone: their newest entries, and pages used, by worker.

        One that has written another entry by now is there after all, and is left alone.
        """
        for entry in gone:
            while holders(self._ledger.entries).get(entry.worker) == entry:
                pages = used.get(entry.worker, 0)
                if not await self._ledger.append("settle", entry.worker, pages):
                    await self._ledger.refresh()

    async def holders(self) -> dict[str, BudgetEntry]:
        """The newest entry of every other worker that holds grants."""
        found = holders(await self._ledger.refresh())
        found.pop(self._runtime.me.worker, None)
        return found


@dataclass(frozen=True, slots=True)
class BudgetEntry:
    """One line of the ledger: "grant" to a worker, its "hold" of them, or "settle", all it used.

    duration_s: how long it is a sign of life. since_s: when it was first seen here (own clock).
    """

    number: int
    kind: Kind
    worker: str
    pages: int
    duration_s: float
    since_s: float


def taken_pages(entries: Iterable[BudgetEntry]) -> int:
    """Pages that are spent or may still be: a settled worker counts what it used."""
    return sum(by_worker(entries).values())


def by_worker(entries: Iterable[BudgetEntry]) -> dict[str, int]:
    """Pages that count against the cap, by worker.

    Entries in their order: a settlement says what the worker used in all, and what it is granted
    later, in another round, comes on top.
    """
    taken: dict[str, int] = {}
    for entry in entries:
        before = 0 if entry.kind == "settle" else taken.get(entry.worker, 0)
        taken[entry.worker] = before + entry.pages
    return taken


def holders(entries: Iterable[BudgetEntry]) -> dict[str, BudgetEntry]:
    """The newest entry of every worker that holds grants. Entries in their order."""
    newest = {one.worker: one for one in entries}
    return {worker: one for worker, one in newest.items() if one.kind != "settle"}


@dataclass(frozen=True, slots=True)
class EntryBody:
    """An entry as it is stored."""

    kind: Kind
    worker: str
    pages: Annotated[int, Field(ge=0)]
    duration_s: Seconds
    nonce: str


_ENTRY = Codec(EntryBody)


class BudgetLedger:
    """Reads and appends the shared log."""

    def __init__(self, run: Run, *, duration_s: float) -> None:
        self._runtime = run.runtime
        self._keys = run.keys
        self._duration_s = duration_s
        self._entries: dict[int, BudgetEntry] = {}
        self.unreadable = ""
        """An entry that cannot be read, and why; "" where all can."""

    @property
    def entries(self) -> list[BudgetEntry]:
        """All that are known, in order."""
        return [self._entries[number] for number in sorted(self._entries)]

    async def refresh(self) -> list[BudgetEntry]:
        """All entries, in order."""
        async for stored in stored_under(self._runtime, self._keys.budget):
            if (number := number_of(stored.key)) not in self._entries:
                try:
                    body = _ENTRY.read(await self._runtime.store.get(stored.key))
                except Damaged as error:
                    self.unreadable = f"{self._runtime.where(stored.key)} cannot be read ({error})"
                    body = EntryBody("settle", "", 0, self._duration_s, "")
                self._remember(number, body)
        return self.entries

    async def append(self, kind: Kind, worker: str, pages: int) -> bool:
        """Write the next number; False when somebody else just did."""
        number = max(self._entries, default=0) + 1
        body = EntryBody(kind, worker, pages, self._duration_s, self._runtime.token())
        data = _ENTRY.encode(body)
        if not await self._runtime.store.put_if_absent(self._keys.budget_entry(number), data):
            return False
        self._remember(number, body)
        return True

    def _remember(self, number: int, body: EntryBody) -> None:
        since_s = self._runtime.clock()
        self._entries[number] = BudgetEntry(
            number, body.kind, body.worker, body.pages, body.duration_s, since_s
        )
