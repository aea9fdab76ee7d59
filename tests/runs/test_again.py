"""The same run again: parts, retries, fresh starts, and what must be refused before it costs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from ocrlabel.engine import Lane
from ocrlabel.errors import ConfigError, Rejected, RunMismatch, StoreUnavailable, Unavailable
from ocrlabel.labels import Page
from ocrlabel.options import Options
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, FailsAt, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, failures, go, labels, made, timeless
from tests.support.stores import DictStore

TENS = Options(batch_size=10)


def never(images):
    """These images fail for good, every time they are sent."""
    return lambda image, attempt: Rejected("refused") if image in images else None


async def ids(store):
    return [row.id for row in await labels(store)]


@pytest.mark.parametrize("part", [{"sample": 7}, {"limit": 7}, {"limit": 15, "sample": 7}])
def test_a_part_is_labelled_first_and_never_asked_for_again(part):
    store, engine = DictStore(), BillingEngine()
    dataset = made(30, same={9: 2}, absent=[4])

    async def story():
        first = await go(store, dataset, engine, replace(TENS, **part))
        partial = await labels(store, first.labels_key)
        asked = engine.asked.total()
        again = await go(store, dataset, engine, replace(TENS, **part), worker="w2")
        assert engine.asked.total() == asked
        whole = await go(store, dataset, engine, TENS, worker="w3")
        return first, again, whole, await ids(store), partial

    first, again, whole, rows, partial = run_virtual(story())
    assert first.partial
    assert again.partial
    assert whole.record.complete is True
    assert len(partial) >= 6
    assert LAYOUT.labels_key != first.labels_key
    assert rows == [f"id{n:04d}" for n in range(30) if n != 4]
    assert set(engine.asked.values()) == {1}


def test_failed_rows_are_tried_again_by_class_and_in_quarantine_after_three_runs_in_a_row():
    store = DictStore()
    engine = BillingEngine(trouble=never({"image 3", "image 17"}))
    again = replace(TENS, retry_failed=())

    async def story():
        await go(store, made(20, absent=[5]), engine, TENS)
        assert await failures(store) == [(3, "rejected"), (5, "not_found"), (17, "rejected")]
        only = replace(TENS, retry_failed=("not_found",))
        await go(store, made(20, absent=[5]), engine, only, worker="w2")
        assert engine.asked["image 3"] == 1
        engine.trouble = never({"image 3"})
        second = await go(store, made(20, absent=[5]), engine, again, worker="w3")
        assert second.record.labelled == 18
        await go(store, made(20, absent=[5]), engine, again, worker="w4")
        assert await failures(store) == [(3, "quarantined"), (5, "quarantined")]
        asked = engine.asked.total()
        await go(store, made(20, absent=[5]), engine, again, worker="w5")
        assert engine.asked.total() == asked  # quarantine is left alone
        engine.trouble = never(())
        named = replace(TENS, retry_failed=("quarantined",))
        last = await go(store, made(20, absent=[5]), engine, named, worker="w6")
        return last, await ids(store)

    last, rows = run_virtual(story())
    assert rows == [f"id{n:04d}" for n in range(20) if n != 5]
    assert last.record.account.billed_pages == engine.billed.total() == 19
    assert last.record.labelled + last.record.failed == 20


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_retry_cut_at_any_write_ends_like_one_that_was_not(when):
    again = replace(TENS, retry_failed=())
    dataset = made(12)

    async def story(cut_at):
        store, engine = DictStore(), BillingEngine(trouble=never({"image 3", "image 11"}))
        await go(store, dataset, engine, TENS)
        engine.trouble = never(())
        dying = DiesAfter(store, cut_at, when)
        with contextlib.suppress(PowerCut):
            await go(dying, dataset, engine, again, worker="w2")
        done = not dying.dead
        last = await go(store, dataset, engine, again, worker="w3")
        assert last.record.labelled == 12, cut_at
        assert last.record.account.stored_pages == 12
        rows = await labels(store)
        assert len(rows) == 12
        # at most both were under way
        assert engine.billed.total() <= 12 + 2
        account = last.record.account
        assert engine.billed.total() <= account.billed_pages + sum(account.at_risk_pages.values())
        return done

    cut_at = 1
    while not run_virtual(story(cut_at)):
        cut_at += 1
    assert cut_at > 10


def test_tables_that_were_deleted_are_written_again_from_what_is_saved():
    store, engine = DictStore(), BillingEngine(trouble=never({"image 3"}))

    async def story():
        first = await go(store, made(23, same={7: 2}), engine, TENS)
        before = timeless(await labels(store))
        del store.objects[LAYOUT.labels_key]
        second = await go(store, made(23, same={7: 2}), engine, TENS, worker="w2")
        assert timeless(await labels(store)) == before
        del store.objects[LAYOUT.run_key]
        third = await go(store, made(23, same={7: 2}), engine, TENS, worker="w3")
        return first, second, third

    first, second, third = run_virtual(story())
    assert engine.asked.total() == 22
    assert first.record.account == second.record.account == third.record.account


def test_what_a_crash_left_beside_a_finished_run_is_counted_once():
    dataset = made(10)

    async def story(cut_at):
        store, engine = DictStore(), BillingEngine()
        with pytest.raises(PowerCut):  # some requests that nobody lived to see answered
            await go(DiesAfter(store, 14), dataset, engine, TENS)
        dying = DiesAfter(store, cut_at)
        with contextlib.suppress(PowerCut):
            await go(dying, dataset, engine, TENS, worker="w2")
        store.objects.pop(LAYOUT.labels_key, None)
        last = await go(store, dataset, engine, TENS, worker="w3")
        account = last.record.account
        at_risk = sum(account.at_risk_pages.values())
        assert account.stored_pages == 10
        assert engine.billed.total() <= account.billed_pages + at_risk
        return not dying.dead, at_risk

    cut_at, risks = 10, []
    while True:
        done, at_risk = run_virtual(story(cut_at))
        risks.append(at_risk)
        if done:
            break
        cut_at += 1
    assert risks[-8:] == [risks[-1]] * 8, "the last cuts lie after everything was answered"


def test_another_input_engine_or_option_is_refused_with_both_ways_on():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, made(10), engine, TENS)
        for dataset, other, what in (
            (made(11), engine, "rows: there 10, here 11"),
            (made(10, absent=[1]), engine, "input: there"),
            (made(10), BillingEngine(name="other"), "engine: there billing, here other"),
            (made(10), BillingEngine(options={"model": "b"}), "option model: there unset, here b"),
        ):
            with pytest.raises(RunMismatch, match=what) as caught:
                await go(store, dataset, other, TENS, worker="w2")
            assert "--fresh" in str(caught.value)
            assert "--output" in str(caught.value)

    run_virtual(story())
    assert engine.asked.total() == 10


def test_fresh_is_refused_while_a_worker_lives_and_pays_again_after_it():
    store, engine = DictStore(), BillingEngine(latency_s=200.0)
    fresh = replace(TENS, fresh=True)

    async def story():
        working = asyncio.ensure_future(go(store, made(10), engine, TENS))
        await sleep(30)
        with pytest.raises(ConfigError, match="alive"):
            await go(store, made(10), engine, fresh, worker="w2", host="there")
        await working
        return await go(store, made(12), engine, fresh, worker="w3", host="there")

    result = run_virtual(story())
    assert result.record.rows == 12
    assert engine.asked.total() == 22


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fresh_start_cut_at_any_write_and_resumed_is_a_whole_new_run(when):
    async def story(cut_at):
        store, engine = DictStore(), BillingEngine()
        await go(store, made(8), engine, TENS)
        dying = DiesAfter(store, cut_at, when)
        with contextlib.suppress(PowerCut):
            await go(dying, made(9), engine, replace(TENS, fresh=True), worker="w2")
        done = not dying.dead
        try:
            await go(store, made(9), engine, TENS, worker="w3")
        except RunMismatch:
            # cut before the switch: the old run is whole
            assert len(await labels(store)) == 8
            assert cut_at <= 2
            await go(store, made(9), engine, replace(TENS, fresh=True), worker="w4")
        assert await ids(store) == [f"id{n:04d}" for n in range(9)]
        return done

    cut_at = 1
    while not run_virtual(story(cut_at)):
        cut_at += 1
    assert cut_at > 10


def test_a_foreign_labels_table_or_checkpoint_is_refused_before_anything_is_paid():
    engine = BillingEngine()

    async def story():
        store = DictStore()
        await store.put(LAYOUT.labels_key, b"somebody's")
        with pytest.raises(RunMismatch, match="did not write"):
            await go(store, made(10), engine, TENS)
        other = DictStore()
        await go(other, made(10), BillingEngine(), TENS, worker="w9")
        store = DictStore()
        key = LAYOUT.checkpoint_key(0)
        await store.put(key, other.objects[key])
        with pytest.raises(RunMismatch, match="belongs to run"):
            await go(store, made(10), engine, TENS)

    run_virtual(story())
    assert engine.asked.total() == 0


@pytest.mark.parametrize("garbage", [b"", b"\x1f\x8b\x08garbage", b"not gzip"])
def test_a_journal_that_cannot_be_read_is_refused_and_not_paid_for_again(garbage):
    store, engine = DictStore(), BillingEngine()

    async def story():
        with pytest.raises(PowerCut):
            await go(DiesAfter(store, 40), made(20), engine, Options(batch_size=20))
        asked = engine.asked.total()
        journals = [key for key in store.objects if "/journal/" in key]
        assert journals
        whole = store.objects[journals[0]]
        for damaged in (garbage, whole[:-9], whole[:20] + b"\x00" * 12 + whole[32:]):
            store.objects[journals[0]] = damaged
            with pytest.raises(RunMismatch, match="cannot be read"):
                await go(store, made(20), engine, Options(batch_size=20), worker="w2")
        return asked

    asked = run_virtual(story())
    assert engine.asked.total() == asked


def test_rows_that_an_earlier_table_has_are_taken_from_it():
    store, engine = DictStore(), BillingEngine()
    known = {}

    async def story():
        await go(store, made(10), engine, TENS)
        for row in await labels(store):
            page = Page(row.page, row.width_px, row.height_px, row.words, row.page_confidence)
            known[row.image_sha256] = (row.model_version, (page,))
        grown = DictStore()
        await go(grown, made(14), engine, TENS, worker="w2", reuse=known.get)
        return timeless(await labels(store)), timeless(await labels(grown))

    before, after = run_virtual(story())
    assert engine.asked.total() == 14
    assert [row.words for row in after[:10]] == [row.words for row in before]
    assert [row.billed_pages for row in after] == [0] * 10 + [1] * 4


def test_a_store_that_fails_once_holds_the_run_up_at_most_and_costs_nothing():
    async def story(fails_at, when):
        store, engine = DictStore(), BillingEngine()
        try:
            await go(FailsAt(store, fails_at, when), made(10, same={8: 1}), engine, TENS)
        except StoreUnavailable:
            # outside the work itself it ends the run: the same command goes on
            await go(store, made(10, same={8: 1}), engine, TENS, worker="w2")
        assert len(await labels(store)) == 10
        return engine.billed.total(), clock()

    for when in ("before", "after"):
        for fails_at in range(2, 40):
            billed, ended_s = run_virtual(story(fails_at, when))
            assert billed == 9, (when, fails_at)
            assert ended_s < 1000 + 700


def test_images_that_pass_only_in_the_end_use_up_no_more_than_their_attempts():
    def trouble(image, attempt):
        hard = image == "image 3" and attempt < 8
        return Unavailable("busy", status=500) if hard else None

    async def story(attempts):
        # the others show that the service is there
        store, engine = DictStore(), BillingEngine(trouble=trouble, lanes=(Lane("key", 1.0),))
        await go(store, made(400), engine, replace(TENS, batch_size=400, attempts=attempts))
        return await failures(store), engine.asked["image 3"]

    assert run_virtual(story(8)) == ([], 8)
    assert run_virtual(story(7)) == ([(3, "unavailable")], 7)
