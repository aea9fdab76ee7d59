"""`ocrlabel status` tells who was lost or stopped, when, and what that cost; per worker too."""

from __future__ import annotations

import asyncio

import pytest

from ocrlabel.cli.status import lines, told
from ocrlabel.engine import Lane
from ocrlabel.errors import Interrupted
from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.status import read_status
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, go, made, runtime
from tests.support.stores import DictStore

PRICE_USD = 0.0015
SLOW = (Lane("key", 3.0),)


def look(store):
    """What status finds from a machine on which nobody worked."""
    return read_status(runtime(store, "w9", host="laptop"), LAYOUT, watch_s=2.0)


def shown(found):
    return [f"{name}: {value}" for name, value in lines(found, PRICE_USD)]


async def dies(store, images, engine, *, worker, after, options=None):
    dying = DiesAfter(store, after)
    with pytest.raises(PowerCut):
        await go(dying, images, engine, options, worker=worker, host=f"machine of {worker}")


@pytest.mark.parametrize("batch_rows", [4, 50])
def test_of_machines_that_were_lost_yesterday_it_says_so_and_what_they_cost(batch_rows):
    store, engine, images = DictStore(), BillingEngine(lanes=SLOW), made(100)
    options = Options(batch_size=batch_rows)

    async def story():
        for worker in ("w1", "w2"):
            await dies(store, images, engine, worker=worker, after=90, options=options)
        await sleep(86_400.0)
        saved = LAYOUT.checkpoint_key(0) in store.objects
        found = await look(store)
        done = await go(store, images, engine, options, worker="w3")
        return saved, found, done.record

    saved, found, finished = run_virtual(story())
    assert saved is (batch_rows == 4)  # of some images it is the checkpoint that tells
    said = shown(found)
    assert "state: stopped; the same command goes on" in said
    assert not [line for line in said if line.startswith(("rate:", "time left:"))]
    assert [line for line in said if line.startswith("worker: w1: lost, no word for 24 h")]
    (interrupted,) = (line for line in said if line.startswith("interrupted:"))
    assert "2 workers lost without a goodbye: w2 24 h 00 min ago, w1 24 h" in interrupted
    # whoever goes on settles for what was under way: status had told the same before
    unanswered = finished.account.requests["unknown"]
    assert 0 < unanswered < 20
    assert finished.account.at_risk_pages == {"unknown": unanswered}
    cost = f"cost of it: {unanswered} requests without an answer, {unanswered} pages perhaps billed"
    assert f"{cost}: {unanswered * PRICE_USD:.4f} USD" in said
    assert sum(worker.perhaps_billed_pages for worker in found.workers) == unanswered
    as_json = told(found, PRICE_USD)["interruptions"]
    assert as_json["lost"] == ["w1", "w2"]
    assert as_json["perhaps_billed_usd"] == pytest.approx(unanswered * PRICE_USD)


def test_of_a_fleet_that_lost_a_machine_and_works_on_it_says_both():
    store, engine, images = DictStore(), BillingEngine(lanes=SLOW), made(1200)
    options = Options(batch_size=10, rps=3.0)

    async def story():
        await dies(store, images, engine, worker="w1", after=90, options=options)
        working = asyncio.ensure_future(go(store, images, engine, options, worker="w2", host="b"))
        await sleep(300.0)
        found = await look(store)
        working.cancel()
        return found

    found = run_virtual(story())
    said = shown(found)
    assert "state: running, 1 worker" in said
    (w2, w1) = (line for line in said if line.startswith("worker:"))
    assert w1.startswith("worker: w1: lost, no word for 5 min")
    assert w2.startswith("worker: w2: working")
    assert found.workers[1].requests_per_s == pytest.approx(3.0, rel=0.2)
    assert found.images_per_s == pytest.approx(3.0, rel=0.3)
    assert [line for line in said if line.startswith("interrupted: 1 worker lost without")]
    assert found.workers[0].perhaps_billed_pages > 0
    assert found.account.at_risk_pages["unknown"] == found.workers[0].perhaps_billed_pages


def test_of_a_worker_that_was_stopped_it_says_when_and_why():
    store, engine = DictStore(), BillingEngine(lanes=SLOW, latency_s=10.0)

    async def story():
        stop = Stop(clock)
        reason = "stopped by SIGTERM; the same command goes on"
        asyncio.get_running_loop().call_later(60.0, lambda: stop.drain(reason, grace_s=2.0))
        with pytest.raises(Interrupted):
            await go(store, made(900), engine, stop=stop, host="a")
        await sleep(7200.0)
        return await look(store)

    found = run_virtual(story())
    said = shown(found)
    assert [line for line in said if line.startswith("worker: w1: stopped by SIGTERM 2 h 0")]
    assert "interrupted: 1 worker stopped early: w1 2 h 00 min ago" in said
    unanswered = found.account.requests["unknown"]
    assert unanswered > 0
    assert [line for line in said if line.startswith(f"cost of it: {unanswered} requests without")]


def test_a_finished_run_still_tells_what_its_interruptions_were_and_cost():
    store, engine, images = DictStore(), BillingEngine(lanes=SLOW), made(100)

    async def story():
        await dies(store, images, engine, worker="w1", after=90)
        await sleep(86_400.0)
        await go(store, images, engine, worker="w2", host="b")
        return await look(store)

    said = shown(run_virtual(story()))
    assert "state: done; both tables are written" in said
    assert [line for line in said if line.startswith("interrupted: 1 worker lost without")]
    assert [line for line in said if "perhaps billed: 0.0" in line]


def test_a_run_that_nobody_interrupted_says_nothing_of_it():
    store = DictStore()
    run_virtual(go(store, made(20), BillingEngine()))
    said = shown(run_virtual(look(store), start_s=90_000.0))
    assert not [line for line in said if line.startswith(("interrupted", "cost of it"))]
    assert [line for line in said if line.startswith("worker: w1: ended 24 h ")]
