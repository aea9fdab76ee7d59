"""Refusals that are not about one image: a model that is retired, an account, a wrong address.

While nothing was read, a few images that are refused in the same words are held back, and have not
failed: they would all fail for one reason that can be mended. Something else that is said to any
worker of the fleet lets them go: then each refusal is its own image's. Others are told by
heartbeats, so each worker holds its part of the few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ocrlabel.errors import ImageError
from ocrlabel.pipeline.runtime import Runtime, Stop
from ocrlabel.pipeline.workers.heartbeat import HeldBack, WorkerReport
from ocrlabel.wording import counted

MOST_HELD = 10
"""Images in the whole fleet, apart from those whose requests were under way."""
_LOOK_S = 0.5
_NOTHING_ELSE_S = 2.0
_FLEET_TELLS_S = 12.0
"""Two heartbeats: by then others would have told of anything that was read."""
_NUMBERED = re.compile(r"\S*\d\S*")


@dataclass(slots=True, kw_only=True)
class Refusals:
    """Holds images back. nothing_else: whether this worker has nothing else to ask for."""

    runtime: Runtime
    stop: Stop
    nothing_else: Callable[[], bool] = lambda: False
    read: bool = False
    """Something was read, or images were refused for different reasons: no refusal is for all."""
    waiting: int = 0
    """Tasks that wait for what is held back, holding it included."""
    _held: dict[str, str] = field(default_factory=dict)
    _elsewhere: int = 0
    _workers: int = 1

    def report(self) -> HeldBack | None:
        """For a heartbeat."""
        if self.read or not self._held:
            return None
        return HeldBack(len(self._held), next(iter(self._held.values())))

    def told(self, sending: int, others: Sequence[WorkerReport]) -> None:
        """How many others may be sending, and what all say that did while this worker was there."""
        self._workers = 1 + sending
        held = [one.held_back for one in others if one.held_back is not None]
        self._elsewhere = sum(one.images for one in held)
        words = {one.words for one in held} | set(self._held.values())
        self.read = self.read or len(words) > 1 or any(one.labelled for one in others)

    @property
    def is_full(self) -> bool:
        """Nothing more is to be sent before it is known if the refusal is for all."""
        return not self.read and len(self._held) >= self._part

    @property
    def held(self) -> int:
        """Images that are held back here."""
        return 0 if self.read else len(self._held)

    async def hold(self, key: str, error: ImageError) -> None:
        """Return once the refusal is known to be this image's own. Raises what it means for all.

        Words that differ only in numbers (an id, a time) are the same words.
        """
        self._held[key] = _NUMBERED.sub("#", error.message)
        self.read = self.read or len(set(self._held.values())) > 1
        alone_s = 0.0
        self.waiting += 1
        try:
            while not self.read:
                enough = self._part * min(self._workers, MOST_HELD)
                longest_s = _NOTHING_ELSE_S if self._workers == 1 else _FLEET_TELLS_S
                alone_s = alone_s + _LOOK_S if self.nothing_else() else 0.0
                if len(self._held) + self._elsewhere >= enough or alone_s > longest_s:
                    raise self._for_all(error)
                await self.stop.nap(self.runtime.sleep, _LOOK_S)
        finally:
            self.waiting -= 1

    async def wait_for_room(self) -> None:
        """Wait while no more may be sent."""
        self.waiting += 1
        try:
            while self.is_full:
                await self.stop.nap(self.runtime.sleep, _LOOK_S)
        finally:
            self.waiting -= 1

    @property
    def _part(self) -> int:
        return max(1, MOST_HELD // self._workers)

    def _for_all(self, error: ImageError) -> Exception:
        if error.ends is None:
            return error
        asked = counted(len(self._held) + self._elsewhere, "image")
        return error.ends(
            f"nothing can be read: {asked} refused alike, and none was answered\n"
            f"  {error.message}\n"
            "  none of them counts as failed: mend what it says (key, account, --model, address),"
            " then run the same command"
        )
