"""Attempts that are paid for: each is claimed before it is sent, and only its creator sends it.

A claim is a numbered object under the image's key (`asks/{key}/{n}.json`), put if absent. It holds
a duration (`send_within_s` after it was created) and not a time: its creator looks at its own
clock again right before it sends. Others may claim the next number for the same key once the
outcome of this one is known to be retryable, or once nothing can be in flight any more.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import astuple, dataclass

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.run_context import Round
from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.state.codec import Codec, Seconds, read_or_tell
from ocrlabel.pipeline.state.layout import newest_number, number_of, stored_under
from ocrlabel.storage.base import NotStored

_TIMER_S = 1.0
"""How late a timer may wake whoever waits for its turn."""
UNREADABLE = "(not readable)"
"""The worker of a claim that cannot be read: somebody, perhaps of another host."""
_SENT = "its request counts as sent, and as perhaps billed"
_GROUPS = 2**16 - 1  # bits of a hash: with ten million attempts, 150 have these in common


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimBody(Owner):
    """What a claim says, of the worker that it names."""

    batch: int
    pages: int
    send_within_s: Seconds
    created_at_s: float
    nonce: str


_CLAIM = Codec(ClaimBody, sort_keys=True)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """An attempt as a listing shows it."""

    key: str
    number: int


@dataclass(frozen=True, slots=True)
class AttemptClaim:
    """A claim as it was read; since_s is when it was first seen (own clock)."""

    key: str
    number: int
    batch: int
    pages: int
    owner: Owner
    send_within_s: float
    since_s: float
    created_at_s: float


def nothing_in_flight(
    claim: AttemptClaim,
    *,
    now_s: float,
    request_timeout_s: float,
    margin_s: float,
    owner_dead: bool,
) -> bool:
    """Whether the request of a claim can no longer be answered to anybody. A pure rule."""
    waited_s = now_s - claim.since_s
    return owner_dead or waited_s >= claim.send_within_s + request_timeout_s + margin_s


def never_answered(claim: AttemptClaim) -> Attempt:
    """The attempt of a claim whose worker ended before an answer was saved."""
    return Attempt(
        number=claim.number,
        lane="",
        sent_at_s=claim.created_at_s,
        latency_s=0.0,
        result=AttemptResult.UNKNOWN,
        message="its worker ended before an answer was saved",
        worker=claim.owner.worker,
        pages=claim.pages,
    )


class AttemptReader:
    """Reads the claims of a round."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._runtime = round_.runtime
        self._keys = round_.keys
        self._seen: dict[tuple[str, int], AttemptClaim] = {}

    async def listed(self) -> list[AttemptId]:
        """Every attempt that was claimed."""
        prefix = self._keys.asks
        found = []
        async for stored in stored_under(self._runtime, prefix):
            key = stored.key.removeprefix(prefix).partition("/")[0]
            found.append(AttemptId(key, number_of(stored.key)))
        return found

    async def unanswered(
        self, listed: Iterable[AttemptId], ended: KnownAttempts
    ) -> AsyncIterator[Attempt]:
        """Those of the listed attempts that are not known to have ended, as never answered."""
        for one in listed:
            if (one.key, one.number) not in ended and (claim := await self.read(one)) is not None:
                yield never_answered(claim)

    async def newest(self, key: str, batch: int = 0, pages: int = 1) -> AttemptClaim | None:
        """The newest claim for an image key, None when there is none.

        batch, pages: of the image, for a claim that cannot be read.
        """
        number = await newest_number(self._runtime, self._keys.asks_of(key))
        return await self.read(AttemptId(key, number), batch, pages) if number else None

    async def read(self, listed: AttemptId, batch: int = 0, pages: int = 1) -> AttemptClaim | None:
        """One claim; None when it was cleaned up meanwhile."""
        place = (listed.key, listed.number)
        if place not in self._seen:
            key = self._keys.ask(listed.key, listed.number)
            try:
                found = await read_or_tell(self._runtime, key, _CLAIM, _SENT)
            except NotStored:
                return None
            if found is None:
                found = ClaimBody(
                    UNREADABLE,
                    batch=batch,
                    pages=pages,
                    send_within_s=self._round.run.options.send_within_s,
                    created_at_s=self._runtime.wall(),
                    nonce="",
                )
            self._seen[place] = AttemptClaim(
                key=listed.key,
                number=listed.number,
                batch=found.batch,
                pages=found.pages,
                owner=Owner.of(found),
                send_within_s=found.send_within_s,
                since_s=self._runtime.clock(),
                created_at_s=found.created_at_s,
            )
        return self._seen[place]

    def forget(self, key: str) -> None:
        """Drop what was remembered of a key that is settled."""
        for place in [place for place in self._seen if place[0] == key]:
            del self._seen[place]


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """A claim that this worker created: it may send until `send_by_s` on its own clock."""

    key: str
    number: int
    pages: int
    send_by_s: float


