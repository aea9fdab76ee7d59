"""What may be done about a lease that somebody wrote: rules of values, checked exhaustively."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ocrlabel.pipeline.owner import Owner


class LeaseState(StrEnum):
    """What the newest number of a lease says."""

    HELD = "held"
    RELEASED = "released"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest number of one lease, and since when this worker has seen it (own clock)."""

    number: int
    state: LeaseState
    owner: Owner
    duration_s: float
    since_s: float


@dataclass(frozen=True, slots=True)
class Free:
    """May be claimed with this number. taken_over: somebody held it and did not finish."""

    number: int
    taken_over: bool


@dataclass(frozen=True, slots=True)
class HeldUntil:
    """Somebody works on it; worth another look at this time (own clock)."""

    look_again_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """Finished for good."""


Standing = Free | HeldUntil | Closed


def standing(seen: Seen | None, *, now_s: float, margin_s: float, owner_dead: bool) -> Standing:
    """What may be done about a lease. A pure rule, so that it can be checked exhaustively."""
    if seen is None:
        return Free(number=1, taken_over=False)
    if seen.state is LeaseState.CLOSED:
        return Closed()
    if seen.state is LeaseState.RELEASED or owner_dead:
        return Free(number=seen.number + 1, taken_over=True)
    ends_s = seen.since_s + seen.duration_s + margin_s
    if now_s >= ends_s:
        return Free(number=seen.number + 1, taken_over=True)
    return HeldUntil(ends_s)
