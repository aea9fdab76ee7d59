"""The ask that a request waits for its turn with: made again where the turn comes too late for it.

At a low rate, or with large documents, a turn may be further away than an ask is good for. So the
ask is looked at when the turn is near, before the turn is taken: no put stands between a turn and
its request, and no turn is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocrlabel.pipeline.money.asks import Ask

_TIMER_S = 1.0
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
