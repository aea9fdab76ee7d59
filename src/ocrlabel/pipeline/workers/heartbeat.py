"""Signs of life: every worker of a run writes numbered objects; others see who is there.

A heartbeat holds a duration, as a lease does: a worker counts as gone once its number has not
changed for that long on the clock of whoever looks, at once when it says so itself, or when it is
a process of this host that no longer runs. What else it says is for the
fleet's rate (`rate/fleet`), for the displays of the others and for `ocrlabel status`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum

from ocrlabel.pipeline.rate.fleet import MARGIN, Heartbeat
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.state.codec import Codec, Seconds, read_or_tell
from ocrlabel.pipeline.state.layout import number_of, stored_under
from ocrlabel.storage.base import NotStored

_KEPT = 2
"""Numbers that stay: a reader may be between its listing and its get."""
_FRESH_S = 20.0
"""Some beats: a worker writes one every 5 s, and its clock may differ a little from ours."""
_ONE_BEAT_S = 10.0
"""Within this a worker that is there writes a heartbeat, however slow the store."""
_CUT_OFF_S = 120.0
_CLOCKS_DIFFER_S = 3600.0
"""By more than this no clock is behind: whoever was silent for longer is not waited for."""
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class RecentRequests:
    """Requests that ended of late, and since when (Unix s)."""

    requests: int
    since_s: float


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Images that were refused while nothing was read, and the words (without numbers)."""

    images: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker says of itself: when (Unix s), its place in the fleet's rate, and its counts.

    began_at_s: when it set to work. stopped: why it ends early. gone: it says goodbye.
    trouble: what does not work now, and since when. Fields that an earlier version did not write
    have defaults.
    """

    at_s: float = 0.0
    began_at_s: float | None = None
    failed: int = 0
    gone: bool = False
    heartbeat: Heartbeat | None = None
    held_back: HeldBack | None = None
    labelled: int = 0
    lately: RecentRequests | None = None
    pages: int = 0
    price_per_page_usd: float | None = None
    rate_per_s: float | None = None
    requests: Mapping[str, int] = field(default_factory=dict)
    spent_pages: int = 0
    stopped: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatBody(Owner):
    """A heartbeat as it is stored, of the worker that it names."""

    duration_s: Seconds
    said: WorkerReport


REPORT = Codec(WorkerReport, optional=("lately", "gone", "held_back", "trouble"), sort_keys=True)
_HEARTBEAT = Codec(HeartbeatBody, parts={"said": REPORT}, sort_keys=True)
_UNHEARD = "its worker is heard again with the next one"


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's newest heartbeat and since when this worker has seen it (own clock)."""

    owner: Owner
    number: int
    duration_s: float
    since_s: float
    said: WorkerReport


class Presence(StrEnum):
    """How a worker stands, as far as its heartbeats tell."""

    WORKING = "working"
    QUIET = "quiet"  # no word for a while, but not for long
    LOST = "lost"  # no word any more, and no goodbye
    ENDED = "ended"  # it said goodbye


