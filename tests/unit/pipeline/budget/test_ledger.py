"""The log of grants: every number has one writer, and everybody reads the same sum."""

from __future__ import annotations

import json

from ocrlabel.pipeline.budget.budget import Entry, Ledger, by_worker, holders, taken_pages
from tests.support.clock import run_virtual, sleep
from tests.support.runs import LAYOUT, world
from tests.support.stores import DictStore

KEYS = LAYOUT.of_run("r")


def ledger(store, worker="w1", duration_s=60.0):
    return Ledger(world(store, worker, host=worker), KEYS, duration_s=duration_s)


def entry(number, kind, worker, pages):
    return Entry(number, kind, worker, pages, 60.0, 0.0)


def test_what_a_worker_holds_and_what_it_was_granted_later_counts_until_it_settles():
    told = [
        entry(1, "grant", "a", 10),
        entry(2, "hold", "a", 0),
        entry(3, "grant", "b", 5),
        entry(4, "grant", "a", 20),
        entry(5, "settle", "b", 2),
        entry(6, "settle", "a", 25),
        entry(7, "grant", "a", 1),
    ]
    sums = [taken_pages(told[:number]) for number in range(len(told) + 1)]
    assert sums == [0, 10, 10, 15, 35, 32, 27, 28]
    assert by_worker(told[:4]) == {"a": 30, "b": 5}
    assert holders(told[:4]) == {"a": told[3], "b": told[2]}
    assert holders(told[:6]) == {}
    assert holders(told) == {"a": told[6]}


def test_entries_are_numbered_from_one_and_read_back_with_the_time_they_were_first_seen():
    async def story():
        store = DictStore()
        ours = ledger(store)
        for kind, pages in (("grant", 10), ("hold", 0), ("settle", 4)):
            assert await ours.append(kind, "w1", pages)
        keys, (data, *_) = list(store.objects), store.objects.values()
        await sleep(5.0)
        others = ledger(store, "w2", duration_s=9.0)
        seen = await others.refresh()
        await sleep(5.0)
        assert await others.refresh() == seen == others.entries
        return ours.entries, seen, keys, json.loads(data)

    ours, seen, keys, written = run_virtual(story())
    told = (("grant", 10), ("hold", 0), ("settle", 4))
    assert ours == [Entry(n, kind, "w1", p, 60.0, 1000.0) for n, (kind, p) in enumerate(told, 1)]
    assert seen == [Entry(n, kind, "w1", p, 60.0, 1005.0) for n, (kind, p) in enumerate(told, 1)]
    assert keys == [f"{KEYS.budget}{number:06d}.json" for number in (1, 2, 3)]
    assert len(written.pop("nonce")) == 32
    assert written == {"kind": "grant", "worker": "w1", "pages": 10, "duration_s": 60.0}


def test_of_two_that_write_the_same_number_one_has_it_and_the_other_looks_again():
    async def story():
        store = DictStore()
        one, other = ledger(store), ledger(store, "w2")
        assert await one.append("grant", "w1", 10)
        late = await other.append("grant", "w2", 10)
        known = other.entries
        await other.refresh()
        return late, known, await other.append("grant", "w2", 10), taken_pages(other.entries)

    assert run_virtual(story()) == (False, [], True, 20)


def test_entries_count_in_their_order_in_whatever_order_the_store_lists_them():
    async def story():
        store = DictStore()
        ours = ledger(store)
        await ours.append("grant", "w1", 10)
        await ours.append("settle", "w1", 4)
        store.objects = dict(reversed(store.objects.items()))
        found = await ledger(store, "w2").refresh()
        return [one.number for one in found], taken_pages(found)

    assert run_virtual(story()) == ([1, 2], 4)
