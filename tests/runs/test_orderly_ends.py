"""Whatever fails beside the requests: what is under way is answered, saved, and never paid again."""

from __future__ import annotations

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import RunMismatch
from ocrlabel.options import Options
from tests.support.clock import clock, run_virtual
from tests.support.runs import BillingEngine, go, labels, made
from tests.support.stores import DictStore

OPTIONS = Options(batch_size=50, lease_s=6.0)
ROWS = 120
BEGAN_S = 1000.0


class FailsOn(DictStore):
    """Calls whose key holds a text end in an error, once, from some moment on."""

    def __init__(self, text: str, error: Exception, from_s: float) -> None:
        super().__init__()
        self.text, self.error, self.from_s, self.failed = text, error, from_s, False

    async def get(self, key):
        self._meet(key)
        return await super().get(key)

    async def put(self, key, data):
        self._meet(key)
        await super().put(key, data)

    async def put_if_absent(self, key, data):
        self._meet(key)
        return await super().put_if_absent(key, data)

    async def list(self, prefix):
        self._meet(prefix)
        async for stored in super().list(prefix):
            yield stored

    def _meet(self, key):
        if self.text in key and clock() >= self.from_s and not self.failed:
            self.failed = True
            raise self.error


@pytest.mark.parametrize("text", ["/workers/", "/leases/", "/settings/", "/replaced/", "/asks/"])
@pytest.mark.parametrize("error", [RunMismatch("it is damaged"), KeyError("a bug")])
@pytest.mark.parametrize("after_s", [4.3, 8.1])
def test_a_part_that_fails_ends_the_run_once_what_was_sent_is_saved(text, error, after_s):
    store = FailsOn(text, error, BEGAN_S + after_s)
    engine = BillingEngine(latency_s=3.0, lanes=(Lane("key", 6.0),))

    async def story():
        with pytest.raises(type(error)):
            await go(store, made(ROWS), engine, OPTIONS)
        assert store.failed
        sent = engine.asked.total()
        assert 0 < sent < ROWS
        assert engine.billed.total() == sent  # nothing was given up
        await go(store, made(ROWS), engine, OPTIONS, worker="w2")
        return await labels(store)

    assert len(run_virtual(story())) == ROWS
    assert set(engine.billed.values()) == {1}


class OneBrokenRead:
    """A dataset of which one row is the end of whoever reads it."""

    def __init__(self, row: int) -> None:
        self._made, self._row = made(ROWS), row

    def __getattr__(self, name):
        return getattr(self._made, name)

    async def read(self, ref):
        if ref.ordinal == self._row:
            raise KeyError("a bug")
        return await self._made.read(ref)


def test_a_bug_in_one_row_drops_no_request_of_the_others():
    store, engine = DictStore(), BillingEngine(latency_s=3.0, lanes=(Lane("key", 6.0),))

    async def story():
        with pytest.raises(KeyError):
            await go(store, OneBrokenRead(40), engine, OPTIONS)
        assert engine.billed.total() == engine.asked.total() > 0
        await go(store, made(ROWS), engine, OPTIONS, worker="w2")

    run_virtual(story())
    assert set(engine.billed.values()) == {1}
