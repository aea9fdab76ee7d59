"""A rate-limited service in virtual time, and a run against it: what the rate pool is judged by."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ocrlabel.pipeline.rate.breaker import Breaker, Go, Probe
from ocrlabel.pipeline.rate.limiter import RatePool, Slot
from tests.support.clock import clock, sleep


class Limiter(Protocol):
    """Judges one request by when it arrived."""

    def admits(self, now: float, cost: float = 1.0) -> bool: ...


@dataclass(slots=True)
class Bucket:
    """A token bucket that holds burst_s seconds of the rate."""

    rate: float
    burst_s: float = 1.0
    level: float = math.inf
    at: float = 0.0

    def admits(self, now: float, cost: float = 1.0) -> bool:
        most = max(1.0, self.rate * self.burst_s)
        self.level = min(most, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < cost - 1e-9:
            return False
        self.level -= cost
        return True


@dataclass(slots=True)
class FixedWindow:
    """At most rate x window_s requests in each window, counted from 0 s."""

    rate: float
    window_s: float = 1.0
    window: int = -1
    count: float = 0.0

    def admits(self, now: float, cost: float = 1.0) -> bool:
        window = math.floor(now / self.window_s)
        if window != self.window:
            self.window, self.count = window, 0.0
        if self.count + cost > self.rate * self.window_s + 1e-9:
            return False
        self.count += cost
        return True


@dataclass(slots=True)
class SlidingWindow:
    """At most rate x window_s requests in any window."""

    rate: float
    window_s: float = 1.0
    seen: deque[float] = field(default_factory=deque)

    def admits(self, now: float, cost: float = 1.0) -> bool:
        while self.seen and self.seen[0] <= now - self.window_s:
            self.seen.popleft()
        if len(self.seen) + 1 > self.rate * self.window_s + 1e-9:
            return False
        self.seen.append(now)
        return True


LIMITERS: Mapping[str, Callable[[float], Limiter]] = {
    "bucket": Bucket,
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
}


@dataclass(slots=True)
class Service:
    """Answers after lognormal latencies; requests take a varying time on their way.

    way_s: the least time on the way, and the mean of what comes on top (exponential).
    """

    limiters: Mapping[str, Limiter]
    rng: random.Random
    median_s: float = 2.0
    sigma: float = 0.3
    way_s: tuple[float, float] = (0.010, 0.008)
    retry_after_s: float | None = None
    down: Callable[[float], bool] = lambda now: False
    arrivals: list[tuple[float, str, bool]] = field(default_factory=list)
    """When, with which key, and whether it was let in."""

    async def admits(self, lane: str) -> bool:
        """Whether the request was read; it answers 503 while `down`."""
        await sleep(self._way())
        if self.down(clock()):
            raise ConnectionError
        admitted = self.limiters[lane].admits(clock())
        self.arrivals.append((clock(), lane, admitted))
        if admitted:
            await sleep(self.rng.lognormvariate(math.log(self.median_s), self.sigma))
        await sleep(self._way())
        return admitted

    def _way(self) -> float:
        least_s, more_s = self.way_s
        return least_s + self.rng.expovariate(1 / more_s)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a run: all rates in requests/s."""

    sent: int
    refused: int
    read: int
    first_s: float
    last_s: float

    @property
    def read_per_s(self) -> float:
        return (self.read - 1) / (self.last_s - self.first_s)

    @property
    def refused_share(self) -> float:
        return self.refused / self.sent


def figures(arrivals: list[tuple[float, str, bool]], after_s: float = -math.inf) -> Figures:
    """Between the first and the last arrival, from after_s on."""
    seen = [arrival for arrival in arrivals if arrival[0] >= after_s]
    refused = sum(not admitted for _, _, admitted in seen)
    return Figures(len(seen), refused, len(seen) - refused, seen[0][0], seen[-1][0])


async def read_all(
    pool: RatePool,
    service: Service,
    images: int,
    *,
    breaker: Breaker | None = None,
    until: Callable[[], bool] = lambda: False,
) -> int:
    """The smallest run there is: every image until it was read. Returns how many were."""
    gate = breaker or Breaker()
    left, in_flight, read = images, 0, 0
    tasks: set[asyncio.Task[None]] = set()

    async def send(slot: Slot) -> None:
        nonlocal left, in_flight, read
        try:
            admitted = await service.admits(slot.lane)
        except ConnectionError:
            pool.failed(slot)
            gate.on_failure(clock(), "connection")
            left += 1
        else:
            if admitted:
                pool.succeeded(slot, clock() - slot.sent_at)
                gate.on_success()
                read += 1
            else:
                pool.throttled(slot, service.retry_after_s)
                gate.on_failure(clock(), "429")
                left += 1
        in_flight -= 1

    while read < images and not until():
        if not left or in_flight >= pool.in_flight_wanted():
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks = {task for task in tasks if not task.done()}
            continue
        match gate.gate(clock()):
            case Go() | Probe():
                slot = await pool.acquire()
                left -= 1
                in_flight += 1
                tasks.add(asyncio.create_task(send(slot)))
            case wait:
                await sleep(wait.until - clock())
    if tasks:
        await asyncio.wait(tasks)
    return read
