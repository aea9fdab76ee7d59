"""A worker's goodbye reaches everybody who has read its heartbeats."""

from __future__ import annotations

import asyncio

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.rate.limiter import RatePool
from ocrlabel.pipeline.workers.heartbeat import Heartbeats, WorkerReport
from ocrlabel.pipeline.workers.heartbeat_loop import HeartbeatLoop
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore


class Acknowledges(DictStore):
    """A put takes place at once; its writer is told 2 s later, or that it failed."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    async def put(self, key, data):
        await super().put(key, data)
        await sleep(2.0)
        if self.error is not None:
            raise self.error


def loop_of(store: DictStore) -> HeartbeatLoop:
    return HeartbeatLoop(
        run=run_of(runtime(store, "w1", host="a"), lease_s=60.0),
        pool=RatePool(
            lanes=(Lane("key", 3.0),),
            clock=clock,
            sleep=sleep,
            rps=None,
            concurrency=None,
            wall=clock,
        ),
        budget=None,
        busy=lambda: True,
        report=WorkerReport,
    )


@pytest.mark.parametrize("cut_after_s", [1.0, 3.0, 5.0, 30.0])
def test_a_goodbye_is_news_to_whoever_saw_a_beat_that_was_cut_while_it_was_written(cut_after_s):
    async def story():
        store = Acknowledges()
        other = Heartbeats(run_of(runtime(store, "w2", host="b")))
        loop = loop_of(store)
        beating = asyncio.ensure_future(loop.keep())
        await sleep(cut_after_s)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        assert await other.others_alive()
        await loop.end()
        return await other.others_alive()

    assert run_virtual(story()) == []


def test_a_goodbye_is_news_also_when_the_beat_before_it_seemed_to_fail():
    async def story():
        store = Acknowledges(StoreUnavailable("no answer"))
        other = Heartbeats(run_of(runtime(store, "w2", host="b")))
        loop = loop_of(store)
        with pytest.raises(StoreUnavailable):
            await loop.beat()
        assert await other.others_alive()
        await loop.end()
        return await other.others_alive()

    assert run_virtual(story()) == []
