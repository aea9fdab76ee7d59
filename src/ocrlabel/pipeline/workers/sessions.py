"""When workers were at it: a run that was stopped and went on later did not work in between.

Every heartbeat says since when its worker is there and when it was written; the newest of each
worker is kept, so together they tell it for the whole fleet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.workers.heartbeats import newest_beats
from ocrlabel.pipeline.world import World


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
