"""A fleet of real rate pools on one simulated service, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

from ocrlabel.engine import Lane
from ocrlabel.pipeline.rate.fleet import NOTHING, Heartbeat, Member
from ocrlabel.pipeline.rate.limiter import RatePool
from tests.support.clock import clock, sleep
from tests.support.service import LIMITERS, Service, read_all

DURATION_S = 15.0


@dataclass(slots=True)
class Crowd:
    """Workers that come and go; each has its own clock, and a wall clock that is a little off."""

    service: Service
    rng: random.Random
    documented_rps: float
    rps: float | None = None
    wall_skew_s: float = 0.02
    store: dict[str, Heartbeat] = field(default_factory=dict)
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def join(self, worker: str) -> None:
        """Start one more worker."""
        self.running[worker] = asyncio.create_task(self._work(worker))

    async def die(self, worker: str) -> None:
        """Kill it: no farewell, its requests are lost."""
        task = self.running.pop(worker)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def stop(self) -> None:
        """End of the simulation."""
        for worker in list(self.running):
            await self.die(worker)

    async def _work(self, worker: str) -> None:
        skew_s = self.rng.uniform(-self.wall_skew_s, self.wall_skew_s)
        pool = RatePool(
            lanes=[Lane("key", self.documented_rps)],
            clock=clock,
            sleep=self._nap,
            rps=self.rps,
            wall=lambda: 1.7e9 + clock() + skew_s,
        )
        pool.set_share(NOTHING)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(Member(worker, DURATION_S), pool))
            group.create_task(_read(pool, self.service))

    async def _beat(self, member: Member, pool: RatePool) -> None:
        beat_at = -DURATION_S
        while True:
            member = member.looking(self.store.values(), clock())
            pool.set_share(member.share())
            for other in member.sightings.values():
                pool.adopt(other.heartbeat.ceilings)
            if clock() - beat_at >= DURATION_S / 3 or member.is_awaited():
                beat_at = clock()
                heartbeat = member.heartbeat(pool.ceilings())
                await self._nap(0.05)
                self.store[member.worker] = heartbeat
                member = member.wrote(heartbeat, beat_at, clock())
                continue
            await self._nap(self.rng.uniform(1.0, 2.0))

    async def _nap(self, seconds: float) -> None:
        await sleep(seconds + self.rng.expovariate(1 / 0.002))


async def _read(pool: RatePool, service: Service) -> None:
    await read_all(pool, service, 10**9)


def key_service(limiter: str, rate: float, rng: random.Random) -> Service:
    """One key, answers after 2 s or so."""
    return Service({"key": LIMITERS[limiter](rate)}, rng)
