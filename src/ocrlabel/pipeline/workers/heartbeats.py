"""Signs of life: every worker of a run writes numbered objects; others see who is there.

A heartbeat holds a duration, as a lease does: a worker counts as gone once its number has not
changed for that long on the clock of whoever looks, at once when it says so itself, or when it is
a process of this host that no longer runs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrlabel.pipeline.layout import RunKeys, number_of
from ocrlabel.pipeline.owner import Owner, certainly_dead, owner_from
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import NotStored

_KEPT = 2
"""Numbers that stay: a reader may be between its listing and its get."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's newest heartbeat and since when this worker has seen it (own clock)."""

    owner: Owner
    number: int
    duration_s: float
    since_s: float
    said: Mapping[str, Any]

    @property
    def gone(self) -> bool:
        """It said that it ends."""
        return bool(self.said.get("gone"))


class Heartbeats:
    """Writes this worker's heartbeats and reads those of others."""

    def __init__(self, world: World, keys: RunKeys, *, duration_s: float) -> None:
        self._world = world
        self._keys = keys
        self.duration_s = duration_s
        self._seen: dict[str, Beat] = {}
        self._first_seen: dict[str, int] = {}
        self.used = 0
        """The highest number of this worker's own that the last look found."""

    async def beat(self, number: int, said: Mapping[str, Any]) -> None:
        """Write a number that was never used before; what it says is for the others."""
        body = self._world.me.as_json() | {"duration_s": self.duration_s, "said": dict(said)}
        worker = self._world.me.worker
        data = json.dumps(body, sort_keys=True).encode()
        await self._world.store.put(self._keys.heartbeat(worker, number), data)
        if number > _KEPT:
            await self._world.store.delete([self._keys.heartbeat(worker, number - _KEPT)])

    async def look(self) -> list[Beat]:
        """The newest heartbeat of every other worker that ever wrote one."""
        newest = await _newest_numbers(self._world, self._keys)
        self.used = newest.pop(self._world.me.worker, 0)
        fresh = [
            (worker, number)
            for worker, number in newest.items()
            if worker not in self._seen or self._seen[worker].number < number
        ]
        await asyncio.gather(*(self._read(worker, number) for worker, number in fresh))
        return [beat for worker, beat in sorted(self._seen.items()) if worker in newest]

    async def _read(self, worker: str, number: int) -> None:
        try:
            data = await self._world.store.get(self._keys.heartbeat(worker, number))
        except NotStored:
            return  # it has written a newer one meanwhile
        found = json.loads(data)
        self._first_seen.setdefault(worker, number)
        self._seen[worker] = Beat(
            owner=owner_from(found),
            number=number,
            duration_s=float(found["duration_s"]),
            since_s=self._world.clock(),
            said=found["said"],
        )

    def lives(self, beat: Beat) -> bool:
        """Whether that worker may still do something."""
        if beat.gone or certainly_dead(beat.owner, self._world.me, self._world.alive):
            return False
        return self._world.clock() < beat.since_s + beat.duration_s * 1.25

    def surely_lives(self, beat: Beat) -> bool:
        """Whether that worker was seen to do something, or is a process that runs on this host.

        The last heartbeat of a worker that died on another host looks alive for its duration.
        """
        here = self._world.me
        on_this_host = bool(beat.owner.host) and beat.owner.host == here.host
        return self.lives(beat) and (self.seen_to_beat(beat) or on_this_host)

    def seen_to_beat(self, beat: Beat) -> bool:
        """Whether that worker wrote a heartbeat since this one first looked."""
        return beat.number > self._first_seen[beat.owner.worker]

    async def others_alive(self) -> list[Beat]:
        """Workers that may still do something."""
        return [beat for beat in await self.look() if self.lives(beat)]


async def newest_beats(world: World, keys: RunKeys) -> dict[str, dict[str, Any]]:
    """What is written in every worker's newest heartbeat, this one's own included."""
    newest = await _newest_numbers(world, keys)

    async def read(worker: str, number: int) -> dict[str, Any] | None:
        try:
            data = await world.store.get(keys.heartbeat(worker, number))
        except NotStored:
            return None  # it has written newer ones meanwhile
        found: dict[str, Any] = json.loads(data)
        return found

    beats = await asyncio.gather(*(read(*one) for one in newest.items()))
    return {worker: beat for worker, beat in zip(newest, beats, strict=True) if beat is not None}


async def _newest_numbers(world: World, keys: RunKeys) -> dict[str, int]:
    prefix = keys.workers
    newest: dict[str, int] = {}
    async for stored in world.store.list(prefix):
        worker = stored.key.removeprefix(prefix).rpartition("/")[0]
        newest[worker] = max(number_of(stored.key), newest.get(worker, 0))
    return newest
