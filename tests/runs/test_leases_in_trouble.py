"""A slice is never left held by nobody: whatever fails, it is finished, released or claimed again."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import Interrupted, StoreUnavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.runtime import Stop
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import BillingEngine, MadeImages, Told, go, labels, made
from tests.support.stores import DictStore

EXPIRY_S = 75.0
"""After which a lease that nobody renews is taken over: what a slice left behind costs."""

LANE = Lane("key", None, None)


class Refuses(DictStore):
    """Refuses the puts-if-absent that `refuses` picks by key and body; each takes `takes_s`."""

    def __init__(
        self, refuses: Callable[[str, bytes], bool] = lambda key, data: False, takes_s: float = 0.0
    ) -> None:
        super().__init__()
        self.refuses, self.takes_s = refuses, takes_s

    async def put_if_absent(self, key, data):
        if self.takes_s:
            await sleep(self.takes_s)
        if self.refuses(key, data):
            raise StoreUnavailable(f"no answer about {key}")
        return await super().put_if_absent(key, data)


@dataclass
class Leases:
    """Picks the first n writes of leases that say `state`."""

    state: str
    n: int

    def __call__(self, key: str, data: bytes) -> bool:
        if "/leases/0" not in key or json.loads(data)["state"] != self.state or not self.n:
            return False
        self.n -= 1
        return True


def finished(store, dataset, engine, options=None, *, within_s: float, **how) -> float:
    """How long the run took (virtual s); TimeoutError when it was longer than within_s."""

    async def story() -> float:
        began_s = clock()
        async with asyncio.timeout(within_s):
            await go(store, dataset, engine, options, **how)
        return clock() - began_s

    return run_virtual(story())


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_slice_that_could_not_be_closed_is_closed_later(times):
    store, engine = Refuses(Leases("closed", times)), BillingEngine()
    finished(store, made(10), engine, within_s=EXPIRY_S)
    assert engine.billed.total() == 10
    assert len(run_virtual(labels(store))) == 10


def test_a_slice_that_could_be_neither_closed_nor_released_is_closed_once_it_has_expired():
    closed, released = Leases("closed", 2), Leases("released", 2)
    store = Refuses(lambda key, data: closed(key, data) or released(key, data))
    engine = BillingEngine()
    finished(store, made(10), engine, within_s=3 * EXPIRY_S)
    assert (closed.n, released.n) == (0, 0)
    assert engine.billed.total() == 10


class Mute(DictStore):
    """The n-th write of a lease takes place, and nothing is heard of it."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    async def put_if_absent(self, key, data):
        stored = await super().put_if_absent(key, data)
        self.left -= "/leases/" in key
        if not self.left and "/leases/" in key:
            raise StoreUnavailable(f"no answer about {key}")
        return stored


def test_a_write_of_a_lease_that_took_place_unheard_costs_no_wait():
    for n in itertools.count(1):
        store, engine = Mute(n), BillingEngine(latency_s=25.0)  # each lease is renewed once
        took_s = finished(store, made(12), engine, Options(batch_size=4), within_s=EXPIRY_S)
        assert took_s < 45, f"write {n}"
        assert engine.billed.total() == len(engine.billed) == 12
        if store.left > 0:
            break
    assert n > 9


@dataclass
class InputGone(MadeImages):
    """The store of the input does not answer about the rows of the next slices."""

    gone: int = 1

    def refs(self, start, stop):
        if self.gone and stop - start > 1:  # before a run, single rows are looked at
            self.gone -= 1
            raise StoreUnavailable("the input does not answer")
        return super().refs(start, stop)


@pytest.mark.parametrize("times", [1, 3])
def test_a_slice_whose_rows_could_not_be_read_is_claimed_again_at_once(times):
    store, engine = DictStore(), BillingEngine()
    dataset = InputGone(made(30).contents, gone=times)
    finished(store, dataset, engine, Options(batch_size=30), within_s=EXPIRY_S)
    assert engine.billed.total() == 30


class JournalGone(DictStore):
    """The listing of a journal that brings `left` down to 0 fails."""

    left = 0

    async def list(self, prefix):
        if self.left and "/journal/0" in prefix:
            self.left -= 1
            if not self.left:
                raise StoreUnavailable("the journal does not answer")
        async for stored in super().list(prefix):
            yield stored


def test_a_slice_taken_over_whose_journal_could_not_be_read_is_claimed_again_at_once():
    store, engine = JournalGone(), BillingEngine(lanes=(Lane("key", 3.0, None),))
    options = Options(batch_size=25)

    async def cut() -> None:
        stop = Stop(clock)
        working = asyncio.ensure_future(go(store, made(25), engine, options, stop=stop))
        await sleep(3.0)
        stop.drain("SIGTERM", grace_s=5.0)
        with pytest.raises(Interrupted):
            await working

    run_virtual(cut())
    assert 0 < engine.billed.total() < 25
    store.left = 2  # the run begins with a look at it
    finished(store, made(25), engine, options, within_s=EXPIRY_S, worker="w2")
    assert store.left == 0
    assert len(engine.billed) == engine.billed.total() == 25


