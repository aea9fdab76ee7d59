"""One request for one image, and what its end means; what is paid for is claimed before.

`Exchange` waits for a slot in the rate, sends once and judges the end by the type of the error.
What throttling, an outage or a refused key does to a request is never held against the image.
`PaidRequests` comes before it where a page has a price: a ticket of the ready queue, the pages
reserved in the budget, the attempt claimed; or the outcome of whoever claimed the image first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ocrlabel.engine import Engine, NeverSent
from ocrlabel.errors import (
    BadAnswer,
    BudgetReached,
    ConfigError,
    EngineUnusable,
    ImageError,
    Interrupted,
    KeyRefused,
    Throttled,
    Unavailable,
)
from ocrlabel.labels import Attempt, AttemptResult, Failed, FailureClass, Labelled, Outcome
from ocrlabel.pipeline.budget.account import cost_pages, pages_charged
from ocrlabel.pipeline.budget.attempts import (
    AttemptClaim,
    AttemptClaimer,
    Elsewhere,
    OwnClaim,
    RenewableClaim,
    never_answered,
)
from ocrlabel.pipeline.budget.budget import BudgetClient
from ocrlabel.pipeline.events import Asked
from ocrlabel.pipeline.leases.scheduler import Row
from ocrlabel.pipeline.outcome import ImageState, InFlightRequest, copy
from ocrlabel.pipeline.rate.breaker import CAP_S, Breaker, wait_s
from ocrlabel.pipeline.rate.limiter import NoLanes, Paused, RatePool, Slot
from ocrlabel.pipeline.requests.refusals import Refusals
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Draining, Stop
from ocrlabel.pipeline.state.journal import JournalCache, JournalWriter, Tried, merge_attempts
from ocrlabel.wording import counted

LOOK_AGAIN_S = 1.0
_SAID_S, _FEW = 5.0, 3
"""Trouble that lasts longer is worth a word; twice as long, if it was seen less often."""
_SILENT_S = 12.0
_REFUSED_S = 4.0
_RUNS_UNTIL_QUARANTINE = 3
_BAD_ANSWERS_PAID = 2
"""The service says that it charged for each: a third one would hardly be better."""
_ENDED = {
    FailureClass.BAD_ANSWER: AttemptResult.BAD_ANSWER,  # answered, by an engine that broke
    # no engine refused it: there was no answer
    FailureClass.TIMED_OUT: AttemptResult.UNAVAILABLE,
    FailureClass.CRASHED: AttemptResult.UNAVAILABLE,
}
"""How a request ended whose image failed for good, where it was not refused."""
_CLAIM_S = 0.25
_FEWEST_TICKETS = 2
_MOST_TICKETS = 1000


class LeaseLost(Exception):
    """The slice is somebody else's by now; its rows are theirs."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Somebody else has asked for the same image; worth another look at this time."""

    look_again_s: float


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Sends requests for images, one at a time each, and judges how they end."""

    run: Run
    engine: Engine
    stop: Stop
    pool: RatePool
    breaker: Breaker
    journal: JournalWriter
    refusals: Refusals
    _worked: set[str] = field(default_factory=set)
    """Lanes that were answered with."""
    _doubts: dict[str, str] = field(default_factory=dict)
    """By lane that worked and was refused since: the image that it was refused with."""
    _under_way_s: dict[int, float] = field(default_factory=dict)
    """When each request that is under way began."""
    _answered_s: float = -math.inf

    async def send(
        self, state: ImageState, claim: RenewableClaim | None = None, ticket: Ticket | None = None
    ) -> Outcome | None:
        """Send once; the outcome, or None when the image must be asked for again.

        claim: None for engines that cost nothing. ticket: given up with the turn.
        Raises Draining, LeaseLost, EngineUnusable when no key is left, and the engine's
        ConfigError. Whatever happens, the attempt is written down.
        """
        try:
            slot = await self.stop.or_drain(self._turn(state, claim))
        except NoLanes as error:
            self._unsent(state, claim)
            raise EngineUnusable(_no_keys(error.reasons)) from error
        except Paused as paused:
            self._unsent(state, claim)
            self.breaker.pause(self.run.runtime.clock(), paused.until)
            self.not_sent(state)
            return None
        except Elsewhere:
            self.not_sent(state)
            return None
        except (Draining, asyncio.CancelledError):
            self._unsent(state, claim)
            raise
        if ticket is not None:
            ticket.leave()
        now_s = self.run.runtime.clock()
        if not state.row.held.lease.valid(now_s):
            self._unsent(state, claim)
            raise LeaseLost
        late = claim is not None and not claim.may_be_sent(now_s)
        if late or self.journal.is_waiting or (self.breaker.is_open and not state.probing):
            self._unsent(state, claim)
            self.not_sent(state)
            return None
        pages = state.pages if claim is None else claim.claim.pages
        sent = InFlightRequest(self.run.runtime, state.number, slot.lane, pages)
        self._under_way_s[id(sent)] = sent.began_s
        try:
            return await self._answered(state, slot, sent)
        finally:
            del self._under_way_s[id(sent)]

    async def _turn(self, state: ImageState, claim: RenewableClaim | None) -> Slot:
        """Wait for the turn; a claim that would come to it too late is replaced just before."""
        pages = state.document.page_count
        if claim is None:
            return await self.pool.acquire(pages)

        async def ready(at_s: float) -> None:
            if not claim.good_at(at_s):
                self._unsent(state, claim)
                await claim.renew()

        return await self.pool.acquire(pages, ready)

    def not_sent(self, state: ImageState) -> None:
        """The outage's one probe has told nothing of it."""
        if state.probing:
            self.breaker.on_failure(self.run.runtime.clock(), "not sent")

    async def _answered(
        self, state: ImageState, slot: Slot, sent: InFlightRequest
    ) -> Outcome | None:
        try:
            answer = await self.engine.recognise(state.document, slot.lane)
        except NeverSent:
            sent.pages = 0
            message = "stopped before the whole of it was sent"
            self._tried(state, sent.ended(AttemptResult.UNAVAILABLE, message=message))
            raise
        except asyncio.CancelledError:
            message = "stopped while it was under way"
            self._tried(state, sent.ended(AttemptResult.UNKNOWN, message=message))
            raise
        except ConfigError as error:
            self._tried(state, sent.ended(AttemptResult.REJECTED, message=str(error)))
            raise
        except KeyRefused as error:
            return self._key_refused(state, slot, sent, error)
        except Throttled as error:
            self._throttled(state, slot, sent, error)
            return None
        except Unavailable as error:
            return self._may_pass(state, slot, sent, error)
        except ImageError as error:
            self.pool.failed(slot)
            self._alive()
            result = _ENDED.get(error.failure, AttemptResult.REJECTED)
            if result is AttemptResult.UNAVAILABLE and not self.engine.price_per_page_usd:
                sent.pages = 0
            attempt = sent.failed(result, error)
            if not self._may_be_for_all(state, attempt, error):
                self._report(attempt)
                self.refusals.read = True
            return self._failed(state, attempt, error, retryable=False)
        self.pool.succeeded(slot, self.run.runtime.clock() - sent.began_s)
        self._alive()
        self.refusals.read = True
        self._worked.add(slot.lane)
        self._doubts.pop(slot.lane, None)
        attempt = sent.ended(
            AttemptResult.ANSWERED, status=answer.status, billed_pages=answer.billed_pages
        )
        self._report(attempt)
        return Labelled(
            ordinal=state.row.ref.ordinal,
            id=state.row.ref.id,
            key=state.key,
            sha256=state.sha256,
            pages=answer.pages,
            engine=self.engine.name,
            model_version=answer.model_version,
            at_s=self.run.runtime.wall(),
            attempts=(*state.attempts, attempt),
            latency_s=attempt.latency_s,
            billed_pages=answer.billed_pages,
            raw=answer.raw,
        )

    def _key_refused(
        self, state: ImageState, slot: Slot, sent: InFlightRequest, error: KeyRefused
    ) -> Outcome | None:
        self._alive()  # the service is there
        attempt = sent.ended(AttemptResult.KEY_REFUSED, status=error.status, message=error.message)
        worked = slot.lane in self._worked or self.refusals.read
        if worked and self._doubts.setdefault(slot.lane, state.key) == state.key:
            # another image will tell whether it is the key
            refused = Unavailable(error.message, status=error.status)
            return self._again(state, attempt, refused)
        self._tried(state, attempt)
        news = slot.lane in self.pool.remaining()
        left = self.pool.retire(slot.lane, error.message)
        if not left:
            raise EngineUnusable(_no_keys(self.pool.retired())) from error
        if news:
            rest = f"going on with {counted(len(left), 'other key')}"
            self.run.runtime.tell("key", f"{slot.lane}: {error.message}; {rest}")
        return None

    def _throttled(
        self, state: ImageState, slot: Slot, sent: InFlightRequest, error: Throttled
    ) -> None:
        self.pool.throttled(slot, error.retry_after_s)
        now_s = self.run.runtime.clock()
        sent_s = max(sent.began_s, self._answered_s)
        # the key waits, not all keys
        self.breaker.on_failure(now_s, "429", sent_at=sent_s, message=error.message)
        result = AttemptResult.THROTTLED
        self._tried(state, sent.ended(result, status=error.status, message=error.message))

    def _may_pass(
        self, state: ImageState, slot: Slot, sent: InFlightRequest, error: Unavailable
    ) -> Outcome | None:
        self.pool.failed(slot)
        now_s = self.run.runtime.clock()
        if error.failure is FailureClass.INCOMPLETE:
            self._alive()
        else:
            self.breaker.on_failure(
                now_s,
                str(error.status or "no answer"),
                sent_at=max(sent.began_s, self._answered_s),
                retry_after_s=error.retry_after_s,
                message=error.message,
                refused=state.key if error.status is not None and error.status < 500 else "",
            )
        bad = isinstance(error, BadAnswer)
        if not error.sent:
            sent.pages = 0
        attempt = sent.failed(AttemptResult.BAD_ANSWER if bad else AttemptResult.UNAVAILABLE, error)
        if not self._may_be_for_all(state, attempt, error):
            return self._again(state, attempt, error)
        state.counted += 1
        return None

    def _again(self, state: ImageState, attempt: Attempt, error: Unavailable) -> Outcome | None:
        """The outcome where the image was asked for often enough, None where it may be again."""
        state.active_s += attempt.latency_s
        if not self.breaker.is_open:
            state.counted += 1
        out_of_time = state.active_s >= self.run.options.image_deadline_s
        paid_badly = _paid_badly((*state.attempts, attempt)) >= _BAD_ANSWERS_PAID
        if state.counted >= self.run.options.attempts or out_of_time or paid_badly:
            self._report(attempt)
            return self._failed(state, attempt, error, retryable=True)
        self._tried(state, attempt)
        asked_for_s = min(error.retry_after_s or 0.0, CAP_S)  # longer, the breaker waits for all
        if error.status is not None and error.status < 500:
            # others are asked meanwhile: is it the image?
            asked_for_s = max(asked_for_s, _REFUSED_S * state.counted)
        state.rest_s = wait_s(max(1, state.counted), asked_for_s, self.run.runtime.uniform)
        return None

    def _alive(self) -> None:
        """The service has answered, well or badly."""
        self._answered_s = self.run.runtime.clock()
        self.breaker.on_success()

    def _may_be_for_all(self, state: ImageState, attempt: Attempt, error: ImageError) -> bool:
        """Whether this refusal, before anything was read, may be every image's: it is held back."""
        if error.ends is None or self.refusals.read:
            return False
        self._tried(state, attempt)
        state.refusal = error
        return True

    def trouble(self) -> str:
        """What does not work now, and since when; "" where all is well."""
        now_s = self.run.runtime.clock()
        for pauses, whose in (
            (self.pool.asked_to_wait(), "the service asked to wait"),
            (self.pool.pauses(), "a pause of our own, for the service refuses every request"),
        ):
            paused = {lane: at for lane, at in pauses.items() if at > now_s + _SAID_S}
            if paused:
                until = ", ".join(f"{lane} until {self._at(at)}" for lane, at in paused.items())
                return f"{whose}: {until}"
        since_s, failures, last = self.breaker.failing or (now_s, 0, "")
        if now_s - since_s > (_SAID_S if failures >= _FEW else 2 * _SAID_S):
            return f"no request was answered since {self._at(since_s)}: {last or 'none was sent'}"
        since_s = self._unanswered_since(now_s)
        if now_s - since_s > _SILENT_S:
            return f"no answer since {self._at(since_s)} ({self._under_way()})"
        return ""

    def silent_since(self, now_s: float) -> float:
        """Since when nothing was answered, in an outage or to what is under way; else now_s."""
        since_s = self.breaker.silent_since
        return min(self._unanswered_since(now_s), now_s if since_s is None else since_s)

    def gave_up(self, silent_s: float) -> Interrupted:
        """How the run ends that has waited so long for an answer."""
        return Interrupted(self.breaker.sentence(silent_s, self._under_way()))

    def _unanswered_since(self, now_s: float) -> float:
        if not self.run.price_per_page_usd:  # an engine of this machine may take its time
            return now_s
        return max(min(self._under_way_s.values(), default=now_s), self._answered_s)

    def _under_way(self) -> str:
        requests = len(self._under_way_s)
        return f"{counted(requests, 'request')} under way" if requests else ""

    def _at(self, at_s: float) -> str:
        """A time on our clock, as a time of day."""
        now_s, wall_s = self.run.runtime.clock(), self.run.runtime.wall()
        return time.strftime("%H:%M:%S %Z", time.localtime(wall_s + at_s - now_s)).strip()

    def failed(self, row: Row, error: ImageError, *, retryable: bool = False) -> Failed:
        """The failure of a row; the third one in a row is a quarantine."""
        failure, message, runs = error.failure, error.message, row.failed_before + 1
        if runs >= _RUNS_UNTIL_QUARANTINE:
            message = f"failed in {runs} runs in a row, the last time: {message}"
            failure, retryable = FailureClass.QUARANTINED, False
        return Failed(
            ordinal=row.ref.ordinal,
            id=row.ref.id,
            failure=failure,
            message=message,
            at_s=self.run.runtime.wall(),
            engine=self.engine.name,
            retryable=retryable,
        )

    def _failed(
        self, state: ImageState, attempt: Attempt, error: ImageError, *, retryable: bool
    ) -> Outcome:
        plain = self.failed(state.row, error, retryable=retryable)
        attempts = merge_attempts(state.attempts, (attempt,))
        return replace(plain, key=state.key, sha256=state.sha256, attempts=attempts)

    def _unsent(self, state: ImageState, claim: RenewableClaim | None) -> None:
        """Write down that a claim was not used; never one that may be somebody else's."""
        if claim is not None and not claim.stands:
            return
        attempt = InFlightRequest(self.run.runtime, state.number, "", 0).ended(AttemptResult.UNSENT)
        state.add(attempt)
        self.journal.note(state.row.batch, Tried(state.key, attempt))

    def _tried(self, state: ImageState, attempt: Attempt) -> None:
        state.add(attempt)
        self.journal.note(state.row.batch, Tried(state.key, attempt))
        self._report(attempt)

    def _report(self, attempt: Attempt) -> None:
        self.run.runtime.emit(Asked(attempt, self.pool.rate_now()))


