"""One request: its slot in the rate, the request itself, and what its end means.

What throttling, an outage or a refused key does to a request is never held against the image.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ocrlabel.engines.base import Engine
from ocrlabel.errors import (
    BadAnswer,
    BudgetReached,
    ConfigError,
    EngineUnusable,
    ImageError,
    KeyRefused,
    Throttled,
    Unavailable,
)
from ocrlabel.labels import Attempt, AttemptResult, FailureClass, Outcome
from ocrlabel.options import Options
from ocrlabel.pipeline.budget.account import pages_charged
from ocrlabel.pipeline.budget.attempts import Ask, Asks, Claim, Elsewhere, ForeignAsk
from ocrlabel.pipeline.budget.budget import Purse
from ocrlabel.pipeline.events import Asked, Notice
from ocrlabel.pipeline.outcome import (
    Sent,
    Story,
    copy,
    cost_pages,
    failed,
    failed_when_sent,
    labelled,
    never_answered,
)
from ocrlabel.pipeline.rate.breaker import Breaker, wait_s
from ocrlabel.pipeline.rate.limiter import NoLanes, RatePool, Slot
from ocrlabel.pipeline.runtime import Draining, Stop, World
from ocrlabel.pipeline.state.journal import JournalWriter, Tried, Views, merge_attempts
from ocrlabel.wording import counted

_BAD_ANSWERS_PAID = 2
LOOK_AGAIN_S = 1.0
CLAIM_S = 0.25
AT_LEAST = 2
AT_MOST = 1000
"""The service says that it charged for each: a third one would hardly be better."""


class LeaseLost(Exception):
    """The slice is somebody else's by now; its rows are theirs."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Sends requests for images, one at a time each, and judges how they end."""

    world: World
    engine: Engine
    options: Options
    stop: Stop
    pool: RatePool
    breaker: Breaker
    journal: JournalWriter

    async def run(
        self,
        story: Story,
        claim: Claim | None,
        *,
        pages: int,
        valid: Callable[[], bool],
        probing: bool,
        place: Place | None = None,
    ) -> Outcome | None:
        """Send once; the outcome, or None when the image must be asked for again.

        claim: None for engines that cost nothing. pages: the most that the request can be billed
        for. place: given up with the turn.
        Raises Draining, LeaseLost, EngineUnusable when no key is left, and the engine's
        ConfigError. Whatever happens, the attempt is written down.
        """
        try:
            slot = await self.stop.or_drain(self._turn(story, claim))
        except NoLanes as error:
            self._unsent(story, claim)
            raise EngineUnusable(no_keys(error.reasons)) from error
        except Elsewhere:
            self._not_sent(probing=probing)
            return None
        except (Draining, asyncio.CancelledError):
            self._unsent(story, claim)
            raise
        if place is not None:
            place.leave()
        if not valid():
            self._unsent(story, claim)
            raise LeaseLost
        late = claim is not None and not claim.may_be_sent(self.world.clock())
        if late or (self.breaker.is_open and not probing):
            self._unsent(story, claim)
            self._not_sent(probing=probing)
            return None
        return await self._send(story, slot, pages)

    async def _turn(self, story: Story, claim: Claim | None) -> Slot:
        """Wait for the turn; an ask that would come to it too late is replaced just before."""
        pages = story.document.page_count
        if claim is None:
            return await self.pool.acquire(pages)

        async def ready(at_s: float) -> None:
            if not claim.good_at(at_s):
                self._unsent(story, claim)
                await claim.renew()

        return await self.pool.acquire(pages, ready)

    def _not_sent(self, *, probing: bool) -> None:
        if probing:
            self.breaker.on_failure(self.world.clock(), "not sent")

    async def _send(self, story: Story, slot: Slot, pages: int) -> Outcome | None:
        sent = Sent(self.world, story.number, slot.lane, pages)
        try:
            answer = await self.engine.recognise(story.document, slot.lane)
        except asyncio.CancelledError:
            message = "stopped while it was under way"
            self._tried(story, sent.ended(AttemptResult.UNKNOWN, message=message))
            raise
        except ConfigError as error:
            self._tried(story, sent.ended(AttemptResult.REJECTED, message=str(error)))
            raise
        except KeyRefused as error:
            self._key_refused(story, slot, sent, error)
            return None
        except Throttled as error:
            self._throttled(story, slot, sent, error)
            return None
        except Unavailable as error:
            return self._may_pass(story, slot, sent, error)
        except ImageError as error:
            self.pool.failed(slot)
            self.breaker.on_success()
            attempt = sent.ended(
                AttemptResult.REJECTED,
                status=getattr(error, "status", None),
                message=error.message,
                billed_pages=getattr(error, "billed_pages", None),
            )
            self._told(attempt)
            return self._failed(story, attempt, error, retryable=False)
        self.pool.succeeded(slot, self.world.clock() - sent.began_s)
        self.breaker.on_success()
        attempt = sent.ended(
            AttemptResult.ANSWERED, status=answer.status, billed_pages=answer.billed_pages
        )
        self._told(attempt)
        at_s = self.world.wall()
        return labelled(story, attempt, answer, engine=self.engine.name, at_s=at_s)

    def _key_refused(self, story: Story, slot: Slot, sent: Sent, error: KeyRefused) -> None:
        self.breaker.on_success()  # the service is there
        result = AttemptResult.KEY_REFUSED
        self._tried(story, sent.ended(result, status=error.status, message=error.message))
        news = slot.lane in self.pool.remaining()
        left = self.pool.retire(slot.lane, error.message)
        if not left:
            raise EngineUnusable(no_keys(self.pool.retired())) from error
        if news:
            rest = f"going on with {counted(len(left), 'other key')}"
            self.world.emit(Notice("key", f"{slot.lane}: {error.message}; {rest}"))

    def _throttled(self, story: Story, slot: Slot, sent: Sent, error: Throttled) -> None:
        self.pool.throttled(slot, error.retry_after_s)
        now_s = self.world.clock()
        self.breaker.on_failure(
            now_s, "429", retry_after_s=error.retry_after_s, message=error.message
        )
        result = AttemptResult.THROTTLED
        self._tried(story, sent.ended(result, status=error.status, message=error.message))

    def _may_pass(self, story: Story, slot: Slot, sent: Sent, error: Unavailable) -> Outcome | None:
        self.pool.failed(slot)
        now_s = self.world.clock()
        if error.failure is FailureClass.INCOMPLETE:
            self.breaker.on_success()
        else:
            kind = str(error.status or "no answer")
            self.breaker.on_failure(
                now_s, kind, retry_after_s=error.retry_after_s, message=error.message
            )
        bad = isinstance(error, BadAnswer)
        if not error.sent:
            sent.pages = 0
        attempt = sent.ended(
            AttemptResult.BAD_ANSWER if bad else AttemptResult.UNAVAILABLE,
            status=error.status,
            message=error.message,
            billed_pages=getattr(error, "billed_pages", None),
        )
        story.active_s += attempt.latency_s
        if not self.breaker.is_open:
            story.counted += 1
        out_of_time = story.active_s >= self.options.image_deadline_s
        paid_badly = _paid_badly((*story.attempts, attempt)) >= _BAD_ANSWERS_PAID
        if story.counted >= self.options.attempts or out_of_time or paid_badly:
            self._told(attempt)
            return self._failed(story, attempt, error, retryable=True)
        self._tried(story, attempt)
        story.rest_s = wait_s(max(1, story.counted), error.retry_after_s, self.world.uniform)
        return None

    def _failed(
        self, story: Story, attempt: Attempt, error: ImageError, *, retryable: bool
    ) -> Outcome:
        plain = failed(
            story.row,
            error.failure,
            error.message,
            engine=self.engine.name,
            at_s=self.world.wall(),
            retryable=retryable,
        )
        return failed_when_sent(plain, story, attempt)

    def _unsent(self, story: Story, claim: Claim | None) -> None:
        """Write down that an ask was not used; never one that may be somebody else's."""
        if claim is not None and not claim.stands:
            return
        attempt = Sent(self.world, story.number, "", 0).ended(AttemptResult.UNSENT)
        story.add(attempt)
        self.journal.note(story.row.batch, Tried(story.key, attempt))

    def _tried(self, story: Story, attempt: Attempt) -> None:
        story.add(attempt)
        self.journal.note(story.row.batch, Tried(story.key, attempt))
        self._told(attempt)

    def _told(self, attempt: Attempt) -> None:
        self.world.emit(Asked(attempt, self.pool.rate_now()))


def _paid_badly(attempts: Iterable[Attempt]) -> int:
    """Answers that were charged, and cannot be used."""
    return sum(
        one.result is AttemptResult.BAD_ANSWER and pages_charged(one) > 0 for one in attempts
    )


def no_keys(reasons: Mapping[str, str]) -> str:
    """Why nothing can be sent any more, and what to do about it."""
    listed = "\n".join(f"  {lane}: {reason}" for lane, reason in reasons.items())
    return (
        f"no key is left to send with\n{listed}\n"
        "  all answers so far are saved: mend the key or its credit, then run the same command"
    )


@dataclass(frozen=True, slots=True)
class NotNow:
    """Somebody else has asked for the same image; worth another look at this time."""

    look_again_s: float


"""How long a claim takes at most, as a rule: so much of the rate stands ready."""


def places(rate_per_s: float) -> int:
    """How many may stand ready for a rate."""
    return AT_LEAST + min(AT_MOST, math.ceil(min(rate_per_s, AT_MOST / CLAIM_S) * CLAIM_S))


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
