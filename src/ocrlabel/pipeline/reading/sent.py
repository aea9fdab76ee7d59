"""A request under way, and the attempt that its end makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.world import World


@dataclass(slots=True)
class Sent:
    """A request that begins now. pages: the most that it can be billed for."""

    world: World
    number: int
    lane: str
    pages: int
    sent_at_s: float = 0.0
    began_s: float = 0.0

    def __post_init__(self) -> None:
        self.sent_at_s, self.began_s = self.world.wall(), self.world.clock()

    def ended(
        self,
        result: AttemptResult,
        *,
        status: int | None = None,
        message: str = "",
        billed_pages: int | None = None,
    ) -> Attempt:
        """The attempt, ended now. billed_pages: None where the engine said nothing of it."""
        return Attempt(
            number=self.number,
            lane=self.lane,
            sent_at_s=self.sent_at_s,
            latency_s=self.world.clock() - self.began_s,
            result=result,
            status=status,
            message=message,
            billed_pages=billed_pages,
            worker=self.world.me.worker,
            pages=self.pages,
        )
