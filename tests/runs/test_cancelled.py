from __future__ import annotations

import asyncio

import pytest

from ocrlabel.labels import AttemptResult
from ocrlabel.options import Options
from ocrlabel.pipeline.state.journal import Tried, decode_records
from tests.support.clock import run_virtual, sleep
from tests.support.runs import BillingEngine, go, made
from tests.support.stores import DictStore


def test_a_run_that_a_notebook_cancels_writes_down_every_request_under_way():
    store, engine = DictStore(), BillingEngine(latency_s=5.0)

    async def story():
        running = asyncio.ensure_future(
            go(store, made(20), engine, Options(batch_size=20, concurrency=8))
        )
        await sleep(3.0)
        in_flight = engine.asked.total()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return in_flight

    in_flight = run_virtual(story())
    written = [
        record.attempt.result
        for key, data in store.objects.items()
        if "/journal/" in key
        for record in decode_records(data, where=key)
        if isinstance(record, Tried)
    ]
    assert in_flight > 0
    assert written.count(AttemptResult.UNKNOWN) == in_flight
