"""A start that stored nothing binds nobody: the mended command just runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ocrlabel.errors import ConfigError, Interrupted, OcrLabelError, RunMismatch, Unavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.layout import of_dataset
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import BillingEngine, go, labels, made
from tests.support.stores import DictStore

ROWS = made(20)
TENS = Options(batch_size=10)
MENDED = {
    "another option": ({"options": {"model": "right"}}, ROWS, TENS),
    "another engine": ({"name": "other"}, ROWS, TENS),
    "another input": ({}, made(21), TENS),
    "another size of batches": ({}, ROWS, Options(batch_size=7)),
    "another job": ({}, ROWS, Options(batch_size=10, job="second", resume=False)),
}


class WillNotStart(BillingEngine):
    async def start(self) -> None:
        raise ConfigError("there is no such model")


def unreachable(image: str, attempt: int) -> Exception:
    return Unavailable("no such host", sent=False)


async def never_starts(store):
    with pytest.raises(ConfigError):
        await go(store, ROWS, WillNotStart(options={"model": "wrong"}), TENS)


async def never_reaches_the_service(store):
    engine = BillingEngine(options={"model": "wrong"}, trouble=unreachable)
    options = Options(batch_size=10, give_up_after=30.0)
    with pytest.raises(OcrLabelError):
        await go(store, ROWS, engine, options)
    assert any("/asks/" in key for key in store.objects)


@pytest.mark.parametrize("mended", MENDED)
@pytest.mark.parametrize("first", [never_starts, never_reaches_the_service])
def test_after_a_start_that_stored_nothing_the_mended_command_just_runs(first, mended):
    store = DictStore()
    its, rows, options = MENDED[mended]
    engine = BillingEngine(**({"options": {"model": "wrong"}} | its))

    async def story():
        await first(store)
        result = await go(store, rows, engine, options, worker="w2")
        return result, await labels(store)

    result, table = run_virtual(story())
    assert result.record.complete
    assert result.record.batch_rows == options.batch_size
    assert len(table) == engine.billed.total() == rows.rows
    assert result.record.account.at_risk_pages == {}


async def labels_one(store):
    def trouble(image, attempt):
        return None if image == "image 3" else Unavailable("no such host", sent=False)

    engine = BillingEngine(options={"model": "wrong"}, trouble=trouble)
    with pytest.raises(OcrLabelError):
        await go(store, ROWS, engine, Options(batch_size=10, give_up_after=30.0))


async def sends_and_never_hears(store):
    stop = Stop(clock)
    engine = BillingEngine(options={"model": "wrong"}, latency_s=500.0)
    running = asyncio.ensure_future(go(store, ROWS, engine, TENS, stop=stop))
    await sleep(5.0)
    stop.now("stopped")
    with pytest.raises(Interrupted):
        await running


@pytest.mark.parametrize("first", [labels_one, sends_and_never_hears])
def test_a_start_that_paid_or_may_have_is_not_replaced(first):
    store, engine = DictStore(), BillingEngine(options={"model": "right"})

    async def story():
        await first(store)
        with pytest.raises(RunMismatch, match="model: there wrong, here right"):
            await go(store, ROWS, engine, TENS, worker="w2")

    run_virtual(story())
    assert not engine.asked


def test_a_start_that_died_with_a_request_on_its_way_is_not_replaced():
    store, engine = DictStore(), BillingEngine(options={"model": "right"})

    async def story():
        slow = BillingEngine(options={"model": "wrong"}, latency_s=500.0)
        running = asyncio.ensure_future(go(store, ROWS, slow, TENS, host="gone"))
        await sleep(5.0)
        kept = dict(store.objects)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        store.objects = kept
        await sleep(500.0)
        with pytest.raises(RunMismatch, match="model"):
            await go(store, ROWS, engine, TENS, worker="w2")

    run_virtual(story())
    assert not engine.asked


def test_a_worker_that_is_at_it_is_not_replaced_though_nothing_is_stored_yet():
    store, right = DictStore(), BillingEngine(options={"model": "right"})
    wrong = BillingEngine(options={"model": "wrong"}, trouble=unreachable)

    async def story():
        running = asyncio.ensure_future(go(store, ROWS, wrong, TENS, host="a"))
        await sleep(10.0)
        with pytest.raises(RunMismatch, match="model"):
            await go(store, ROWS, right, TENS, worker="w2", host="b")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(story())
    assert not right.asked


def test_of_two_that_mend_it_at_once_both_work_on_one_run():
    store, engine = DictStore(), BillingEngine(options={"model": "right"})

    async def story():
        await never_starts(store)
        return await asyncio.gather(
            *(go(store, ROWS, engine, TENS, worker=f"w{n}", host=f"h{n}") for n in (2, 3))
        )

    first, second = run_virtual(story())
    assert first.record.run_id == second.record.run_id
    assert engine.asked.total() == 20


def test_a_mistyped_prefix_of_a_start_that_stored_nothing_binds_nobody_either():
    store, engine = DictStore(), BillingEngine()
    mistyped = of_dataset("train", prefix="chekpoints")
    away, briefly = BillingEngine(trouble=unreachable), replace(TENS, give_up_after=30.0)

    async def story():
        with pytest.raises(OcrLabelError):
            await go(store, ROWS, away, briefly, layout=mistyped)
        return await go(store, ROWS, engine, TENS, worker="w2")

    assert run_virtual(story()).record.labelled == 20
