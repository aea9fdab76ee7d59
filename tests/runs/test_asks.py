"""Asks: good for a minute, and the next turn may be further away than that; or none can be made."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from ocrlabel.engine import Answer, Lane
from ocrlabel.errors import StoreUnavailable
from ocrlabel.labels import AttemptResult, Document, Page, Word
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Asked
from ocrlabel.pipeline.outcome import image_key
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import BillingEngine, Told, go, labels, made
from tests.support.stores import DictStore

DOCUMENTED = Lane("key", 3.0, 300.0, pages_follow=True)


@dataclass
class Documents(BillingEngine):
    """Reads documents of so many pages, and remembers when it was sent which image key."""

    pages: int = 1
    lanes: tuple[Lane, ...] = (DOCUMENTED,)
    sent: list[tuple[str, float]] = field(default_factory=list)

    async def prepare(self, data: bytes) -> Document:
        return Document(data, "pdf", self.pages, ())

    async def recognise(self, document: Document, lane: str) -> Answer:
        sha256 = hashlib.sha256(document.data).hexdigest()
        self.sent.append((image_key(sha256, self.name, self.options), clock()))
        return await super().recognise(document, lane)

    def parse(self, raw: bytes, document: Document) -> Answer:
        word = Word(raw.decode(), ((0, 0), (10, 0), (10, 5), (0, 5)), 0.9)
        pages = tuple(Page(n + 1, 100, 50, (word,), 0.9) for n in range(self.pages))
        return Answer(pages, self.version, self.pages, raw, 200)


class WatchedAsks(DictStore):
    """Remembers by image key when each ask's put began. claim_s: how long one takes."""

    def __init__(self, claim_s: float = 0.0) -> None:
        super().__init__()
        self.claim_s = claim_s
        self.began_s: dict[str, list[float]] = defaultdict(list)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        if "/asks/" in key:
            self.began_s[key.rsplit("/", 2)[1]].append(clock())
            await sleep(self.claim_s)
        return await super().put_if_absent(key, data)


def labelled_in_s(store, dataset, engine, options, *, workers: int = 1) -> float:
    async def story():
        names = [f"w{n + 1}" for n in range(workers)]
        began_s = clock()
        async with asyncio.timeout(3600):
            await asyncio.gather(
                *(go(store, dataset, engine, options, worker=name, host=name) for name in names)
            )
        assert len(await labels(store)) == dataset.rows * engine.pages
        return clock() - began_s

    return run_virtual(story())


@pytest.mark.parametrize("claim_s", [0.0, 3.0])
@pytest.mark.parametrize("rps", [0.06, 0.05, 0.004])
def test_at_a_rate_slower_than_asks_last_every_turn_is_used_under_an_ask_that_is_good(rps, claim_s):
    store, engine = WatchedAsks(claim_s), Documents()
    options = Options(batch_size=10, rps=rps)
    took_s = labelled_in_s(store, made(10), engine, options)
    assert took_s < 10 / rps / 0.9875 + 30
    assert set(engine.billed.values()) == {1}
    for key, at_s in engine.sent:
        began_s = max(began_s for began_s in store.began_s[key] if began_s <= at_s)
        assert began_s <= at_s - claim_s
        assert at_s < began_s + options.send_within_s
    times_s = [at_s for _, at_s in engine.sent]
    gaps_s = [after - before for before, after in pairwise(times_s)]
    assert min(gaps_s) >= 1 / rps


def test_documents_of_a_hundred_pages_are_read_at_the_documented_rate():
    engine = Documents(pages=100)
    took_s = labelled_in_s(WatchedAsks(), made(20), engine, Options(batch_size=10))
    assert took_s < 20 * 100 / 5 + 30
    assert engine.billed.total() == 20


def test_so_are_those_of_a_fleet_in_which_each_worker_waits_long_for_its_turn():
    engine = Documents(pages=30)
    options = Options(batch_size=10)
    took_s = labelled_in_s(WatchedAsks(), made(80), engine, options, workers=8)
    assert took_s < 1.5 * 80 * 30 / 5
    assert engine.billed.total() == 80


class ClaimedMeanwhile(DictStore):
    """Of every image, the second ask is made by a worker that dies before it sends."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        if "/asks/" in key and key.endswith("/002.json") and key not in self.objects:
            other = json.loads(data) | {"worker": "w9", "pid": 9, "nonce": "theirs"}
            self.objects[key] = json.dumps(other).encode()
        return await super().put_if_absent(key, data)


def test_an_ask_that_somebody_else_made_while_it_waited_is_not_sent_under():
    told = Told()
    run_virtual(
        go(
            ClaimedMeanwhile(),
            made(5),
            Documents(),
            Options(batch_size=5, rps=0.05),
            told=told,
        )
    )
    asked = [event.attempt for event in told.events if isinstance(event, Asked)]
    assert {attempt.result for attempt in asked} == {AttemptResult.ANSWERED}
    assert len(asked) == 5
    assert {attempt.number for attempt in asked} == {1, 3}


class RefusesAsks(DictStore):
    """No ask can be made for a while."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        if "/asks/" in key and 1005 < clock() < 1065:
            raise StoreUnavailable("no asks now")
        return await super().put_if_absent(key, data)


def test_asks_that_could_not_be_made_use_nothing_of_the_cap():
    engine = Documents(price_per_page_usd=0.01)
    options = Options(batch_size=60, max_cost=0.60)
    labelled_in_s(RefusesAsks(), made(60), engine, options)
    assert engine.asked.total() == 60
