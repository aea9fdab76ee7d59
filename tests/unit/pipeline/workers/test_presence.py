"""Who is at work is told within seconds, whatever the clocks of the machines say."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.workers.heartbeat import (
    Heartbeats,
    Presence,
    WorkerReport,
    working,
)
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore


def machine(store, *, ahead_s=0.0, host="far", worker="w1"):
    """A worker's runtime, with a clock that is ahead of that of whoever looks."""
    here = runtime(store, worker, host=host)
    return replace(here, wall=lambda: 1_700_000_000.0 + clock() + ahead_s)


async def beats(theirs, *, number=1, **said):
    heartbeats = Heartbeats(run_of(theirs))
    await heartbeats.beat(number, WorkerReport(at_s=theirs.wall(), **said))


async def beats_on(theirs):
    for number in range(1, 1000):
        await beats(theirs, number=number)
        await sleep(5.0)


async def looked(mine):
    """How the one other worker stands, and how long it took to tell."""
    heartbeats = Heartbeats(run_of(mine))
    began_s = clock()
    (beat,) = await heartbeats.look_until_sure()
    return heartbeats.presence(beat), clock() - began_s


def silent_for(silent_s, *, ahead_s=0.0, **said):
    async def story():
        store = DictStore()
        await beats(machine(store, ahead_s=ahead_s), **said)
        await sleep(silent_s)
        return await looked(runtime(store, "w9"))

    return run_virtual(story())


def test_whoever_wrote_just_now_is_working_and_nobody_waits_to_know():
    assert silent_for(4.0) == (Presence.WORKING, 0.0)


def test_a_worker_that_was_silent_for_minutes_is_lost_after_one_more_beats_time():
    stands, took_s = silent_for(300.0)
    assert stands is Presence.LOST
    assert 5.0 < took_s < 15.0


def test_a_worker_that_was_silent_for_a_day_is_lost_at_once():
    assert silent_for(86_400.0) == (Presence.LOST, 0.0)


def test_a_worker_that_was_silent_for_a_minute_may_be_at_it_still():
    stands, _ = silent_for(60.0)
    assert stands is Presence.QUIET


def test_whoever_said_goodbye_has_ended_and_nobody_waits_to_know():
    assert silent_for(300.0, gone=True) == (Presence.ENDED, 0.0)


@pytest.mark.parametrize("ahead_s", [-1800.0, -300.0, 300.0, 86_400.0])
def test_whoever_is_seen_to_write_is_working_however_wrong_its_clock(ahead_s):
    async def story():
        store = DictStore()
        beating = asyncio.ensure_future(beats_on(machine(store, ahead_s=ahead_s)))
        await sleep(62.0)
        found = await looked(runtime(store, "w9"))
        count = await working(run_of(runtime(store, "w8")))
        beating.cancel()
        return found, count

    (stands, took_s), count = run_virtual(story())
    assert stands is Presence.WORKING
    assert took_s <= 5.0
    assert count == 1


def test_a_lost_worker_whose_clock_was_ahead_is_lost_all_the_same():
    stands, _ = silent_for(300.0, ahead_s=3600.0)
    assert stands is Presence.LOST


@pytest.mark.parametrize(("runs", "stands"), [(True, Presence.WORKING), (False, Presence.LOST)])
def test_on_the_same_host_the_process_itself_tells(runs, stands):
    async def story():
        store = DictStore()
        await beats(machine(store, host="here"))
        await sleep(60.0)
        mine = replace(
            runtime(store, "w9", host="here"),
            alive=lambda pid, started: runs and Owner("w1", "here", pid, started).pid == 1,
        )
        return await looked(mine)

    assert run_virtual(story()) == (stands, 0.0)
