"""Everything outside the run that it may touch, in one value. Tests make their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocrlabel.pipeline.events import Event
from ocrlabel.pipeline.owner import Alive, Owner
from ocrlabel.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class World:
    """clock: seconds that also pass while the machine sleeps (CLOCK_BOOTTIME); wall: Unix s.

    token gives a fresh random hex string; me is this worker; emit takes what is worth showing.
    """

    store: ObjectStore
    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]
    me: Owner
    alive: Alive
    emit: Callable[[Event], None]
