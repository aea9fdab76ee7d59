"""One image from its bytes to its outcome: its key, its attempts, the requests, and the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ocrlabel.errors import ImageError
from ocrlabel.labels import Labelled, Outcome, Page
from ocrlabel.pipeline.leases.scheduler import Row
from ocrlabel.pipeline.outcome import ImageState, copy, image_key
from ocrlabel.pipeline.rate.breaker import Probe, Wait
from ocrlabel.pipeline.requests.request import Exchange, NotNow, PaidRequests
from ocrlabel.pipeline.run_context import RunInput
from ocrlabel.pipeline.state.carried import CarriedAnswers

_HASH_IN_THREAD_BYTES = 2**20
Reuse: TypeAlias = Callable[[str], tuple[str, tuple[Page, ...]] | None]
"""sha256 -> (model version, pages) of an earlier labels table, None where it has none."""


@dataclass(slots=True, kw_only=True)
class RowReader:
    """Reads rows, each to an outcome that is durable when `read` returns it.

    paid is None for engines that cost nothing. carried: the answers that a run has grown with.
    resting: tasks that wait to send an image again.
    """

    exchange: Exchange
    images: RunInput
    paid: PaidRequests | None = None
    reuse: Reuse | None = None
    carried: CarriedAnswers | None = None
    resting: int = 0
    _under_way: dict[str, asyncio.Future[Outcome | None]] = field(default_factory=dict)

    async def read(self, row: Row) -> Outcome | NotNow:
        """Read one row and save what became of it.

        Raises Draining, LeaseLost, and whatever stops the run.
        """
        try:
            data = await self.images.read(row.ref)
        except ImageError as error:
            return await self._save(row, self.exchange.failed(row, error))
        sha256 = await _sha256(data)
        engine = self.exchange.engine
        key = image_key(sha256, engine.name, engine.options)
        if (same := self._under_way.get(key)) is not None:
            self.exchange.refusals.waiting += 1
            try:
                outcome = await asyncio.shield(same)
            finally:
                self.exchange.refusals.waiting -= 1
            if outcome is None:
                return NotNow(self.exchange.run.runtime.clock())
            return await self._save(row, copy(row, outcome))
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        outcome = None
        try:
            found = await self._first(row, key, sha256, data)
            outcome = None if isinstance(found, NotNow) else found
            return found
        finally:
            del self._under_way[key]
            future.set_result(outcome)

    async def _first(self, row: Row, key: str, sha256: str, data: bytes) -> Outcome | NotNow:
        """Read an image that nobody else of this process is reading."""
        exchange = self.exchange
        earlier = await self.carried.find(key) if self.carried is not None else None
        # a failure that was carried is what --retry-failed wants to try again
        if isinstance(earlier, Labelled) or (earlier is not None and not row.failed_before):
            return await self._save(row, copy(row, earlier))
        if self.reuse is not None and (found := self.reuse(sha256)) is not None:
            known = Labelled(  # nothing was asked, nothing billed
                ordinal=row.ref.ordinal,
                id=row.ref.id,
                key=key,
                sha256=sha256,
                pages=found[1],
                engine=exchange.engine.name,
                model_version=found[0],
                at_s=exchange.run.runtime.wall(),
            )
            return await self._save(row, known)
        try:
            document = await exchange.stop.or_drain(exchange.engine.prepare(data))
        except ImageError as error:
            unreadable = exchange.failed(row, error)
            return await self._save(row, replace(unreadable, key=key, sha256=sha256))
        pages = document.page_count or exchange.engine.max_pages
        state = ImageState(row, key, sha256, document, pages)
        while True:
            state.probing = await self._wait_for_service()
            try:
                if self.paid is None:
                    outcome: Outcome | NotNow | None = await exchange.send(state)
                else:
                    outcome = await self.paid.ask(state)
            except BaseException:
                exchange.not_sent(state)
                raise
            if state.refusal is not None:
                await exchange.refusals.hold(key, state.refusal)
                state.refusal = None
            if isinstance(outcome, NotNow):
                return outcome
            if outcome is not None:
                return await self._save(row, outcome)
            await self._rest(state)

    async def _wait_for_service(self) -> bool:
        """Return when a request may be sent; True when it is the one probe of an outage."""
        breaker, runtime = self.exchange.breaker, self.exchange.run.runtime
        await self.exchange.refusals.wait_for_room()
        while True:
            if self.exchange.journal.is_waiting:
                await self.exchange.stop.or_drain(self.exchange.journal.until_it_takes())
            match breaker.gate(runtime.clock()):
                case Wait(until):
                    nap_s = max(0.05, until - runtime.clock())
                    await self.exchange.stop.nap(runtime.sleep, nap_s)
                case gate:
                    return isinstance(gate, Probe)

    async def _rest(self, state: ImageState) -> None:
        if state.rest_s:
            rest_s, state.rest_s = state.rest_s, 0.0
            self.resting += 1
            try:
                await self.exchange.stop.nap(self.exchange.run.runtime.sleep, rest_s)
            finally:
                self.resting -= 1
            state.active_s += rest_s

    async def _save(self, row: Row, outcome: Outcome) -> Outcome:
        # once an answer is here it is saved, whatever else is being stopped
        await asyncio.shield(self.exchange.journal.save(row.batch, outcome))
        return outcome


async def _sha256(data: bytes) -> str:
    if len(data) < _HASH_IN_THREAD_BYTES:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
