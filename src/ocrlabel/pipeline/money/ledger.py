"""The ledger of page grants: a log of numbered objects, each put if absent, and what it adds up to.

Workers of a fleet take grants without a server. A worker that ends settles: its grants then count
as what it used. A dead worker's stay spent until somebody settles for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ocrlabel.pipeline.layout import RunKeys, number_of
from ocrlabel.pipeline.world import World


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: "grant" to a worker, its "hold" of them, or "settle", all it used.

    duration_s: how long it is a sign of life. since_s: when it was first seen here (own clock).
    """

    number: int
    kind: str
    worker: str
    pages: int
    duration_s: float
    since_s: float


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


def holders(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The newest entry of every worker that holds grants. Entries in their order."""
    newest = {one.worker: one for one in entries}
    return {worker: one for worker, one in newest.items() if one.kind != "settle"}


class Ledger:
    """Reads and appends the shared log."""

    def __init__(self, world: World, keys: RunKeys, *, duration_s: float) -> None:
        self._world = world
        self._keys = keys
        self._duration_s = duration_s
        self._entries: dict[int, Entry] = {}

    @property
    def entries(self) -> list[Entry]:
        """All that are known, in order."""
        return [self._entries[number] for number in sorted(self._entries)]

    async def refresh(self) -> list[Entry]:
        """All entries, in order."""
        async for stored in self._world.store.list(self._keys.budget):
            if (number := number_of(stored.key)) not in self._entries:
                found = json.loads(await self._world.store.get(stored.key))
                self._entries[number] = Entry(
                    number,
                    found["kind"],
                    found["worker"],
                    int(found["pages"]),
                    float(found["duration_s"]),
                    self._world.clock(),
                )
        return self.entries

    async def append(self, kind: str, worker: str, pages: int) -> bool:
        """Write the next number; False when somebody else just did."""
        number = max(self._entries, default=0) + 1
        body = {
            "kind": kind,
            "worker": worker,
            "pages": pages,
            "duration_s": self._duration_s,
            "nonce": self._world.token(),
        }
        key = f"{self._keys.budget}{number:06d}.json"
        if not await self._world.store.put_if_absent(key, json.dumps(body).encode()):
            return False
        self._entries[number] = Entry(
            number, kind, worker, pages, self._duration_s, self._world.clock()
        )
        return True
