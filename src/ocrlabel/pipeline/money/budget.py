"""The cap on money: a ledger of page grants that never sum above it, and this worker's purse.

The ledger is a log of numbered objects, each put if absent, so workers of a fleet take grants
without a server. A worker that ends settles: its grants then count as what it used. A dead
worker's grants stay spent until somebody settles for it from its asks and attempts.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from ocrlabel.errors import BudgetReached
from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.world import World
from ocrlabel.wording import counted

_GRANT_PAGES = 64
_NO_CAP = 2**62


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: a grant to a worker, or what it used in the end."""

    number: int
    kind: str
    worker: str
    pages: int


def cap_pages(max_cost_usd: float, price_per_page_usd: float) -> int:
    """How many pages a cap buys; never one more, whatever floats do."""
    return math.floor(max_cost_usd / price_per_page_usd + 1e-9)


def taken_pages(entries: Iterable[Entry]) -> int:
    """Pages that are spent or may still be: a settled worker counts what it used."""
    return sum(by_worker(entries).values())


def by_worker(entries: Iterable[Entry]) -> dict[str, int]:
    """Pages that count against the cap, by worker.

    Entries in their order: a settlement says what the worker used in all, and what it is granted
    later, in another round, comes on top.
    """
    taken: dict[str, int] = {}
    for entry in entries:
        before = 0 if entry.kind == "settle" else taken.get(entry.worker, 0)
        taken[entry.worker] = before + entry.pages
    return taken


def unsettled(entries: Iterable[Entry]) -> set[str]:
    """Workers that hold grants and have not settled since. Entries in their order."""
    last = {one.worker: one.kind for one in entries}
    return {worker for worker, kind in last.items() if kind != "settle"}


def grant_size(*, wanted: int, available: int, workers: int) -> int:
    """How many pages to take at once: enough for a while, and less as the cap comes near.

    0 when not even `wanted` is left.
    """
    if available < wanted:
        return 0
    fair = available // (2 * max(1, workers))
    return max(wanted, min(_GRANT_PAGES, fair))


class Ledger:
    """Reads and appends the shared log."""

    def __init__(self, world: World, keys: RunKeys) -> None:
        self._world = world
        self._keys = keys
        self.entries: dict[int, Entry] = {}

    async def refresh(self) -> list[Entry]:
        """All entries, in order."""
        prefix = self._keys.budget
        async for stored in self._world.store.list(prefix):
            number = int(stored.key.removeprefix(prefix).removesuffix(".json"))
            if number not in self.entries:
                found = json.loads(await self._world.store.get(stored.key))
                self.entries[number] = Entry(
                    number, found["kind"], found["worker"], int(found["pages"])
                )
        return [self.entries[number] for number in sorted(self.entries)]

    async def append(self, kind: str, worker: str, pages: int) -> bool:
        """Write the next number; False when somebody else just did."""
        number = max(self.entries, default=0) + 1
        body = {"kind": kind, "worker": worker, "pages": pages, "nonce": self._world.token()}
        key = f"{self._keys.budget}{number:06d}.json"
        if not await self._world.store.put_if_absent(key, json.dumps(body).encode()):
            return False
        self.entries[number] = Entry(number, kind, worker, pages)
        return True


class Purse:
    """What this worker may still spend. Every request reserves first, then pays what it cost."""

    def __init__(
        self, world: World, keys: RunKeys, *, cap: int | None, price_per_page_usd: float
    ) -> None:
        self._world = world
        self._ledger = Ledger(world, keys)
        self.cap = cap
        self.workers = 1
        self.settle_for_the_dead: Callable[[], Awaitable[bool]] | None = None
        self._turn = asyncio.Lock()
        self._paid = asyncio.Event()
        self._price_usd = price_per_page_usd
        self._granted = 0
        self._reserved = 0
        self.spent_pages = 0

    @property
    def worker_pages(self) -> int:
        """Pages that this worker spent or has reserved."""
        return self.spent_pages + self._reserved

    async def reserve(self, pages: int) -> None:
        """Set pages aside before a request. Raises BudgetReached when the cap does not allow it.

        Without a cap grants are written down too: one that is set later counts them.
        """
        async with self._turn:
            while self._left() < pages:
                await self._take(pages - self._left())
            self._reserved += pages

    def pay(self, reserved: int, cost: int) -> None:
        """A reserved request ended and cost this much (0: certainly nothing)."""
        self._reserved -= reserved
        self.spent_pages += cost
        self._paid.set()

    async def _take(self, wanted: int) -> None:
        entries = await self._ledger.refresh()
        cap = _NO_CAP if self.cap is None else self.cap
        available = cap - taken_pages(entries)
        pages = grant_size(wanted=wanted, available=available, workers=self.workers)
        if pages == 0:
            if self._reserved:
                # what is under way may cost less than was set aside for it
                self._paid.clear()
                await self._paid.wait()
                return
            if self.settle_for_the_dead is not None and await self.settle_for_the_dead():
                return
            raise BudgetReached(
                f"the cap of {counted(cap, 'page')} ({cap * self._price_usd:.2f} USD) is reached:"
                f" {taken_pages(entries) - self._left():,} are spent or may have been,"
                f" and the next request may cost {wanted:,} more than is left\n"
                "  raise --max-cost to go on; all answers so far are saved"
            )
        if await self._ledger.append("grant", self._world.me.worker, pages):
            self._granted += pages

    def _left(self) -> int:
        return self._granted - self.worker_pages

    async def settle(self) -> None:
        """Give back what is left of the grants; what is still reserved counts as spent."""
        if self._granted:
            await self._settle(self._world.me.worker, self.worker_pages)
            self._granted = self.worker_pages  # a later round takes grants of its own

    async def settle_for(self, used: Mapping[str, int]) -> None:
        """Settle for workers that are gone: pages used, by worker."""
        entries = await self._ledger.refresh()
        for worker in sorted(unsettled(entries) & set(used)):
            await self._settle(worker, used[worker])

    async def unsettled(self) -> set[str]:
        """Workers, other than this one, that hold grants and have not settled."""
        return unsettled(await self._ledger.refresh()) - {self._world.me.worker}

    async def _settle(self, worker: str, pages: int) -> None:
        while not await self._ledger.append("settle", worker, pages):
            if worker not in unsettled(await self._ledger.refresh()):
                return
