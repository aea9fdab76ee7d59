"""How a run ends while others work, merge or die beside it: no word of one undoes another's."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import asdict

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import Interrupted, RunMismatch, StoreUnavailable, Unreadable
from ocrlabel.labels import FailureClass
from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.status import read_status
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import PowerCut
from tests.support.runs import LAYOUT, BillingEngine, go, labels, made, runtime
from tests.support.stores import DictStore

FIFTIES = Options(batch_size=50)
TENS = Options(batch_size=10)


class View(DictStore):
    """One worker's way to objects that it shares with others."""

    def __init__(self, shared: DictStore) -> None:
        super().__init__()
        self.objects = shared.objects

    def any_with(self, part: str) -> bool:
        return any(part in key for key in self.objects)


class ListsLate(View):
    """Once all slices of a batch are closed, its next journal listing is acted on after the end."""

    late = False

    async def list(self, prefix):
        found = [stored async for stored in super().list(prefix)]
        if "/journal/0000/" in prefix and found and not self.late and self._all_closed():
            self.late = True
            while self.any_with("/journal/"):
                await sleep(1.0)
        for stored in found:
            yield stored

    def _all_closed(self) -> bool:
        closed = [key for key, data in self.objects.items() if b'"closed"' in data]
        return sum("/leases/" in key for key in closed) == 2


class SlowlyWrites(View):
    """run.json of this worker is under way for a while."""

    async def put(self, key, data):
        if key == LAYOUT.run_key:
            await sleep(3.0)
        await super().put(key, data)


class MergesSecond(View):
    """This worker lets others claim the merge before it."""

    async def put_if_absent(self, key, data):
        if key.endswith("/merge/000001.json"):
            await sleep(1.0)
        return await super().put_if_absent(key, data)


class DiesBehindTheRecord(View):
    """The power goes as soon as run.json says that the run is complete."""

    off = False

    async def put(self, key, data):
        self._only_with_power()
        await super().put(key, data)
        if key == LAYOUT.run_key and json.loads(data)["complete"]:
            self.off = True
            raise PowerCut

    async def put_if_absent(self, key, data):
        self._only_with_power()
        return await super().put_if_absent(key, data)

    async def delete(self, keys):
        self._only_with_power()
        await super().delete(keys)

    def _only_with_power(self) -> None:
        if self.off:
            raise PowerCut


def test_a_journal_that_is_merged_and_cleared_while_it_is_read_is_no_error():
    shared, engine = DictStore(), BillingEngine(latency_s=1.0)
    late = ListsLate(shared)
    options = Options(batch_size=50, concurrency=4)

    async def second():
        await sleep(0.1)
        return await go(late, made(50), engine, options, worker="w2", host="b")

    async def story():
        return await asyncio.gather(
            go(shared, made(50), engine, options, worker="w1", host="a"), second()
        )

    first, second_result = run_virtual(story())
    assert late.late
    assert first.record == second_result.record


def test_the_status_of_a_run_that_is_merged_meanwhile_is_that_of_the_finished_run():
    shared, engine = DictStore(), BillingEngine(lanes=(Lane("key", 50.0),))

    class MergedMeanwhile(View):
        async def list(self, prefix):
            found = [stored async for stored in super().list(prefix)]
            while prefix.endswith("/journal/0000/") and self.any_with("/journal/"):
                await sleep(1.0)
            for stored in found:
                yield stored

    async def story():
        working = asyncio.ensure_future(go(shared, made(200), engine, Options(batch_size=200)))
        await sleep(3.0)
        assert any("/journal/" in key for key in shared.objects)
        status = await read_status(runtime(MergedMeanwhile(shared), "w9"), LAYOUT, watch_s=1.0)
        await working
        return status

    status = run_virtual(story())
    assert status.complete
    assert status.tally.labelled == 200