class AttemptClaimer(AttemptReader):
    """Claims attempts, and tells when those of others are over."""

    def __init__(
        self, round_: Round, *, send_within_s: float, request_timeout_s: float, margin_s: float
    ) -> None:
        super().__init__(round_)
        self._send_within_s = send_within_s
        self._request_timeout_s = request_timeout_s
        self._margin_s = margin_s

    async def claim(self, key: str, number: int, *, batch: int, pages: int) -> OwnClaim | None:
        """Claim an attempt; None when somebody else has this number."""
        began_s = self._runtime.clock()
        body = ClaimBody(
            *astuple(self._runtime.me),
            batch=batch,
            pages=pages,
            send_within_s=self._send_within_s,
            created_at_s=self._runtime.wall(),
            nonce=self._runtime.token(),
        )
        data = _CLAIM.encode(body)
        if await self._runtime.store.put_if_absent(self._keys.ask(key, number), data):
            return OwnClaim(key, number, pages, began_s + self._send_within_s)
        return None

    def over(self, claim: AttemptClaim) -> bool:
        """Whether nothing of this attempt can be in flight any more."""
        return nothing_in_flight(
            claim,
            now_s=self._runtime.clock(),
            request_timeout_s=self._request_timeout_s,
            margin_s=self._margin_s,
            owner_dead=self._runtime.certainly_dead(claim.owner),
        )


class Elsewhere(Exception):
    """Somebody else has claimed the image meanwhile."""


@dataclass(slots=True)
class RenewableClaim:
    """A claim of ours, and how to make the next one once this one was written down as unsent.

    covered: whether the money that was set aside for it is still ours. stands: False while it is
    not certain that the newest claim is ours.
    """

    claim: OwnClaim
    again: Callable[[], Awaitable[OwnClaim | None]]
    covered: Callable[[], bool]
    stands: bool = True

    def good_at(self, turn_s: float) -> bool:
        """Whether the claim will still be good when the turn has come."""
        return turn_s + _TIMER_S < self.claim.send_by_s

    def may_be_sent(self, now_s: float) -> bool:
        """The last look before the request, on the creator's clock."""
        return now_s < self.claim.send_by_s and self.covered()

    async def renew(self) -> None:
        """Claim the next attempt. Raises Elsewhere."""
        self.stands = False
        claim = await self.again()
        if claim is None:
            raise Elsewhere
        self.claim, self.stands = claim, True


class KnownAttempts:
    """Which (image key, number) pairs have ended: some 8 bytes each, for runs of any size."""

    def __init__(self) -> None:
        self._hashes: dict[int, array[int]] = defaultdict(lambda: array("q"))

    def add(self, key: str, attempts: Iterable[Attempt]) -> None:
        """Take in the attempts of one image."""
        for attempt in attempts:
            found = hash((key, attempt.number))
            self._hashes[found & _GROUPS].append(found)

    def __contains__(self, place: tuple[str, int]) -> bool:
        found = hash(place)
        return found in self._hashes.get(found & _GROUPS, ())
