"""Workers that share one rate without a server, in virtual time.

Run from the repository's root:  python -m benchmarks.fleet_simulation [--seeds 5]

steady: all there from the start, figures from the 31st second on. churn: every 5 to 15 s a worker
joins or is killed; the use of the rate then counts shares that lie idle until a lease ends.
worst second: the most arrivals in any second.
"""

from __future__ import annotations

import argparse
import random
import statistics
from dataclasses import dataclass

from tests.support.clock import clock, run_virtual, sleep
from tests.support.crowd import Crowd, key_service
from tests.support.service import LIMITERS, Figures, figures

RATE = 3.0


@dataclass(frozen=True)
class Result:
    """Of one simulation."""

    figures: Figures
    worst_second: int


def steady(limiter: str, workers: int, seed: int, rps: float | None, skew_s: float) -> Result:
    async def story() -> Result:
        crowd = a_crowd(limiter, seed, rps, skew_s)
        start = clock()
        for number in range(workers):
            crowd.join(f"w{number}")
        await sleep(330)
        await crowd.stop()
        return result(crowd, start + 30)

    return run_virtual(story())


def churn(limiter: str, workers: int, seed: int, rps: float | None, skew_s: float) -> Result:
    async def story() -> Result:
        crowd = a_crowd(limiter, seed, rps, skew_s)
        start, born = clock(), 0
        while clock() < start + 300:
            can_die = len(crowd.running) > 1
            if can_die and (len(crowd.running) == workers or crowd.rng.random() < 0.4):
                await crowd.die(crowd.rng.choice(sorted(crowd.running)))
            else:
                crowd.join(f"w{crowd.rng.randrange(1000)}-{born}")
                born += 1
            await sleep(crowd.rng.uniform(5, 15))
        await crowd.stop()
        return result(crowd, start)

    return run_virtual(story())


def a_crowd(limiter: str, seed: int, rps: float | None, skew_s: float) -> Crowd:
    rng = random.Random(f"{limiter} {seed}")
    return Crowd(key_service(limiter, RATE, rng), rng, RATE, rps, skew_s)


def result(crowd: Crowd, after_s: float) -> Result:
    times = sorted(at for at, _, _ in crowd.service.arrivals)
    worst = max(
        sum(at <= later < at + 1 for later in times[n : n + 100]) for n, at in enumerate(times)
    )
    return Result(figures(crowd.service.arrivals, after_s), worst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose title holds this")
    parser.add_argument("--limiters", nargs="+", default=list(LIMITERS))
    args = parser.parse_args()
    print(
        "| fleet | limiter | use of the rate: median (worst) | 429: median (worst) | worst second |"
    )
    print("|---|---|---|---|---|")
    rows = [
        (f"{workers} steady, {name}, clocks ±{skew_s:g} s", steady, workers, rps, skew_s)
        for name, rps in (("--rps 3", RATE), ("auto", None))
        for workers, skew_s in ((1, 0.02), (2, 0.02), (4, 0.02), (8, 0.02), (8, 60.0))
    ] + [("1..8 joining and dying, --rps 3, clocks ±0.02 s", churn, 8, RATE, 0.02)]
    for title, kind, workers, rps, skew_s in rows:
        if args.only not in title:
            continue
        for limiter in args.limiters:
            runs = [kind(limiter, workers, seed, rps, skew_s) for seed in range(args.seeds)]
            use = [run.figures.read_per_s / RATE for run in runs]
            refused = [run.figures.refused_share for run in runs]
            print(
                f"| {title} | {limiter} | {statistics.median(use):.1%} ({min(use):.1%}) "
                f"| {statistics.median(refused):.2%} ({max(refused):.2%}) "
                f"| {max(run.worst_second for run in runs)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
