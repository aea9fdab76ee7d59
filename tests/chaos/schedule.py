"""What will go wrong, and when: values, drawn from a seed, so that a number repeats a schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Store = Literal["folder", "disk", "moto", "seaweedfs"]
"""disk: a folder on a small file system of its own, which can be full."""
SignalName = Literal["TERM", "INT", "HUP", "KILL", "INT INT", "STOP"]
BucketTrouble = Literal["503 SlowDown", "403 ExpiredToken", "500 InternalError", "cut", "hang"]
GRACE_S = 4.0
ENDS_WITHIN_S = GRACE_S + 10.0
"""What a worker has from the first signal on, whatever its store does."""
LEASE_S = 2.0
_SERVICE_FAULTS = ("429", "500", "503", "502-after", "drop-before", "drop-after", "html")


@dataclass(frozen=True, slots=True)
class Signalled:
    """A worker gets a signal. pause_s: how long one that is stopped stays so."""

    name: SignalName
    worker: int
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """No write takes place, or no call at all, for so long. kind: of a bucket; a disk is full."""

    kind: BucketTrouble
    for_s: float


@dataclass(frozen=True, slots=True)
class ServiceTrouble:
    """The service fails so often, or is away. control: as POST /control takes it."""

    control: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file that is nobody's appears among the control objects, or a heartbeat is emptied."""

    name: str
    place: float


@dataclass(frozen=True, slots=True)
class Joined:
    """One more worker. few_handles: it may open no more files than that."""

    few_handles: int | None = None


Happening: TypeAlias = Signalled | StoreTrouble | ServiceTrouble | ForeignFile | Joined


@dataclass(frozen=True, slots=True)
class Event:
    """after_requests: how many more the service has seen by then; then so long."""

    after_requests: int
    then_s: float
    what: Happening


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run from its start to its end. table_gone: what becomes of its table afterwards."""

    seed: int
    store: Store
    workers: int
    events: tuple[Event, ...]
    table_gone: Literal["", "deleted", "emptied"]


def draw(seed: int, stores: tuple[Store, ...] = get_args(Store)) -> Schedule:
    """The schedule of a seed; stores take turns."""
    rng = random.Random(seed)
    store = stores[seed % len(stores)]
    events = [_event(rng, store) for _ in range(rng.randint(2, 5))]
    # at least one signal in every schedule, in or after the trouble
    last = Event(rng.randint(1, 10), rng.uniform(0.0, 1.5), _signalled(rng))
    events.insert(rng.randint(1, len(events)), last)
    gone = rng.choice(("", "", "deleted", "emptied"))
    workers = 1 if store in {"folder", "disk"} and rng.random() < 0.5 else rng.randint(1, 3)
    return Schedule(seed, store, workers, tuple(events), gone)


def _event(rng: random.Random, store: Store) -> Event:
    kinds = {"signal": 4, "service": 3, "foreign": 2, "join": 2}
    if store != "folder":
        kinds["store"] = 5
    what = rng.choices(list(kinds), list(kinds.values()))[0]
    happening: Happening
    if what == "signal":
        happening = _signalled(rng)
    elif what == "store":
        happening = StoreTrouble(rng.choice(get_args(BucketTrouble)), rng.uniform(1.0, 25.0))
    elif what == "service":
        happening = _service(rng)
    elif what == "foreign":
        names = (".DS_Store", "1 (conflicted copy).json", ".nfs000001", "Thumbs.db", "heartbeat")
        happening = ForeignFile(rng.choice(names), rng.random())
    else:
        happening = Joined(rng.choice((None, None, 48, 64)))
    return Event(rng.randint(0, 15), rng.uniform(0.0, 1.0), happening)


def _signalled(rng: random.Random) -> Signalled:
    name = rng.choice(get_args(SignalName))
    return Signalled(name, rng.randint(0, 2), LEASE_S * 1.25 + rng.uniform(0.2, 2.0))


def _service(rng: random.Random) -> ServiceTrouble:
    if rng.random() < 0.4:
        kind = rng.choice(("503", "500", "429", "drop-before", "hang"))
        return ServiceTrouble((("outage", kind), ("for_s", rng.uniform(0.5, 6.0))))
    faults = rng.sample(_SERVICE_FAULTS, 2)
    return ServiceTrouble(
        (("fail", ",".join(f"{one}:{rng.uniform(0.01, 0.08):.2f}" for one in faults)),)
    )