def test_a_renewal_while_the_slice_is_closed_does_not_take_it_from_its_worker():
    for n in range(30):
        store, engine = Refuses(takes_s=0.5), BillingEngine(latency_s=17.0 + n / 8)
        took_s = finished(store, made(5), engine, within_s=2 * EXPIRY_S)
        assert took_s < 40, f"the engine takes {engine.latency_s} s"


def test_hands_that_find_their_lease_run_out_after_a_sleep_renew_it_once_and_go_on():
    for n in range(10):
        store = Refuses(takes_s=0.02)
        engine = BillingEngine(latency_s=1.0, parallel=8, price_per_page_usd=0.0, lanes=(LANE,))

        async def slept(n: int = n, store=store, engine=engine) -> float:
            async def suspended() -> None:
                await sleep(4.4 + n / 20)
                asyncio.get_running_loop().jump(100.0)

            began_s, jumping = clock(), asyncio.ensure_future(suspended())
            options = Options(batch_size=100, concurrency=8)
            await go(store, made(200), engine, options)
            await jumping
            return clock() - began_s - 100.0

        assert run_virtual(slept()) < 40, f"cut {n}"


def test_a_lease_that_ran_out_and_cannot_be_renewed_for_a_moment_does_not_end_the_run():
    trouble = Leases("held", 0)
    store = Refuses(trouble)
    engine = BillingEngine(latency_s=1.0, parallel=4, price_per_page_usd=0.0, lanes=(LANE,))

    async def story() -> None:
        async def suspended() -> None:
            await sleep(4.5)
            asyncio.get_running_loop().jump(100.0)
            trouble.n = 4

        jumping = asyncio.ensure_future(suspended())
        await go(store, made(60), engine, Options(batch_size=60, concurrency=4))
        await jumping

    run_virtual(story())
    assert trouble.n == 0
    assert len(run_virtual(labels(store))) == 60


def test_a_release_that_fails_leaves_neither_the_others_nor_the_goodbye_undone():
    store, engine = Refuses(Leases("released", 1)), BillingEngine(latency_s=5.0)

    async def story() -> None:
        stop = Stop(clock)
        options = Options(batch_size=200, concurrency=60)
        working = asyncio.ensure_future(go(store, made(200), engine, options, stop=stop))
        await sleep(2.0)
        stop.drain("SIGTERM", grace_s=0.0)
        with pytest.raises(Interrupted):
            await working

    run_virtual(story())
    newest = {
        key.split("/leases/")[1].split("/")[0]: json.loads(store.objects[key])["state"]
        for key in sorted(store.objects)
        if "/leases/0" in key
    }
    assert sorted(newest.values()) == ["held", "released", "released"]
    said = [json.loads(store.objects[key])["said"] for key in store.objects if "/workers/" in key]
    assert any(one.get("gone") for one in said)


@dataclass
class ImagesGone(MadeImages):
    """The store of the images does not answer from one time until another."""

    since_s: float = 1010.0
    until_s: float = float("inf")

    async def read(self, ref):
        if self.since_s <= clock() < self.until_s:
            raise StoreUnavailable("the images do not answer")
        return await super().read(ref)


@dataclass
class AsksGone:
    """Picks the asks from this time on."""

    since_s: float = 1010.0

    def __call__(self, key: str, data: bytes) -> bool:
        return "/asks/" in key and clock() >= self.since_s


@pytest.mark.parametrize("what", ["images", "asks"])
def test_a_store_that_is_gone_for_good_ends_the_run_after_give_up_after_and_is_told_a_few_times(
    what,
):
    store = Refuses(AsksGone()) if what == "asks" else DictStore()
    dataset = ImagesGone(made(3000).contents) if what == "images" else made(3000)
    engine, told = BillingEngine(lanes=(Lane("key", 3.0, None),)), Told()
    options = Options(batch_size=100, give_up_after=300.0)

    async def story() -> float:
        async with asyncio.timeout(1200.0):
            with pytest.raises(StoreUnavailable):
                await go(store, dataset, engine, options, told=told)
        return clock() - 1010.0

    assert 290 < run_virtual(story()) < 330
    notices = [event for event in told.events if isinstance(event, Notice)]
    # a row that was under way may still end, and with the next failure an outage begins anew
    assert sum("waiting for it" in one.message for one in notices) < 20


def test_an_outage_shorter_than_give_up_after_ends_nothing():
    dataset = ImagesGone(made(100).contents, until_s=1010.0 + 280.0)
    store, engine = DictStore(), BillingEngine(lanes=(Lane("key", 3.0, None),))
    finished(store, dataset, engine, Options(give_up_after=300.0), within_s=600.0)
    assert engine.billed.total() == 100
