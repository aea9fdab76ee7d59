from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrlabel.labels import Page, Word
from tests.support.clock import run_virtual
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import LAYOUT, BillingEngine, failures, go, labels, made, timeless
from tests.support.stores import DictStore


def test_every_row_of_a_run_is_labelled_or_failed_and_asked_once():
    store, engine = DictStore(), BillingEngine()
    dataset = made(23, same={7: 3, 22: 3}, absent=[5])

    async def story():
        result = await go(store, dataset, engine)
        return result, await labels(store), await failures(store)

    result, rows, failed = run_virtual(story())
    assert [row.id for row in rows] == [f"id{n:04d}" for n in range(23) if n != 5]
    assert failed == [(5, "not_found")]
    assert set(engine.asked.values()) == {1}
    assert len(engine.asked) == 20
    assert result.record.complete is True
    assert result.record.account.billed_pages == 20
    assert result.record.account.stored_pages == 20


def test_half_of_an_emoji_in_an_answer_or_its_model_does_not_end_the_run():
    class CutEmoji(BillingEngine):
        def parse(self, raw, document):
            word = Word("x\ud83d", ((0, 0), (10, 0), (10, 5), (0, 5)), 0.9)
            page = Page(1, 100, 50, (word,), 0.9)
            return replace(super().parse(raw, document), pages=(page,), model_version="1\ud800")

    async def story():
        store = DictStore()
        await go(store, made(3), CutEmoji())
        return await labels(store), json.loads(store.objects[LAYOUT.run_key])

    rows, record = run_virtual(story())
    assert [(row.words[0].text, row.model_version) for row in rows] == [("x?", "1?")] * 3
    assert record["complete"]


def test_a_finished_run_is_not_done_again():
    store, engine = DictStore(), BillingEngine()

    async def story():
        await go(store, made(5), engine)
        return await go(store, made(5), engine, worker="w2")

    assert run_virtual(story()).already
    assert sum(engine.asked.values()) == 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_cut_at_any_write_and_resumed_equals_a_run_never_cut(when):
    dataset = made(12, same={7: 3, 11: 3}, absent=[5])
    whole = DictStore()

    async def uncut():
        await go(whole, dataset, BillingEngine())
        return timeless(await labels(whole)), await failures(whole)

    expected = run_virtual(uncut())
    cut_at, finished = 1, False
    while not finished:
        finished = run_virtual(_cut_and_resumed(dataset, cut_at, when, expected))
        cut_at += 1
    assert cut_at > 30


async def _cut_and_resumed(dataset, cut_at, when, expected) -> bool:
    """Whether the run ended before the cut."""
    store, engine = DictStore(), BillingEngine()
    dying = DiesAfter(store, cut_at, when)
    try:
        await go(dying, dataset, engine)
    except PowerCut:
        pass
    else:
        if not dying.dead:
            return True
    asked_before = dict(engine.asked)
    await go(store, dataset, engine, worker="w2")
    rows = await labels(store)
    assert (timeless(rows), await failures(store)) == expected, cut_at
    again = {image for image, count in engine.asked.items() if count > asked_before.get(image, 0)}
    in_flight = {image for image in again if asked_before.get(image)}
    assert len(in_flight) <= 12
    return False
