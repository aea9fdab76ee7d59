"""Who stands right before the rate's turn: few, for each has an ask that a death would lose.

An ask is claimed before its turn comes, so that no put stands between a turn and its request; where
the turn is further away than an ask is good for, it is claimed again (reading/claim.py).
The others wait behind, with their images and with nothing claimed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

CLAIM_S = 0.25
"""How long a claim takes at most, as a rule: so much of the rate stands ready."""
AT_LEAST = 2
AT_MOST = 1000


def places(rate_per_s: float) -> int:
    """How many may stand ready for a rate."""
    return AT_LEAST + min(AT_MOST, math.ceil(min(rate_per_s, AT_MOST / CLAIM_S) * CLAIM_S))


@dataclass(slots=True)
class Place:
    """A place in the line, given up once: with the turn, or when none is wanted any more."""

    line: Line
    left: bool = False

    def leave(self) -> None:
        """Let the next one in; a second time it does nothing."""
        if not self.left:
            self.left = True
            self.line.inside -= 1
            self.line.freed.set()


@dataclass(slots=True)
class Line:
    """Lets in whoever came first, while there is a place."""

    rate_now: Callable[[], float]
    inside: int = 0
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enter(self) -> Place:
        """Wait for a place."""
        async with self._turn:  # asyncio's lock is fair
            while self.inside >= places(self.rate_now()):
                self.freed.clear()
                await self.freed.wait()
            self.inside += 1
            return Place(self)
