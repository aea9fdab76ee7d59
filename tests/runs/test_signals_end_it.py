"""No await that a signal cannot end: gone within the grace and 10 s, and nothing is paid twice."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import ConfigError, Interrupted, OcrLabelError, StoreUnavailable
from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import Stop
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import EveryCall
from tests.support.runs import BillingEngine, go, labels, made, runtime
from tests.support.stores import DictStore

FULL = os.environ.get("OCRLABEL_CAMPAIGN") == "full"  # noqa: TID251 -- the tests' own shell
STRIDE = 1 if FULL else 4
GRACE_S, GONE_S = 5.0, 10.0
ROWS = 40
DATASET = made(ROWS)
OPTIONS = Options(batch_size=10, lease_s=6.0, grace_s=GRACE_S)


def slow_engine() -> BillingEngine:
    return BillingEngine(latency_s=1.0, lanes=(Lane("key", 6.0),))


def worker(store, tmp_path, name="w1", told=None):
    return replace(runtime(store, name, told), rescue_folders=(tmp_path,))


async def hang() -> None:
    await asyncio.Event().wait()


async def unavailable() -> None:
    raise StoreUnavailable("503 SlowDown")


async def expired() -> None:
    raise ConfigError("403 ExpiredToken; get new AWS keys and run it again")


async def stopped(store, engine, tmp_path, n, fault, *, only_one=False):
    """A run whose store fails from the n-th call on, stopped 2 s later; how it ended, and when."""
    stop = Stop(clock)
    signalled_s: list[float] = []

    def signal() -> None:
        signalled_s.append(clock())
        stop.drain("stopped by SIGTERM; all is saved", grace_s=GRACE_S)

    async def meets(number: int) -> None:
        if number == n:
            asyncio.get_running_loop().call_later(2.0, signal)
        if number == n or (number > n and not only_one):
            await fault()

    broken = EveryCall(store, meets)
    error = None
    try:
        await go(broken, DATASET, engine, OPTIONS, stop=stop, in_runtime=worker(broken, tmp_path))
    except OcrLabelError as ended:
        error = ended
    return error, clock() - signalled_s[0] if signalled_s else None


@pytest.mark.campaign
@pytest.mark.parametrize("only_one", [True, False], ids=["one", "all"])
@pytest.mark.parametrize("fault", [hang, unavailable, expired])
def test_whichever_call_hangs_or_fails_a_signal_ends_it_and_no_page_is_paid_twice(
    tmp_path, fault, only_one
):
    n, ended_early, rescued = 1, 0, 0
    while True:

        async def story(n: int = n):
            store, engine = DictStore(), slow_engine()
            folder = tmp_path / str(n)
            error, took_s = await stopped(store, engine, folder, n, fault, only_one=only_one)
            files = list(folder.glob("*.rescue"))
            if files:
                assert isinstance(error, Interrupted)
                assert str(files[0]) in str(error), "the last words name the file"
            await sleep(60.0)
            await go(store, DATASET, engine, OPTIONS, in_runtime=worker(store, folder, "w2"))
            assert not list(folder.glob("*.rescue"))
            return error, took_s, len(files), engine, await labels(store)

        error, took_s, files, engine, rows = run_virtual(story())
        assert took_s is None or took_s <= GRACE_S + GONE_S, f"call {n}"
        assert len(rows) == ROWS, f"call {n}"
        assert set(engine.billed.values()) == {1}, f"call {n}"
        if took_s is not None and error is not None:
            ended_early += isinstance(error, Interrupted | StoreUnavailable)
            rescued += files
        if took_s is None and error is None:
            break  # it was over before its n-th call
        n += STRIDE
    assert n > 100
    assert ended_early > 10
    assert rescued > 3 or only_one
