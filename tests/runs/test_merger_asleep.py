"""A worker that sleeps at any step of the merge and wakes up an hour later takes nothing back."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from ocrlabel.errors import Rejected
from ocrlabel.options import Options
from ocrlabel.pipeline.budget.attempts import AttemptClaimer
from ocrlabel.pipeline.replacement import Replaced
from ocrlabel.pipeline.run import Result
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, BillingEngine, failures, go, labels, made, run_of, runtime
from tests.support.stores import DictStore

TENS = Options(batch_size=10)
AGAIN = Options(batch_size=10, retry_failed=())
HOUR_S = 3600.0


class SleepsAt(DictStore):
    """Its process stops at the n-th call of the merge, before it takes place or after, and wakes
    up later; nothing of it goes on meanwhile."""

    def __init__(self, shared: DictStore, n: int, when: str) -> None:
        super().__init__()
        self.objects, self.n, self.when = shared.objects, n, when
        self.merging, self.calls, self.wakes_s = False, 0, 0.0

    async def _call(self, key, call):
        self.merging = self.merging or "/leases/merge/" in key
        self.calls += self.merging
        here = self.merging and self.calls == self.n
        if here and self.when == "before":
            self.wakes_s = clock() + HOUR_S
        try:
            await self._asleep()
        except BaseException:
            call.close()  # it was given up in its sleep
            raise
        result = await call
        if here and self.when == "after":
            self.wakes_s = clock() + HOUR_S
        await self._asleep()
        return result

    async def _asleep(self):
        if clock() < self.wakes_s:
            await sleep(self.wakes_s - clock())

    async def get(self, key):
        return await self._call(key, super().get(key))

    async def put(self, key, data):
        await self._call(key, super().put(key, data))

    async def put_if_absent(self, key, data):
        return await self._call(key, super().put_if_absent(key, data))

    async def upload(self, key, path):
        await self._call(key, super().upload(key, path))

    async def delete(self, keys):
        await self._call(keys[0], super().delete(keys))

    async def list(self, prefix):
        for stored in await self._call(prefix, self._listed(prefix)):
            yield stored

    async def _listed(self, prefix):
        return [stored async for stored in super().list(prefix)]


def two_are_refused_at_first(image, attempt):
    return Rejected("no", status=400) if attempt == 1 and image[-2:] in {" 3", " 4"} else None


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_others_merged_while_it_slept_stands(when):
    for n in itertools.count(1):
        store, engine = DictStore(), BillingEngine(trouble=two_are_refused_at_first)
        asleep = SleepsAt(store, n, when)

        async def a_request_is_lost(store=store):
            await sleep(0.5)
            gone = runtime(store, "w8", host="gone")
            own_round = run_of(gone, json.loads(store.objects[LAYOUT.plan_key])["run_id"]).round()
            claimer = AttemptClaimer(
                own_round, send_within_s=60.0, request_timeout_s=30.0, margin_s=15.0
            )
            assert await claimer.claim("ab" * 32, 1, batch=0, pages=1)

        async def others(store=store, engine=engine):
            await sleep(60.0)
            await go(store, made(20), engine, TENS, worker="w2", host="b")
            return await go(store, made(20), engine, AGAIN, worker="w3", host="b")

        async def story(store=store, engine=engine, asleep=asleep):
            first = go(asleep, made(20), engine, TENS, worker="w1", host="a")
            await asyncio.gather(first, others(), a_request_is_lost())
            return len(await labels(store)), len(await failures(store))

        assert run_virtual(story()) == (20, 0), f"asleep at call {n}"
        told = json.loads(store.objects[LAYOUT.run_key])
        assert (told["complete"], told["retries"], told["labelled"]) == (True, 1, 20)
        assert told["account"]["at_risk_pages"] == {"unknown": 1}, f"asleep at call {n}"
        assert told["account"]["requests"] == {"answered": 20, "rejected": 2, "unknown": 1}
        assert engine.billed.total() == 20
        if asleep.calls < n:
            break
    assert n > 15


@pytest.mark.parametrize("merged_by", ["run", "another retry"])
def test_run_json_that_was_deleted_is_made_again_with_every_round(merged_by):
    def refused_twice(image, attempt):
        return Rejected("no", status=400) if attempt <= 2 and image == "image 3" else None

    store, engine = DictStore(), BillingEngine(trouble=refused_twice)

    async def story():
        await go(store, made(20), engine, TENS)
        await go(store, made(20), engine, AGAIN, worker="w2")
        del store.objects[LAYOUT.run_key]
        if merged_by == "run":
            again = await go(store, made(20), engine, TENS, worker="w3")
            assert (again.record.retries, again.record.failed) == (1, 1)
        return await go(store, made(20), engine, AGAIN, worker="w4")

    told = run_virtual(story()).record.as_json()
    assert (told["retries"], told["labelled"], told["failed"]) == (2, 20, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_replaced_it_while_it_slept_stands(when):
    for n in itertools.count(1):
        store, engine = DictStore(), BillingEngine()
        asleep = SleepsAt(store, n, when)

        async def story(store=store, engine=engine, asleep=asleep):
            first = asyncio.ensure_future(go(asleep, made(20), engine, TENS, worker="w1", host="a"))
            await sleep(600.0)
            fresh = Options(batch_size=10, fresh=True)
            new = await go(store, made(30), engine, fresh, worker="w2", host="b")
            ended = (await asyncio.gather(first, return_exceptions=True))[0]
            return new.record.run_id, ended, len(await labels(store))

        run_id, ended, rows = run_virtual(story())
        if asleep.calls < n:
            break
        # what was merged before it fell asleep was the run that held then
        assert isinstance(ended, Replaced | Result), f"asleep at call {n}"
        assert rows == 30, f"asleep at call {n}"
        told = json.loads(store.objects[LAYOUT.run_key])
        assert (told["run_id"], told["complete"]) == (run_id, True), f"asleep at call {n}"
    assert n > 15
