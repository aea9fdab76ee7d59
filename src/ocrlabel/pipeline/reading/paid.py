"""Requests that cost money: each reserved, claimed, sent by its claimer alone, and paid.

Whoever finds an image claimed elsewhere copies what came of it, waits, or asks again once nothing
of the earlier request can be in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ocrlabel.errors import BudgetReached
from ocrlabel.labels import Outcome
from ocrlabel.pipeline.money.asks import Ask, Asks, ForeignAsk
from ocrlabel.pipeline.money.budget import Purse
from ocrlabel.pipeline.outcomes import Story, copy, cost_pages, never_answered
from ocrlabel.pipeline.rate.line import Line, Place
from ocrlabel.pipeline.reading.claim import Claim
from ocrlabel.pipeline.reading.exchange import Exchange
from ocrlabel.pipeline.saved.records import Tried, merge_attempts
from ocrlabel.pipeline.saved.views import Views

LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class NotNow:
    """Somebody else has asked for the same image; worth another look at this time."""

    look_again_s: float


@dataclass(slots=True, kw_only=True)
class Paid:
    """Asks for images that must be paid for."""

    exchange: Exchange
    asks: Asks
    views: Views
    purse: Purse
    line: Line

    async def ask(
        self, story: Story, valid: Callable[[], bool], *, pages: int, probing: bool
    ) -> Outcome | NotNow | None:
        """One request, or what came of somebody else's; None when it must be asked for again."""
        place = await self.exchange.stop.or_drain(self.line.enter())
        try:
            try:
                await self.exchange.stop.or_drain(self.purse.reserve(pages))
            except BudgetReached:
                # an answer that is there already costs nothing
                found = None
                if not story.attempts:
                    found = await self._elsewhere(story, probing=probing)
                if found is None:
                    raise
                return found
            return await self._reserved(story, valid, place, pages=pages, probing=probing)
        finally:
            place.leave()

    async def _reserved(
        self, story: Story, valid: Callable[[], bool], place: Place, *, pages: int, probing: bool
    ) -> Outcome | NotNow | None:
        before = len(story.attempts)
        cost = 0  # nobody sends under an ask whose claim failed, whether it stands or not
        try:
            ask = await self._claim(story, pages)
            if ask is None:
                return await self._elsewhere(story, probing=probing)
            claim = Claim(ask, partial(self._claim, story, pages), lambda: self.purse.covers)
            try:
                outcome = await self.exchange.run(
                    story, claim, pages=pages, valid=valid, probing=probing, place=place
                )
            except BaseException:
                cost = cost_pages(story.attempts[before:])
                if claim.stands and story.number == claim.ask.number:
                    cost += pages  # perhaps sent, and no attempt was written down
                raise
            ended = outcome.attempts if outcome is not None else story.attempts
            cost = cost_pages(ended[before:])
        finally:
            self.purse.pay(pages, cost)
        return outcome

    async def _claim(self, story: Story, pages: int) -> Ask | None:
        return await self.asks.claim(story.key, story.number, batch=story.row.batch, pages=pages)

    async def _elsewhere(self, story: Story, *, probing: bool) -> Outcome | NotNow | None:
        """Copy what came of the newest ask, wait for it, or go on with the next number."""
        world = self.exchange.world
        if probing:
            self.exchange.breaker.on_failure(world.clock(), "not sent")
        theirs = await self.asks.newest(story.key)
        if theirs is None:
            return None
        view = await self.views.fresh(theirs.batch)
        if (outcome := view.by_key.get(story.key)) is not None:
            self.asks.forget(story.key)
            return copy(story.row, outcome)
        known = view.tried.get(story.key, ())
        if all(attempt.number != theirs.number for attempt in known):
            if not self._is_over(theirs):
                return NotNow(world.clock() + LOOK_AGAIN_S)
            unknown = never_answered(theirs)
            self.exchange.journal.note(story.row.batch, Tried(story.key, unknown))
            known = (*known, unknown)
        story.attempts = merge_attempts(story.attempts, known)
        story.number = theirs.number + 1
        return None

    def _is_over(self, theirs: ForeignAsk) -> bool:
        # of our own, none is in flight: an image is read by one hand of a process at a time
        return theirs.owner.worker == self.exchange.world.me.worker or self.asks.over(theirs)