@pytest.mark.parametrize("tenths", range(12, 60, 4))
def test_a_worker_that_is_stopped_never_writes_over_the_record_of_a_finished_run(tenths):
    shared, engine = DictStore(), BillingEngine(latency_s=1.0)

    async def stopped():
        stop = Stop(clock)
        asyncio.get_running_loop().call_later(
            tenths / 10, lambda: stop.drain("SIGTERM", grace_s=25.0)
        )
        try:
            await go(
                SlowlyWrites(shared), made(50), engine, FIFTIES, worker="w1", host="a", stop=stop
            )
        except Interrupted:
            return True
        return False

    async def story():
        return await asyncio.gather(
            stopped(), go(shared, made(50), engine, FIFTIES, worker="w2", host="b")
        )

    run_virtual(story())
    assert json.loads(shared.objects[LAYOUT.run_key])["complete"]
    assert len(run_virtual(labels(shared))) == 50


def test_every_worker_of_a_stopped_fleet_may_say_so_and_the_next_run_need_not_wait_for_them():
    store, engine = DictStore(), BillingEngine(latency_s=1.0)

    async def stopped(worker: int):
        stop = Stop(clock)
        asyncio.get_running_loop().call_later(4.0, lambda: stop.drain("SIGTERM", grace_s=25.0))
        with pytest.raises(Interrupted):
            await go(
                SlowlyWrites(store),
                made(500),
                engine,
                FIFTIES,
                worker=f"w{worker}",
                host=f"h{worker}",
                stop=stop,
            )

    async def story():
        await asyncio.gather(*(stopped(n) for n in range(1, 4)))
        told = json.loads(store.objects[LAYOUT.run_key])
        began_s = clock()
        await go(store, made(500), engine, FIFTIES, worker="w9", host="h9")
        return told, clock() - began_s

    told, took_s = run_virtual(story())
    assert told["complete"] is False
    assert told["reason"] == "SIGTERM"
    assert took_s < 60


def test_a_lost_request_is_told_once_also_when_the_merger_dies_before_it_has_cleared_up():
    shared, engine = DictStore(), BillingEngine()

    async def a_request_is_lost():
        await sleep(2.5)
        run_id = json.loads(shared.objects[LAYOUT.plan_key])["run_id"]
        ask = asdict(runtime(shared, "w8", host="gone").me) | {
            "batch": 0,
            "pages": 1,
            "send_within_s": 60.0,
            "created_at_s": 1.0,
            "nonce": "n",
        }
        key = LAYOUT.of_run(run_id).ask("ab" * 32, 1)
        shared.objects[key] = json.dumps(ask).encode()

    async def merges_and_dies():
        store = DiesBehindTheRecord(shared)
        try:
            await go(store, made(20), engine, TENS, worker="w1", host="a")
        except PowerCut:
            return True
        return False

    async def story():
        died, result, _ = await asyncio.gather(
            merges_and_dies(),
            go(MergesSecond(shared), made(20), engine, TENS, worker="w2", host="b"),
            a_request_is_lost(),
        )
        return died, result.record.as_json()

    died, told = run_virtual(story())
    assert died
    assert told["account"]["at_risk_pages"] == {"unknown": 1}
    assert not [key for key in shared.objects if "/asks/" in key]


@pytest.mark.parametrize(
    ("failure", "ended"),
    [("timed_out", "unavailable"), ("crashed", "unavailable"), ("corrupt", "rejected")],
)
@pytest.mark.parametrize("price_usd", [0.0, 0.0015])
def test_only_what_an_engine_refused_is_counted_as_rejected(failure, ended, price_usd):
    def trouble(image, attempt):
        return Unreadable("no", failure=FailureClass(failure)) if image == "image 3" else None

    store = DictStore()
    engine = BillingEngine(price_per_page_usd=price_usd, trouble=trouble)
    run_virtual(go(store, made(5), engine, Options(batch_size=5)))
    account = json.loads(store.objects[LAYOUT.run_key])["account"]
    assert account["requests"] == {"answered": 4, ended: 1}
    perhaps = {"unavailable": 1} if price_usd and ended == "unavailable" else {}
    assert account["at_risk_pages"] == perhaps


