"""How many workers a dataset needs, how long they take, and when a job is given up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ocrlabel.errors import ConfigError

MAX_ARRAY: Final = 10_000
MAX_TIMEOUT_S: Final = 24 * 3600
MIN_TIMEOUT_S: Final = 15 * 60  # pulling the image and a slow start are in it
SLICE_ROWS: Final = 25  # the unit that workers claim: more workers than slices stand idle
WORKER_REQUESTS_PER_S: Final = 20.0  # a cautious figure for one vCPU that reads, sends and saves
LOCAL_SECONDS_PER_IMAGE: Final = 1.4  # rapidocr 3.10 on two cores (reference: 0.74 images/s)
LOCAL_VCPUS: Final = 2
LOCAL_MEMORY_MIB: Final = 4096
LOCAL_AIM_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Sizing:
    """Workers, expected seconds, the time-out of each attempt, and why."""

    workers: int
    seconds: float
    timeout_s: int
    why: str


def for_service(rows: int, *, requests_per_s: float, workers: int | None = None) -> Sizing:
    """A service limits the fleet as a whole: more workers than fill its rate add nothing."""
    enough = max(1, math.ceil(requests_per_s / WORKER_REQUESTS_PER_S))
    chosen = _checked(workers, rows) if workers is not None else min(enough, _most(rows))
    why = (
        f"{'one worker saturates' if enough == 1 else f'{enough} workers saturate'} "
        f"{requests_per_s:g} requests/s"
    )
    if chosen > enough:
        why += f"; {chosen} share that rate, so they are not faster, only safer against spot losses"
    return _sized(chosen, rows / requests_per_s, why)


def for_local(rows: int, *, max_workers: int, workers: int | None = None) -> Sizing:
    """A local engine is as fast as its cores: enough workers to be done in about an hour."""
    work_s = rows * LOCAL_SECONDS_PER_IMAGE
    wanted = max(1, math.ceil(work_s / LOCAL_AIM_S))
    chosen = (
        _checked(workers, rows) if workers is not None else min(wanted, max_workers, _most(rows))
    )
    why = f"{work_s / 3600:.1f} hours of reading on two vCPUs, over {chosen} workers"
    return _sized(max(1, chosen), work_s / max(1, chosen), why)


def local_seconds(rows: int, *, vcpu: float) -> float:
    """How long one worker of so many vCPUs reads."""
    return rows * LOCAL_SECONDS_PER_IMAGE * LOCAL_VCPUS / vcpu


def _most(rows: int) -> int:
    return max(1, min(MAX_ARRAY, math.ceil(rows / SLICE_ROWS)))


def _checked(workers: int, rows: int) -> int:
    if not 1 <= workers <= MAX_ARRAY:
        raise ConfigError(f"--workers {workers}: AWS Batch takes 1 to {MAX_ARRAY:,} of them")
    if workers > _most(rows):
        raise ConfigError(
            f"--workers {workers}: {rows:,} rows are {_most(rows)} slices of {SLICE_ROWS}, so at "
            f"most {_most(rows)} workers have something to do"
        )
    return workers


def _sized(workers: int, seconds: float, why: str) -> Sizing:
    timeout_s = min(MAX_TIMEOUT_S, max(MIN_TIMEOUT_S, math.ceil(3 * seconds)))
    return Sizing(workers, seconds, timeout_s, why)
