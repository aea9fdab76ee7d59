"""One paid attempt, claimed before it is sent: only the creator of the ask sends the request.

An ask holds a duration (`send_within_s` after it was created) and not a time. Its creator looks at
its own clock again right before it sends. Others may create the next ask for the same image key
once the outcome of this one is known to be retryable, or once nothing can be in flight any more.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocrlabel.pipeline.runtime import Owner, World, certainly_dead, owner_from
from ocrlabel.pipeline.state.layout import RunKeys, number_of
from ocrlabel.storage.base import NotStored

_TIMER_S = 1.0


@dataclass(frozen=True, slots=True)
class Ask:
    """An ask that this worker created: it may send until `send_by_s` on its own clock."""

    key: str
    number: int
    pages: int
    send_by_s: float


@dataclass(frozen=True, slots=True)
class ForeignAsk:
    """The newest ask for a key, made by somebody else; since_s is when it was first seen."""

    key: str
    number: int
    batch: int
    pages: int
    owner: Owner
    send_within_s: float
    since_s: float
    created_at_s: float


@dataclass(frozen=True, slots=True)
class ListedAsk:
    """An ask as a listing shows it."""

    key: str
    number: int


def nothing_in_flight(
    ask: ForeignAsk, *, now_s: float, request_timeout_s: float, margin_s: float, owner_dead: bool
) -> bool:
    """Whether the request of an ask can no longer be answered to anybody. A pure rule."""
    waited_s = now_s - ask.since_s
    return owner_dead or waited_s >= ask.send_within_s + request_timeout_s + margin_s


class Asks:
    """Claims asks, and looks at those of others."""

    def __init__(
        self,
        world: World,
        keys: RunKeys,
        *,
        send_within_s: float,
        request_timeout_s: float,
        margin_s: float,
    ) -> None:
        self._world = world
        self._keys = keys
        self._send_within_s = send_within_s
        self._request_timeout_s = request_timeout_s
        self._margin_s = margin_s
        self._seen: dict[tuple[str, int], ForeignAsk] = {}

    async def claim(self, key: str, number: int, *, batch: int, pages: int) -> Ask | None:
        """Create the ask; None when somebody else has this number."""
        began_s = self._world.clock()
        body = self._world.me.as_json() | {
            "batch": batch,
            "pages": pages,
            "send_within_s": self._send_within_s,
            "created_at_s": self._world.wall(),
            "nonce": self._world.token(),
        }
        data = json.dumps(body, sort_keys=True).encode()
        if await self._world.store.put_if_absent(self._keys.ask(key, number), data):
            return Ask(key, number, pages, began_s + self._send_within_s)
        return None

    async def newest(self, key: str) -> ForeignAsk | None:
        """The newest ask for a key, None when there is none."""
        listed = self._world.store.list(self._keys.asks_of(key))
        number = max([number_of(stored.key) async for stored in listed], default=0)
        return await self.read(ListedAsk(key, number)) if number else None

    async def read(self, listed: ListedAsk) -> ForeignAsk | None:
        """One ask; None when it was cleaned up meanwhile."""
        place = (listed.key, listed.number)
        if place not in self._seen:
            try:
                data = await self._world.store.get(self._keys.ask(listed.key, listed.number))
            except NotStored:
                return None
            found = json.loads(data)
            self._seen[place] = ForeignAsk(
                key=listed.key,
                number=listed.number,
                batch=int(found["batch"]),
                pages=int(found["pages"]),
                owner=owner_from(found),
                send_within_s=float(found["send_within_s"]),
                since_s=self._world.clock(),
                created_at_s=float(found["created_at_s"]),
            )
        return self._seen[place]

    def forget(self, key: str) -> None:
        """Drop what was remembered of a key that is settled."""
        for place in [place for place in self._seen if place[0] == key]:
            del self._seen[place]

    def over(self, ask: ForeignAsk) -> bool:
        """Whether nothing of this ask can be in flight any more."""
        return nothing_in_flight(
            ask,
            now_s=self._world.clock(),
            request_timeout_s=self._request_timeout_s,
            margin_s=self._margin_s,
            owner_dead=certainly_dead(ask.owner, self._world.me, self._world.alive),
        )

    async def listed(self) -> list[ListedAsk]:
        """Every ask of the run."""
        prefix = self._keys.asks
        found = []
        async for stored in self._world.store.list(prefix):
            key = stored.key.removeprefix(prefix).partition("/")[0]
            found.append(ListedAsk(key, number_of(stored.key)))
        return found


"""How late a timer may wake whoever waits for its turn."""


class Elsewhere(Exception):
    """Somebody else has claimed the image meanwhile."""


@dataclass(slots=True)
class Claim:
    """An ask of ours, and how to make the next one once this one was written down as unsent.

    covered: whether the money that was set aside for it is still ours. stands: False while it is
    not certain that the newest ask is ours.
    """

    ask: Ask
    again: Callable[[], Awaitable[Ask | None]]
    covered: Callable[[], bool]
    stands: bool = True

    def good_at(self, turn_s: float) -> bool:
        """Whether the ask will still be good when the turn has come."""
        return turn_s + _TIMER_S < self.ask.send_by_s

    def may_be_sent(self, now_s: float) -> bool:
        """The last look before the request, on the creator's clock."""
        return now_s < self.ask.send_by_s and self.covered()

    async def renew(self) -> None:
        """Make the next ask. Raises Elsewhere."""
        self.stands = False
        ask = await self.again()
        if ask is None:
            raise Elsewhere
        self.ask, self.stands = ask, True