def test_a_checkpoint_that_is_gone_is_named_with_the_ways_on():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, made(20), engine, TENS)
        del store.objects[LAYOUT.checkpoint_key(1)]
        del store.objects[LAYOUT.labels_key]
        await go(store, made(20), engine, TENS, worker="w2")

    with pytest.raises(RunMismatch, match="batch 1 is gone") as caught:
        run_virtual(story())
    assert "backup" in str(caught.value)
    assert "--reuse-from" in str(caught.value)
    assert "--fresh" not in str(caught.value), "it pays for everything again"
    assert engine.asked.total() == 20


def test_a_renewal_that_fails_once_does_not_make_two_mergers_of_one():
    shared, engine = DictStore(), BillingEngine()
    merged: list[float] = []

    class Slow(View):
        holds = failed = False

        async def put_if_absent(self, key, data):
            if self.holds and key.endswith("/merge/000002.json") and not self.failed:
                self.failed = True
                raise StoreUnavailable("once")
            done = await super().put_if_absent(key, data)
            self.holds = self.holds or (done and key.endswith("/merge/000001.json"))
            return done

        async def upload(self, key, path):
            if key == LAYOUT.labels_key:
                merged.append(clock())
                await sleep(200.0)
            await super().upload(key, path)

    stores = [Slow(shared), Slow(shared)]

    async def story():
        await asyncio.gather(
            *(
                go(store, made(20), engine, TENS, worker=f"w{n}", host=f"h{n}")
                for n, store in enumerate(stores)
            )
        )

    run_virtual(story())
    assert any(store.failed for store in stores)
    assert len(merged) == 1


class Outage(DictStore):
    """From its n-th call after the first claim of the merge on, it answers nothing for a while.

    heard: whether a write that finds it so takes place all the same.
    """

    def __init__(self, n: int, lasts_s: float, *, heard: bool) -> None:
        super().__init__()
        self.left, self.lasts_s, self.heard = n, lasts_s, heard
        self.merging, self.until_s = False, -1.0

    def _call(self, key: str) -> bool:
        self.merging = self.merging or "/leases/merge/" in key
        if self.merging and self.left:
            self.left -= 1
            if not self.left:
                self.until_s = clock() + self.lasts_s
        return clock() < self.until_s

    async def _write(self, key, write):
        if not self._call(key):
            return await write
        if self.heard:
            await write
        else:
            write.close()
        raise StoreUnavailable(f"no answer about {key}")

    async def get(self, key):
        if self._call(key):
            raise StoreUnavailable(f"no answer about {key}")
        return await super().get(key)

    async def list(self, prefix):
        if self._call(prefix):
            raise StoreUnavailable(f"no answer about {prefix}")
        async for stored in super().list(prefix):
            yield stored

    async def put(self, key, data):
        await self._write(key, super().put(key, data))

    async def put_if_absent(self, key, data):
        return await self._write(key, super().put_if_absent(key, data))

    async def upload(self, key, path):
        await self._write(key, super().upload(key, path))

    async def delete(self, keys):
        await self._write(keys[0], super().delete(keys))


@pytest.mark.parametrize("heard", [True, False])
def test_a_store_that_is_gone_while_the_tables_are_merged_is_waited_for(heard):
    for n in itertools.count(1):
        store, engine = Outage(n, lasts_s=300.0, heard=heard), BillingEngine()
        told = run_virtual(go(store, made(20), engine, TENS)).record.as_json()
        assert (told["complete"], told["labelled"], told["billed_usd"]) == (True, 20, 0.03)
        beyond_the_end, store.left, store.until_s = store.left > 0, 0, -1.0
        assert len(run_virtual(labels(store))) == engine.billed.total() == 20
        assert not any("/journal/" in key or "/asks/" in key for key in store.objects)
        if beyond_the_end:
            break
    assert n > 10


def test_a_store_that_is_gone_for_good_while_the_tables_are_merged_ends_the_run():
    store, options = Outage(3, lasts_s=9999.0, heard=False), Options(give_up_after=120.0)
    with pytest.raises(StoreUnavailable):
        run_virtual(go(store, made(5), BillingEngine(), options))
