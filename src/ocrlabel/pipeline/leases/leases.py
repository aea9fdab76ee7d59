"""Who works on what: numbered objects, each put if absent, so that every number has one writer.

A lease holds a duration, not a time, because clocks of machines differ: others take over after
they have seen the same number for that long on their own clock, or at once when the owner is a
process of this host that no longer runs. The last lease of a finished slice says `closed` and
stays, because a deleted number could be written again by a worker that slept through it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum

from ocrlabel.pipeline.run_context import Round
from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.state.codec import Codec, Seconds, read_or_tell
from ocrlabel.pipeline.state.layout import newest_number, number_of, stored_under
from ocrlabel.storage.base import NotStored


class LeaseMark(StrEnum):
    """What the newest number of a lease says."""

    HELD = "held"
    RELEASED = "released"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBody(Owner):
    """What a numbered lease says, of the worker that it names."""

    state: LeaseMark
    duration_s: Seconds
    nonce: str


_LEASE = Codec(LeaseBody, sort_keys=True)
_HELD = "it counts as held by another worker until that would have run out"


@dataclass(slots=True)
class Lease:
    """A lease that this worker holds, valid on its own clock until `valid_until_s`."""

    name: str
    number: int
    valid_until_s: float
    lost: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """Held while its next number is written: two writers at once would take it from each other."""

    def valid(self, now_s: float) -> bool:
        """Whether this worker may still act on it."""
        return not self.lost and now_s < self.valid_until_s


class Leases:
    """Looks at, claims, renews and gives back leases of one round."""

    def __init__(self, round_: Round, *, duration_s: float) -> None:
        self._runtime = round_.runtime
        self._keys = round_.keys
        self.duration_s = duration_s
        self._margin_s = duration_s / 4
        self._seen: dict[str, Seen] = {}
        self._unsure: dict[str, Put] = {}

    async def look_at_batch(self, batch: int) -> Mapping[str, LeaseState]:
        """The state of every slice of a batch that somebody ever claimed, by name."""
        prefix = self._keys.leases_of(batch)
        newest: dict[str, int] = {}
        async for stored in stored_under(self._runtime, prefix):
            name = stored.key.removeprefix(prefix).partition("/")[0]
            newest[name] = max(number_of(stored.key), newest.get(name, 0))
        found = {}
        for name, number in newest.items():
            full = f"{batch:04d}-{name}"
            await self._see(full, number)
            found[full] = self._state(full)
        return found

    async def look(self, name: str) -> LeaseState:
        """The state of one lease."""
        if newest := await newest_number(self._runtime, self._keys.lease_log(name)):
            await self._see(name, newest)
        return self._state(name)

    def _state(self, name: str) -> LeaseState:
        seen = self._seen.get(name)
        ours = self._unsure_hold(name, 1 if seen is None else seen.number + 1)
        if ours is not None:
            return Free(ours.number, taken_over=seen is not None)
        return lease_state(
            seen,
            now_s=self._runtime.clock(),
            margin_s=self._margin_s,
            owner_dead=seen is not None and self._runtime.certainly_dead(seen.owner),
        )

    async def _see(self, name: str, number: int) -> None:
        there = self._seen.get(name)
        if there is not None and there.number >= number:
            return
        key = self._keys.lease(name, number)
        try:
            found = await read_or_tell(self._runtime, key, _LEASE, _HELD)
        except NotStored:
            return  # the run was merged and cleaned up between the listing and now
        unsure = self._unsure.get(name)
        since_s = self._runtime.clock()
        if found is None:
            self._seen[name] = Seen(number, LeaseMark.HELD, Owner(""), self.duration_s, since_s)
            return
        if unsure == Put(number, LeaseMark.HELD, _LEASE.encode(found)):
            return  # ours: it may be claimed once more, or renewed
        owner = Owner.of(found)
        self._seen[name] = Seen(number, found.state, owner, found.duration_s, since_s)

    async def claim(self, name: str, free: Free) -> Lease | None:
        """Put the next number; None when somebody else was first."""
        began_s = self._runtime.clock()
        number = free.number
        if (unsure := self._unsure_hold(name, number)) is not None:
            if not await self._store(name, unsure):
                return None
            self._remember(name, unsure)
            number += 1  # others may have seen ours for a while: this one is valid from now on
        put = self._next(number, LeaseMark.HELD)
        if not await self._store(name, put):
            # whoever won has it from about now; the next look reads the number itself
            return None
        self._remember(name, put)
        return Lease(name, number, began_s + self.duration_s)

    async def renew(self, lease: Lease) -> bool:
        """Put the next number; False, and the lease is lost, when somebody took it over.

        Nothing is put for those who waited while another task renewed it.
        """
        known_s = lease.valid_until_s
        async with lease.turn:
            if not lease.lost and lease.valid_until_s > known_s:
                return True
            began_s = self._runtime.clock()
            if not await self._put_next(lease, LeaseMark.HELD):
                return False
            lease.valid_until_s = began_s + self.duration_s
            return True

    async def give_back(self, lease: Lease, state: LeaseMark) -> bool:
        """Mark it released or closed; False when it was not ours any more."""
        async with lease.turn:
            given = await self._put_next(lease, state)
            lease.lost = True  # nobody holds it now
            return given

    async def _put_next(self, lease: Lease, state: LeaseMark) -> bool:
        """Put the next number, after one of ours that is unsure."""
        unsure = self._unsure_hold(lease.name, lease.number + 1)
        if unsure is not None and not await self._advance(lease, unsure):
            return False
        return await self._advance(lease, self._next(lease.number + 1, state))

    def _unsure_hold(self, name: str, number: int) -> Put | None:
        """This number, if the store did not answer when we put it, to hold the lease.

        What says that a lease is given back is left alone: nothing may follow `closed`.
        """
        match self._unsure.get(name):
            case Put(state=LeaseMark.HELD) as unsure if unsure.number == number:
                return unsure
            case _:
                return None

    async def _advance(self, lease: Lease, put: Put) -> bool:
        if lease.lost or not await self._store(lease.name, put):
            lease.lost = True
            return False
        lease.number = put.number
        self._remember(lease.name, put)
        return True

    def _next(self, number: int, state: LeaseMark) -> Put:
        body = LeaseBody(
            *astuple(self._runtime.me),
            state=state,
            duration_s=self.duration_s,
            nonce=self._runtime.token(),
        )
        return Put(number, state, _LEASE.encode(body))

    async def _store(self, name: str, put: Put) -> bool:
        """Put if absent. Where this raises, the same bytes may be put again."""
        self._unsure[name] = put
        stored = await self._runtime.store.put_if_absent(
            self._keys.lease(name, put.number), put.data
        )
        self._unsure.pop(name, None)
        return stored

    def _remember(self, name: str, put: Put) -> None:
        self._seen[name] = Seen(
            put.number, put.state, self._runtime.me, self.duration_s, self._runtime.clock()
        )


@dataclass(frozen=True, slots=True)
class Put:
    """A number as we put it. Until the store has answered, it may be ours or somebody else's."""

    number: int
    state: LeaseMark
    data: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest number of one lease, and since when this worker has seen it (own clock)."""

    number: int
    state: LeaseMark
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


LeaseState = Free | HeldUntil | Closed


def lease_state(
    seen: Seen | None, *, now_s: float, margin_s: float, owner_dead: bool
) -> LeaseState:
    """What may be done about a lease. A pure rule, so that it can be checked exhaustively."""
    if seen is None:
        return Free(number=1, taken_over=False)
    if seen.state is LeaseMark.CLOSED:
        return Closed()
    if seen.state is LeaseMark.RELEASED or owner_dead:
        return Free(number=seen.number + 1, taken_over=True)
    ends_s = seen.since_s + seen.duration_s + margin_s
    if now_s >= ends_s:
        return Free(number=seen.number + 1, taken_over=True)
    return HeldUntil(ends_s)
