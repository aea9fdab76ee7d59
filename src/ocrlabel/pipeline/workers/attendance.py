"""Who is at work on a run, for people: known within seconds, from any machine.

A lease waits until a worker can do no harm any more, so to it a heartbeat seen for the first time
is a sign of life. People want to know what is so now: here a heartbeat's own time decides, and
where that is in doubt, as clocks differ, whether a newer one comes.
"""

from __future__ import annotations

from enum import StrEnum

from ocrlabel.pipeline.layout import RunKeys
from ocrlabel.pipeline.owner import certainly_dead
from ocrlabel.pipeline.workers.heartbeats import Beat, Heartbeats
from ocrlabel.pipeline.world import World

_FRESH_S = 20.0
"""Some beats: a worker writes one every 5 s, and its clock may differ a little from ours."""
_ONE_BEAT_S = 10.0
"""Within this a worker that is there writes a heartbeat, however slow the store."""
_MARGIN_S = 120.0
"""A worker cut off from the store for a moment is not lost, nor one whose clock is behind."""
_CLOCKS_DIFFER_S = 3600.0
"""By more than this no clock is behind: whoever was silent for longer is not waited for."""
_LOOK_S = 1.0


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