class Heartbeats:
    """Writes this worker's heartbeats and reads those of others."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._runtime = run.runtime
        self.duration_s = run.options.lease_s
        self._seen: dict[str, Beat] = {}
        self._first_seen: dict[str, int] = {}
        self.used = 0
        """The highest number of this worker's own that the last look found."""

    async def beat(self, number: int, said: WorkerReport) -> None:
        """Write a number that was never used before; what it says is for the others."""
        me, keys, store = self._runtime.me, self._run.keys, self._runtime.store
        body = HeartbeatBody(*astuple(me), duration_s=self.duration_s, said=said)
        await store.put(keys.heartbeat(me.worker, number), _HEARTBEAT.encode(body))
        if number > _KEPT:
            await store.delete([keys.heartbeat(me.worker, number - _KEPT)])

    async def look(self) -> list[Beat]:
        """The newest heartbeat of every other worker that ever wrote one."""
        newest = await _newest_numbers(self._run)
        self.used = newest.pop(self._runtime.me.worker, 0)
        fresh = [
            (worker, number)
            for worker, number in newest.items()
            if worker not in self._seen or self._seen[worker].number < number
        ]
        await asyncio.gather(*(self._read(worker, number) for worker, number in fresh))
        return [beat for worker, beat in sorted(self._seen.items()) if worker in newest]

    async def _read(self, worker: str, number: int) -> None:
        body = await _read(self._run, worker, number)
        if body is None:
            return
        self._first_seen.setdefault(worker, number)
        self._seen[worker] = Beat(
            owner=Owner.of(body),
            number=number,
            duration_s=body.duration_s,
            since_s=self._runtime.clock(),
            said=body.said,
        )

    def lives(self, beat: Beat) -> bool:
        """Whether that worker may still do something."""
        if beat.said.gone or self._runtime.certainly_dead(beat.owner):
            return False
        return self._runtime.clock() < beat.since_s + beat.duration_s * MARGIN

    def surely_lives(self, beat: Beat) -> bool:
        """Whether that worker was seen to do something, or is a process that runs on this host.

        The last heartbeat of a worker that died on another host looks alive for its duration.
        """
        return self.lives(beat) and (self.seen_to_beat(beat) or self._is_here(beat))

    def seen_to_beat(self, beat: Beat) -> bool:
        """Whether that worker wrote a heartbeat since this one first looked."""
        return beat.number > self._first_seen[beat.owner.worker]

    def _is_here(self, beat: Beat) -> bool:
        return bool(beat.owner.host) and beat.owner.host == self._runtime.me.host

    async def others_alive(self) -> list[Beat]:
        """Workers that may still do something."""
        return [beat for beat in await self.look() if self.lives(beat)]

    async def look_until_sure(self) -> list[Beat]:
        """As `look`, after one more beat's time where it is in doubt who lives."""
        began_s = self._runtime.clock()
        while True:
            beats = await self.look()
            in_doubt = any(map(self._in_doubt, beats))
            if not in_doubt or self._runtime.clock() - began_s >= _ONE_BEAT_S:
                return beats
            await self._runtime.sleep(_LOOK_S)

    def presence(self, beat: Beat) -> Presence:
        """How the worker of a heartbeat stands."""
        if beat.said.gone:
            return Presence.ENDED
        if self._runtime.certainly_dead(beat.owner):
            return Presence.LOST
        silent_s = abs(self.silence_s(beat))
        beats_here = self.seen_to_beat(beat) and self._runtime.clock() - beat.since_s <= _FRESH_S
        if beats_here or self._is_here(beat) or silent_s <= _FRESH_S:
            return Presence.WORKING
        near = silent_s <= beat.duration_s * MARGIN + _CUT_OFF_S
        return Presence.QUIET if near else Presence.LOST

    def silence_s(self, beat: Beat) -> float:
        """How long ago it was written, by the two clocks; below 0 where the writer's is ahead."""
        return self._runtime.wall() - beat.said.at_s

    def _in_doubt(self, beat: Beat) -> bool:
        """Whether a newer heartbeat would tell that a worker lives that seems not to."""
        told = self.presence(beat) in {Presence.WORKING, Presence.ENDED}
        if told or self._runtime.certainly_dead(beat.owner):
            return False
        return self.silence_s(beat) <= _CLOCKS_DIFFER_S


async def working(run: Run) -> int:
    """How many workers are at it now."""
    heartbeats = Heartbeats(run)
    beats = await heartbeats.look_until_sure()
    return sum(heartbeats.presence(beat) is Presence.WORKING for beat in beats)


async def _newest_numbers(run: Run) -> dict[str, int]:
    prefix = run.keys.workers
    newest: dict[str, int] = {}
    async for stored in stored_under(run.runtime, prefix):
        worker = stored.key.removeprefix(prefix).rpartition("/")[0]
        newest[worker] = max(number_of(stored.key), newest.get(worker, 0))
    return newest


async def _read(run: Run, worker: str, number: int) -> HeartbeatBody | None:
    """A heartbeat; None when it cannot be read, or its worker has written newer ones meanwhile."""
    key = run.keys.heartbeat(worker, number)
    with contextlib.suppress(NotStored):
        return await read_or_tell(run.runtime, key, _HEARTBEAT, _UNHEARD)
    return None


@dataclass(frozen=True, slots=True)
class WorkerSession:
    """From when to when a worker was there, as far as it lived to say (Unix s)."""

    worker: str
    began_at_s: float
    ended_at_s: float


def active_s(
    sessions: Iterable[WorkerSession], since_s: float = -math.inf, until_s: float = math.inf
) -> float:
    """Seconds between the two moments in which at least one worker was there."""
    total_s, reached_s = 0.0, since_s
    for session in sorted(sessions, key=lambda one: one.began_at_s):
        start_s = max(session.began_at_s, reached_s)
        end_s = min(session.ended_at_s, until_s)
        total_s += max(0.0, end_s - start_s)
        reached_s = max(reached_s, end_s)
    return total_s


def sessions_of(said: Iterable[tuple[str, WorkerReport]]) -> list[WorkerSession]:
    """The sessions that workers' heartbeats tell of; an earlier version did not say."""
    return [
        WorkerSession(worker, one.began_at_s, one.at_s)
        for worker, one in said
        if one.began_at_s is not None
    ]


async def read_sessions(run: Run) -> list[WorkerSession]:
    """The sessions of all workers that ever were part of the run."""
    newest = await _newest_numbers(run)
    found = await asyncio.gather(*(_read(run, *one) for one in newest.items()))
    return sessions_of((body.worker, body.said) for body in found if body is not None)
