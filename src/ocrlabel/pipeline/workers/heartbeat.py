"""Signs of life: every worker of a run writes numbered objects; others see who is there.

A heartbeat holds a duration, as a lease does: a worker counts as gone once its number has not
changed for that long on the clock of whoever looks, at once when it says so itself, or when it is
a process of this host that no longer runs.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ocrlabel.pipeline.runtime import Owner, World, certainly_dead, owner_from
from ocrlabel.pipeline.state.layout import RunKeys, number_of
from ocrlabel.storage.base import NotStored

_KEPT = 2
_FRESH_S = 20.0
_ONE_BEAT_S = 10.0
_MARGIN_S = 120.0
_CLOCKS_DIFFER_S = 3600.0
_LOOK_S = 1.0
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


"""Some beats: a worker writes one every 5 s, and its clock may differ a little from ours."""
"""Within this a worker that is there writes a heartbeat, however slow the store."""
"""A worker cut off from the store for a moment is not lost, nor one whose clock is behind."""
"""By more than this no clock is behind: whoever was silent for longer is not waited for."""


class Presence(StrEnum):
    """How a worker stands, as far as its heartbeats tell."""

    WORKING = "working"
    QUIET = "quiet"  # no word for a while, but not for long
    LOST = "lost"  # no word any more, and no goodbye
    ENDED = "ended"  # it said goodbye


async def attend(world: World, heartbeats: Heartbeats) -> list[Beat]:
    """The newest heartbeats of all, after one more beat's time where it is in doubt who lives."""
    began_s = world.clock()
    while True:
        beats = await heartbeats.look()
        in_doubt = any(_in_doubt(beat, heartbeats, world) for beat in beats)
        if not in_doubt or world.clock() - began_s >= _ONE_BEAT_S:
            return beats
        await world.sleep(_LOOK_S)


async def working(world: World, keys: RunKeys) -> int:
    """How many workers are at it now."""
    heartbeats = Heartbeats(world, keys, duration_s=_FRESH_S)
    beats = await attend(world, heartbeats)
    return sum(presence(beat, heartbeats, world) is Presence.WORKING for beat in beats)


def presence(beat: Beat, heartbeats: Heartbeats, world: World) -> Presence:
    """How the worker of a heartbeat stands."""
    if beat.gone:
        return Presence.ENDED
    if certainly_dead(beat.owner, world.me, world.alive):
        return Presence.LOST
    silent_s = silence_s(beat, world)
    beats_here = heartbeats.seen_to_beat(beat) and world.clock() - beat.since_s <= _FRESH_S
    runs_here = bool(beat.owner.host) and beat.owner.host == world.me.host
    if beats_here or runs_here or abs(silent_s) <= _FRESH_S:
        return Presence.WORKING
    near = abs(silent_s) <= beat.duration_s * 1.25 + _MARGIN_S
    return Presence.QUIET if near else Presence.LOST


def silence_s(beat: Beat, world: World) -> float:
    """How long ago it was written, by the two clocks; below 0 where the writer's is ahead."""
    return world.wall() - float(beat.said["at_s"])


def _in_doubt(beat: Beat, heartbeats: Heartbeats, world: World) -> bool:
    """Whether a newer heartbeat would tell that a worker lives that seems not to."""
    stands = presence(beat, heartbeats, world)
    told = stands in {Presence.WORKING, Presence.ENDED}
    if told or certainly_dead(beat.owner, world.me, world.alive):
        return False
    return silence_s(beat, world) <= _CLOCKS_DIFFER_S


@dataclass(frozen=True, slots=True)
class Session:
    """From when to when a worker was there, as far as it lived to say (Unix s)."""

    worker: str
    began_at_s: float
    ended_at_s: float


def active_s(
    sessions: Iterable[Session], since_s: float = -math.inf, until_s: float = math.inf
) -> float:
    """Seconds between the two moments in which at least one worker was there."""
    total_s, reached_s = 0.0, since_s
    for session in sorted(sessions, key=lambda one: one.began_at_s):
        start_s = max(session.began_at_s, reached_s)
        end_s = min(session.ended_at_s, until_s)
        total_s += max(0.0, end_s - start_s)
        reached_s = max(reached_s, end_s)
    return total_s


def session_of(worker: str, said: Mapping[str, Any]) -> Session | None:
    """The session that a heartbeat tells of."""
    if "began_at_s" not in said:
        return None
    return Session(worker, float(said["began_at_s"]), float(said["at_s"]))


async def read_sessions(world: World, keys: RunKeys) -> Sequence[Session]:
    """The sessions of all workers that ever were part of the run."""
    found = await newest_beats(world, keys)
    sessions = (session_of(worker, beat["said"]) for worker, beat in found.items())
    return [session for session in sessions if session is not None]
