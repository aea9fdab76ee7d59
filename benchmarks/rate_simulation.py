"""What the rate pool makes of a service's limit, in virtual time: use of the rate and share of 429.

Run from the repository's root:  python -m benchmarks.rate_simulation [--seeds 20]
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocrlabel.engine import Lane
from ocrlabel.pipeline.rate.limiter import RatePool
from tests.support.clock import clock, run_virtual, sleep
from tests.support.service import LIMITERS, Figures, Service, figures, read_all


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    allowed: tuple[float, ...]
    documented: tuple[float, ...]
    rps: float | None = None
    images: int = 300
    after_s: float = 0.0
    retry_after_s: float | None = None
    median_s: float = 2.0


SETTINGS = (
    Setting("3/s, auto from 3", (3,), (3,)),
    Setting("3/s, auto from 3, Retry-After 1", (3,), (3,), retry_after_s=1.0),
    Setting("3/s, --rps 3", (3,), (3,), rps=3),
    Setting("3/s, auto from 1, after 1 min", (3,), (1,), after_s=60, images=600),
    Setting("10/s, auto from 3, after 1 min", (10,), (3,), after_s=60, images=2000),
    Setting("10/s, same, Retry-After 1", (10,), (3,), after_s=60, images=2000, retry_after_s=1.0),
    Setting("1/s, auto from 3, after 1 min", (1,), (3,), after_s=60),
    Setting("1/s, auto from 1", (1,), (1,)),
    Setting("two keys 3 + 1, auto", (3, 1), (3, 1)),
    Setting("30/s, auto from 30, latency 0.2", (30,), (30,), images=3000, median_s=0.2),
)


def simulated(setting: Setting, limiter: str, seed: int) -> Figures:
    async def story() -> Figures:
        rng = random.Random(f"{limiter} {seed}")
        await sleep(rng.random())  # the service's windows begin at any moment of ours
        names = [f"key{number}" for number in range(len(setting.allowed))]
        allowed = zip(names, setting.allowed, strict=True)
        service = Service(
            {name: LIMITERS[limiter](rate) for name, rate in allowed},
            rng,
            median_s=setting.median_s,
            retry_after_s=setting.retry_after_s,
        )
        documented = zip(names, setting.documented, strict=True)
        pool = RatePool(
            lanes=[Lane(name, rate) for name, rate in documented],
            clock=clock,
            sleep=late(rng),
            rps=setting.rps,
        )
        start = clock()
        await read_all(pool, service, setting.images)
        return figures(service.arrivals, start + setting.after_s)

    return run_virtual(story())


def late(rng: random.Random) -> Callable[[float], Awaitable[None]]:
    """A timer as a busy machine has it: up to a few milliseconds late."""

    async def nap(seconds: float) -> None:
        await sleep(seconds + rng.expovariate(1 / 0.002))

    return nap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print("| setting | limiter | use of the rate: median (worst) | 429: median (worst) |")
    print("|---|---|---|---|")
    for setting in SETTINGS:
        if args.only not in setting.name:
            continue
        for limiter in LIMITERS:
            runs = [simulated(setting, limiter, seed) for seed in range(args.seeds)]
            use = [run.read_per_s / sum(setting.allowed) for run in runs]
            refused = [run.refused_share for run in runs]
            print(
                f"| {setting.name} | {limiter} "
                f"| {statistics.median(use):.1%} ({min(use):.1%}) "
                f"| {statistics.median(refused):.2%} ({max(refused):.2%}) |"
            )


if __name__ == "__main__":
    main()