def _paid_badly(attempts: Iterable[Attempt]) -> int:
    """Answers that were charged, and cannot be used."""
    return sum(
        one.result is AttemptResult.BAD_ANSWER and pages_charged(one) > 0 for one in attempts
    )


def _no_keys(reasons: Mapping[str, str]) -> str:
    """Why nothing can be sent any more, and what to do about it."""
    listed = "\n".join(f"  {lane}: {reason}" for lane, reason in reasons.items())
    return (
        f"no key is left to send with\n{listed}\n"
        "  all answers so far are saved: mend the key or its credit, then run the same command"
    )


@dataclass(slots=True, kw_only=True)
class PaidRequests:
    """Asks for images that must be paid for: reserve, claim, send, pay.

    take_in: brings what workers of this machine that have ended could not save into the journal.
    """

    exchange: Exchange
    claimer: AttemptClaimer
    journals: JournalCache
    budget: BudgetClient
    queue: ReadyQueue
    take_in: Callable[[], Coroutine[Any, Any, None]]
    _above: int = 0
    """Pages billed above the most that the engine states for a request: set aside as well."""

    async def ask(self, state: ImageState) -> Outcome | NotNow | None:
        """One request, or what came of somebody else's; None when it must be asked for again."""
        pages = min(state.pages + self._above, 2**31 - 1)  # what a table holds
        ticket = await self.exchange.stop.or_drain(self.queue.enter())
        try:
            try:
                await self.exchange.stop.or_drain(self.budget.reserve(pages))
            except BudgetReached:
                # an answer that is there already costs nothing
                found = None if state.attempts else await self._elsewhere(state)
                if found is None:
                    raise
                return found
            return await self._reserved(state, ticket, pages)
        finally:
            ticket.leave()

    async def _reserved(
        self, state: ImageState, ticket: Ticket, pages: int
    ) -> Outcome | NotNow | None:
        before = len(state.attempts)
        cost = 0  # nobody sends where the claim failed, whether it stands or not
        try:
            again = partial(self._claim, state, pages)
            if (claimed := await again()) is None:
                return await self._elsewhere(state)
            claim = RenewableClaim(claimed, again, lambda: self.budget.covers)
            try:
                outcome = await self.exchange.send(state, claim, ticket)
            except BaseException:
                cost = cost_pages(state.attempts[before:])
                if claim.stands and state.number == claim.claim.number:
                    cost += pages  # perhaps sent, and no attempt was written down
                raise
            ended = outcome.attempts if outcome is not None else state.attempts
            cost = cost_pages(ended[before:])
        finally:
            self.budget.pay(pages, cost)
            self._look_at_cost(state, cost)
        return outcome

    def _look_at_cost(self, state: ImageState, cost: int) -> None:
        stated = state.pages
        if cost > stated + self._above:
            self._above = cost - stated
            broke = f"engine {self.exchange.engine.name} broke its contract"
            said = f"{counted(cost, 'page')} for a request that can cost {stated} as it states"
            then = "it is counted as billed, and as much is set aside for each from now on"
            self.exchange.run.runtime.tell("billed", f"{broke}: {said}; {then}")

    async def _claim(self, state: ImageState, pages: int) -> OwnClaim | None:
        return await self.claimer.claim(state.key, state.number, batch=state.row.batch, pages=pages)

    async def _elsewhere(self, state: ImageState) -> Outcome | NotNow | None:
        """Copy what came of the newest attempt, wait for it, or go on with the next number."""
        runtime = self.exchange.run.runtime
        self.exchange.not_sent(state)
        theirs = await self.claimer.newest(state.key, state.row.batch, state.pages)
        if theirs is None:
            return None
        for looked_for_lost in (False, True):
            journal = await self.journals.fresh(theirs.batch)
            if (outcome := journal.by_key.get(state.key)) is not None:
                self.claimer.forget(state.key)
                return copy(state.row, outcome)
            known = journal.tried.get(state.key, ())
            if any(attempt.number == theirs.number for attempt in known):
                break
            if not self._is_over(theirs):
                return NotNow(runtime.clock() + LOOK_AGAIN_S)
            if not looked_for_lost:
                await self.exchange.stop.or_drain(self.take_in())
        else:
            unknown = never_answered(theirs)
            self.exchange.journal.note(state.row.batch, Tried(state.key, unknown))
            known = (*known, unknown)
        state.attempts = merge_attempts(state.attempts, known)
        state.number = theirs.number + 1
        return None

    def _is_over(self, theirs: AttemptClaim) -> bool:
        # of our own, none is in flight: an image is read by one task of a process at a time
        is_ours = theirs.owner.worker == self.exchange.run.runtime.me.worker
        return is_ours or self.claimer.over(theirs)


@dataclass(slots=True)
class ReadyQueue:
    """Gives tickets to whoever came first, as many as the rate needs to have claims ready."""

    rate_now: Callable[[], float]
    inside: int = 0
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enter(self) -> Ticket:
        """Wait for a ticket."""
        async with self._turn:  # asyncio's lock is fair
            while self.inside >= tickets(self.rate_now()):
                self.freed.clear()
                await self.freed.wait()
            self.inside += 1
            return Ticket(self)


def tickets(rate_per_s: float) -> int:
    """How many may stand ready for a rate."""
    ready = math.ceil(min(rate_per_s, _MOST_TICKETS / _CLAIM_S) * _CLAIM_S)
    return _FEWEST_TICKETS + min(_MOST_TICKETS, ready)


@dataclass(slots=True)
class Ticket:
    """A ticket in the queue, given up once: with the turn, or when none is wanted any more."""

    queue: ReadyQueue
    left: bool = False

    def leave(self) -> None:
        """Let the next one in; a second time it does nothing."""
        if not self.left:
            self.left = True
            self.queue.inside -= 1
            self.queue.freed.set()
