"""The story of one image: its bytes, its key, its asks, the requests, and what became of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from ocrlabel.errors import ImageError, Interrupted
from ocrlabel.labels import Failed, ImageRef, Outcome, Page
from ocrlabel.pipeline.asks import Asks
from ocrlabel.pipeline.breaker import GiveUp, Probe, Wait
from ocrlabel.pipeline.budget import Purse
from ocrlabel.pipeline.exchange import Exchange
from ocrlabel.pipeline.outcomes import (
    Row,
    Story,
    copy,
    cost_pages,
    failed,
    image_key,
    never_answered,
    reused,
)
from ocrlabel.pipeline.records import Tried, merge_attempts
from ocrlabel.pipeline.views import Views

_LOOK_AGAIN_S = 1.0
_HASH_IN_THREAD_BYTES = 2**20


class Images(Protocol):
    """Where the bytes of an image reference come from."""

    async def read(self, ref: ImageRef) -> bytes:
        """The bytes. Raises ImageError."""
        ...


Reuse: TypeAlias = Callable[[str], tuple[str, tuple[Page, ...]] | None]
"""sha256 -> (model version, pages) of an earlier labels table, None where it has none."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Somebody else has asked for the same image; worth another look at this time."""

    look_again_s: float


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads rows, each to an outcome that is durable when `read` returns it.

    asks is None for engines that cost nothing. resting: hands that wait to send an image again.
    """

    exchange: Exchange
    images: Images
    views: Views
    asks: Asks | None = None
    purse: Purse | None = None
    reuse: Reuse | None = None
    resting: int = 0
    _under_way: dict[str, asyncio.Future[Outcome | None]] = field(default_factory=dict)

    async def read(self, row: Row, *, valid: Callable[[], bool]) -> Outcome | NotNow:
        """Read one row and save what became of it.

        valid: whether the row is still this worker's. Raises Draining, LeaseLost, and whatever
        stops the run.
        """
        try:
            data = await self.images.read(row.ref)
        except ImageError as error:
            return await self._save(row, self._failed(row, error))
        sha256 = await _sha256(data)
        engine = self.exchange.engine
        key = image_key(sha256, engine.name, engine.options)
        if (same := self._under_way.get(key)) is not None:
            outcome = await asyncio.shield(same)
            if outcome is None:
                return NotNow(self.exchange.world.clock())
            return await self._save(row, copy(row, outcome))
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        outcome = None
        try:
            found = await self._first(row, key, sha256, data, valid)
            outcome = None if isinstance(found, NotNow) else found
            return found
        finally:
            del self._under_way[key]
            future.set_result(outcome)

    async def _first(
        self, row: Row, key: str, sha256: str, data: bytes, valid: Callable[[], bool]
    ) -> Outcome | NotNow:
        """Read an image that nobody else of this process is reading."""
        exchange = self.exchange
        if self.reuse is not None and (found := self.reuse(sha256)) is not None:
            at_s = exchange.world.wall()
            known = reused(row, key, sha256, found, engine=exchange.engine.name, at_s=at_s)
            return await self._save(row, known)
        try:
            document = await exchange.stop.or_drain(exchange.engine.prepare(data))
        except ImageError as error:
            unreadable = replace(self._failed(row, error), key=key, sha256=sha256)
            return await self._save(row, unreadable)
        story = Story(row, key, sha256, document)
        while True:
            probing = await self._wait_for_service()
            try:
                outcome = await self._ask(story, valid, probing=probing)
            except BaseException:
                if probing:
                    exchange.breaker.on_failure(exchange.world.clock(), "not sent")
                raise
            if isinstance(outcome, NotNow):
                return outcome
            if outcome is not None:
                return await self._save(row, outcome)
            await self._rest(story)

    async def _wait_for_service(self) -> bool:
        """Return when a request may be sent; True when it is the one probe of an outage."""
        breaker, world = self.exchange.breaker, self.exchange.world
        while True:
            match breaker.gate(world.clock()):
                case Wait(until):
                    nap_s = max(0.05, until - world.clock())
                    await self.exchange.stop.nap(world.sleep, nap_s)
                case GiveUp(message):
                    raise Interrupted(message)
                case gate:
                    return isinstance(gate, Probe)

    async def _rest(self, story: Story) -> None:
        if story.rest_s:
            rest_s, story.rest_s = story.rest_s, 0.0
            self.resting += 1
            try:
                await self.exchange.stop.nap(self.exchange.world.sleep, rest_s)
            finally:
                self.resting -= 1
            story.active_s += rest_s

    async def _ask(
        self, story: Story, valid: Callable[[], bool], *, probing: bool
    ) -> Outcome | NotNow | None:
        """One request, paid for, claimed and sent; None when it must be asked for again."""
        pages = story.document.page_count or self.exchange.engine.max_pages
        if self.asks is None:
            return await self.exchange.run(story, None, pages=pages, valid=valid, probing=probing)
        if self.purse is not None:
            await self.exchange.stop.or_drain(self.purse.reserve(pages))
        before, cost = len(story.attempts), 0
        try:
            ask = await self.asks.claim(story.key, story.number, batch=story.row.batch, pages=pages)
            if ask is None:
                if probing:
                    self.exchange.breaker.on_failure(self.exchange.world.clock(), "not sent")
                return await self._elsewhere(story)
            outcome = await self.exchange.run(story, ask, pages=pages, valid=valid, probing=probing)
            ended = outcome.attempts if outcome is not None else story.attempts
            cost = cost_pages(ended[before:])
        except BaseException:
            # an ask that may stand without an attempt counts in full until somebody settles it
            cost = cost_pages(story.attempts[before:]) if story.attempts[before:] else pages
            raise
        finally:
            if self.purse is not None:
                self.purse.pay(pages, cost)
        return outcome

    async def _elsewhere(self, story: Story) -> Outcome | NotNow | None:
        """Somebody else has this ask: copy what came of it, wait, or try the next number."""
        assert self.asks is not None  # noqa: S101 - only called where an ask was refused
        world = self.exchange.world
        theirs = await self.asks.newest(story.key)
        if theirs is None:
            return NotNow(world.clock() + _LOOK_AGAIN_S)
        view = await self.views.fresh(theirs.batch)
        if (outcome := view.by_key.get(story.key)) is not None:
            self.asks.forget(story.key)
            return copy(story.row, outcome)
        known = view.tried.get(story.key, ())
        if all(attempt.number != theirs.number for attempt in known):
            if not self.asks.over(theirs):
                return NotNow(world.clock() + _LOOK_AGAIN_S)
            unknown = never_answered(theirs)
            self.exchange.journal.note(story.row.batch, Tried(story.key, unknown))
            known = (*known, unknown)
        story.attempts = merge_attempts(story.attempts, known)
        story.number = theirs.number + 1
        return None

    def _failed(self, row: Row, error: ImageError) -> Failed:
        engine, at_s = self.exchange.engine.name, self.exchange.world.wall()
        return failed(row, error.failure, error.message, engine=engine, at_s=at_s)

    async def _save(self, row: Row, outcome: Outcome) -> Outcome:
        # once an answer is here it is saved, whatever else is being stopped
        await asyncio.shield(self.exchange.journal.save(row.batch, outcome))
        return outcome


async def _sha256(data: bytes) -> str:
    if len(data) < _HASH_IN_THREAD_BYTES:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
