"""`--fresh` by several workers at once: one of them begins anew, the others go on with its run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.join_plan import clear_replaced, join_plan
from ocrlabel.pipeline.replacement import Replaced, find_run, put_in_place_of, watch_for_replacement
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, Frozen, PowerCut, TroubleAt
from tests.support.runs import LAYOUT, BillingEngine, Told, go, labels, made, runtime
from tests.support.stores import DictStore

ROWS = 20
OLD = Options(batch_size=10, job="old")
FRESH = Options(batch_size=10, fresh=True)
OF_A_JOB = replace(FRESH, job="new")
BY_HAND_OR_OF_A_JOB = pytest.mark.parametrize("fresh", [FRESH, OF_A_JOB], ids=["hand", "job"])


class FarStore(DictStore):
    """A store that takes its time, so that what workers do at once comes in between."""

    async def get(self, key):
        await sleep(0.02)
        return await super().get(key)

    async def put(self, key, data):
        await sleep(0.02)
        await super().put(key, data)

    async def put_if_absent(self, key, data):
        await sleep(0.02)
        return await super().put_if_absent(key, data)

    async def list(self, prefix):
        stored = [one async for one in super().list(prefix)]
        await sleep(0.03)
        for one in stored:
            yield one

    async def delete(self, keys):
        await sleep(0.01)
        await super().delete(keys)


class FallsAsleep(TroubleAt):
    """From its n-th call on nothing takes place until a moment of (virtual) time."""

    def __init__(self, store, n, *, until_s):
        super().__init__(store, n, delay_s=1.0)
        self.until_s = until_s

    async def _call(self, call):
        self.calls += 1
        if self.calls >= self.n:
            await sleep(max(0.0, self.until_s - clock()))
        return await call()


def an_engine(pages_per_s=5.0):
    return BillingEngine(lanes=(Lane("key", pages_per_s, None),))


async def run_ids(*starts):
    """What each of several starts at once ended with: the id of its run, or its error."""
    ends = await asyncio.gather(*starts, return_exceptions=True)
    return [end if isinstance(end, BaseException) else end.record.run_id for end in ends]


async def a_finished_run(store, engine, options=OLD):
    result = await go(store, made(ROWS), engine, options)
    await sleep(3600)
    return result.record.run_id


async def holding(store):
    return (await find_run(runtime(store), LAYOUT)).plan.run_id


async def check_it_is_whole(store, engine, *, billed):
    """The run that holds is finished, its tables are there, and nothing more is paid for them."""
    ended = await go(store, made(ROWS), engine, replace(OLD, job="", resume=True), worker="w99")
    assert ended.record.run_id == await holding(store)
    assert ended.record.complete
    assert len(await labels(store)) == ROWS
    assert engine.billed.total() == billed


@BY_HAND_OR_OF_A_JOB
@pytest.mark.parametrize("before", [True, False], ids=["replacing", "first"])
@pytest.mark.parametrize("apart_s", [0.0, 0.03, 0.05, 0.5, 3.0])
def test_workers_that_begin_afresh_at_once_pay_once(fresh, before, apart_s):
    store, engine = FarStore(), an_engine()

    async def start(n):
        await sleep(n * apart_s)
        return await go(store, made(ROWS), engine, fresh, worker=f"w{n}", host=f"h{n}")

    async def story():
        old = await a_finished_run(store, engine) if before else None
        ends = await run_ids(*(start(n) for n in (2, 3, 4)))
        assert ends == [await holding(store)] * 3
        assert ends[0] != old
        await check_it_is_whole(store, engine, billed=2 * ROWS if before else ROWS)

    run_virtual(story())


@BY_HAND_OR_OF_A_JOB
@pytest.mark.parametrize("apart_s", [0.0, 3.0, 20.0])
def test_so_they_do_while_they_wait_for_a_lost_machine_to_fall_silent(fresh, apart_s):
    store, engine = DictStore(), an_engine(1.0)

    async def start(n):
        await sleep(n * apart_s)
        return await go(store, made(ROWS), engine, fresh, worker=f"w{n}", host=f"h{n}")

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 30), made(ROWS), engine, OLD, host="lost")
        before = engine.billed.total()
        ends = await run_ids(*(start(n) for n in (2, 3, 4)))
        assert ends == [await holding(store)] * 3
        await check_it_is_whole(store, engine, billed=before + ROWS)

    run_virtual(story())


def test_different_jobs_that_begin_afresh_at_once_pay_once():
    store, engine = FarStore(), an_engine()

    async def story():
        await a_finished_run(store, engine)
        ends = await run_ids(
            *(
                go(
                    store,
                    made(ROWS),
                    engine,
                    replace(FRESH, job=job, resume=False),
                    worker=worker,
                    host=job,
                )
                for job, worker in (("one", "w2"), ("two", "w3"))
            )
        )
        assert ends == [await holding(store)] * 2
        await check_it_is_whole(store, engine, billed=2 * ROWS)

    run_virtual(story())


@BY_HAND_OR_OF_A_JOB
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_first_may_die_at_any_write_of_the_switch(fresh, when):
    async def story(cut_at):
        store, engine = FarStore(), an_engine()
        old = await a_finished_run(store, engine)
        dying = DiesAfter(store, cut_at, when)
        first = go(dying, made(ROWS), engine, fresh, worker="w2", host="lost")
        ends = await run_ids(
            first,
            *(
                go(store, made(ROWS), engine, fresh, worker=worker, host=worker)
                for worker in ("w3", "w4")
            ),
        )
        assert isinstance(ends[0], PowerCut)
        assert ends[1:] == [await holding(store)] * 2
        assert ends[1] != old
        await check_it_is_whole(store, engine, billed=2 * ROWS)
        return json.loads(store.objects[LAYOUT.plan_key])["run_id"] == ends[1]

    # from the switch over the clearing to the first heartbeats
    assert all(run_virtual(story(cut_at)) for cut_at in range(1, 8))


@BY_HAND_OR_OF_A_JOB
@pytest.mark.parametrize("when", ["before", "after"])
def test_whoever_comes_after_its_death_goes_on_with_what_it_began(fresh, when):
    async def story(cut_at):
        store, engine = DictStore(), an_engine()
        old = await a_finished_run(store, engine)
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, cut_at, when), made(ROWS), engine, fresh, worker="w2")
        begun = await holding(store)
        await sleep(30)
        result = await go(store, made(ROWS), engine, fresh, worker="w3")
        if begun != old:
            assert result.record.run_id == begun
        assert json.loads(store.objects[LAYOUT.plan_key])["run_id"] == result.record.run_id
        await check_it_is_whole(store, engine, billed=2 * ROWS)

    for cut_at in range(1, 5):
        run_virtual(story(cut_at))


def test_a_retry_of_the_job_goes_on_wherever_the_first_attempt_ended():
    async def story(cut_at):
        store, engine = DictStore(), an_engine()
        await a_finished_run(store, engine)
        dying = DiesAfter(store, cut_at)
        with contextlib.suppress(PowerCut):
            await go(dying, made(ROWS), engine, OF_A_JOB, worker="w2")
        began, billed = await holding(store), engine.billed.total()
        await sleep(900)
        result = await go(store, made(ROWS), engine, OF_A_JOB, worker="w3")
        if cut_at > 1:
            assert result.record.run_id == began
        # what was under way when it died may have been billed in vain
        assert engine.billed.total() <= 2 * ROWS + 20
        if not dying.dead:
            assert engine.billed.total() == billed
        return not dying.dead

    ended = [run_virtual(story(cut_at)) for cut_at in (1, 2, 3, 30, 60, 10_000)]
    assert ended[-1]


def test_a_retry_of_a_job_whose_run_was_replaced_is_refused_and_pays_nothing():
    store, engine = DictStore(), an_engine()

    async def story():
        await a_finished_run(store, engine)
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 30), made(ROWS), engine, OF_A_JOB, worker="w2")
        await go(store, made(ROWS), engine, replace(FRESH, job="newer"), worker="w3")
        billed = engine.billed.total()
        with pytest.raises(RunMismatch, match="replaced"):
            await go(store, made(ROWS), engine, OF_A_JOB, worker="w4")
        await check_it_is_whole(store, engine, billed=billed)

    run_virtual(story())


@pytest.mark.parametrize("pause_s", [0.0, 30.0, 3600.0])
def test_fresh_twice_in_a_row_by_hand_pays_twice(pause_s):
    store, engine = DictStore(), an_engine()

    async def story():
        ids = [await a_finished_run(store, engine)]
        for worker in ("w2", "w3", "w4"):
            result = await go(store, made(ROWS), engine, FRESH, worker=worker)
            ids.append(result.record.run_id)
            await sleep(pause_s)
        assert len(set(ids)) == 4
        await check_it_is_whole(store, engine, billed=4 * ROWS)

    run_virtual(story())


def test_so_it_does_in_one_process_which_is_one_worker():
    store, engine = DictStore(), an_engine()

    async def story():
        await go(store, made(ROWS), engine, FRESH)
        first = await find_run(runtime(store), LAYOUT)
        plan = replace(first.plan, run_id="second", created_at_s=runtime(store).wall())
        wanted = replace(first, plan=plan, options=FRESH)
        assert (await join_plan(wanted, engine, made(ROWS))).plan.run_id == "second"

    run_virtual(story())


def test_fresh_after_a_fresh_run_that_was_stopped_by_hand_begins_anew():
    store, engine = DictStore(), an_engine()

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 30), made(ROWS), engine, FRESH)
        stopped, billed = await holding(store), engine.billed.total()
        # on the same host its death is known
        result = await go(store, made(ROWS), engine, FRESH, worker="w2")
        assert result.record.run_id != stopped
        await check_it_is_whole(store, engine, billed=billed + ROWS)

    run_virtual(story())


def test_another_input_or_batch_size_is_not_what_was_just_begun():
    engine = an_engine()

    async def story(options, rows):
        store = DictStore()
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 2), made(ROWS), engine, FRESH)
        begun = await holding(store)
        result = await go(store, made(rows), engine, options, worker="w2")
        assert result.record.run_id != begun
        assert result.record.rows == rows
        assert result.record.batch_rows == options.batch_size

    run_virtual(story(FRESH, ROWS + 1))
    run_virtual(story(replace(FRESH, batch_size=20), ROWS))


def test_who_joins_is_told():
    store, engine, told = DictStore(), an_engine(), Told()

    async def story():
        first = asyncio.ensure_future(go(store, made(ROWS), engine, FRESH, host="there"))
        await sleep(4)
        await go(store, made(ROWS), engine, FRESH, worker="w2", told=told)
        await first

    run_virtual(story())
    assert next(event.kind for event in told.events if isinstance(event, Notice)) == "fresh"


def test_who_sleeps_through_two_switches_takes_nothing_back_and_pays_nothing():
    async def story(n):
        store, engine = DictStore(), an_engine()
        await a_finished_run(store, engine)
        asleep = FallsAsleep(store, n, until_s=clock() + 5000.0)
        sleeper = asyncio.ensure_future(
            go(asleep, made(ROWS), engine, FRESH, worker="w2", host="asleep")
        )
        await sleep(1000)
        ids = []
        for worker in ("w3", "w4"):
            result = await go(store, made(ROWS), engine, replace(FRESH, job=worker), worker=worker)
            ids.append(result.record.run_id)
            await sleep(1000)
        billed = engine.billed.total()
        try:
            assert (await sleeper).record.run_id == ids[-1]
        except RunMismatch:
            # it fell asleep when it had agreed on its own run, which was replaced then
            assert n > 16
        assert await holding(store) == ids[-1]
        await check_it_is_whole(store, engine, billed=billed)
        return asleep.calls, billed

    # asleep after it has seen the old run, and so on up to where it has begun to pay
    for n in (*range(3, 20), 25, 32, 42, 60):
        calls, billed = run_virtual(story(n))
        assert calls >= n
        assert n > 32 or billed == 3 * ROWS


@pytest.mark.parametrize("frozen_at_s", [1000.5, 1002.0, 1003.5])
def test_who_was_frozen_at_work_while_its_run_was_replaced_stops_at_once(frozen_at_s):
    store, engine = DictStore(), an_engine()
    frozen = Frozen(store, from_s=frozen_at_s, to_s=frozen_at_s + 1000)

    async def story():
        zombie = asyncio.ensure_future(go(frozen, made(ROWS), engine, host="asleep"))
        await sleep(500)
        await go(store, made(ROWS), engine, FRESH, worker="w2")
        billed = engine.billed.total()
        told = store.objects[LAYOUT.run_key]
        with pytest.raises(Replaced, match="begun anew"):
            await zombie
        assert store.objects[LAYOUT.run_key] == told
        await check_it_is_whole(store, engine, billed=billed)

    run_virtual(story())


def test_a_store_that_is_away_for_a_moment_does_not_end_the_watch():
    store, engine = DictStore(), an_engine(0.1)

    async def story():
        running = asyncio.ensure_future(go(store, made(ROWS), engine, host="there"))
        await sleep(30)
        run = await find_run(runtime(store), LAYOUT)
        away = TroubleAt(store, 1)
        watched = replace(run, runtime=runtime(away))
        watching = asyncio.ensure_future(watch_for_replacement(watched))
        await sleep(70)
        assert not watching.done()
        assert away.calls == 3
        newer = replace(run, plan=replace(run.plan, run_id="newer"))
        await put_in_place_of(run, newer)
        for ended in (watching, running):
            with pytest.raises(Replaced, match="newer"):
                await ended
        told = json.loads(store.objects[LAYOUT.run_key])
        assert told["reason"] == ""  # as it was held: what it says is the new run's to write

    run_virtual(story())
    assert engine.billed.total() < ROWS


def test_who_clears_away_late_leaves_the_tables_of_the_new_run():
    store, engine = DictStore(), an_engine()

    async def story():
        await a_finished_run(store, engine)
        of_the_old = store.objects[LAYOUT.run_key]
        await go(store, made(ROWS), engine, FRESH, worker="w2")
        # as if read before the new run's took its place
        store.objects[LAYOUT.run_key] = of_the_old
        run = await find_run(runtime(store, "w3"), LAYOUT)
        await clear_replaced(run)
        assert len(await labels(store)) == ROWS

    run_virtual(story())


def test_an_old_plan_put_back_into_plan_json_changes_nothing():
    store, engine = DictStore(), an_engine()

    async def story():
        await a_finished_run(store, engine)
        old = store.objects[LAYOUT.plan_key]
        await go(store, made(ROWS), engine, FRESH, worker="w2")
        new = store.objects[LAYOUT.plan_key]
        store.objects[LAYOUT.plan_key] = old
        await check_it_is_whole(store, engine, billed=2 * ROWS)
        assert store.objects[LAYOUT.plan_key] == new

    run_virtual(story())
