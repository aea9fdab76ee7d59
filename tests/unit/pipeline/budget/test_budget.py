"""The cap on money: what it buys, the ledger of page grants, and each worker's part of them.

Never above the cap, whoever is thought dead and comes back.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.errors import BudgetReached, RunMismatch
from ocrlabel.pipeline.budget.budget import (
    BudgetClient,
    BudgetEntry,
    BudgetLedger,
    by_worker,
    cap_pages,
    grant_size,
    holders,
    taken_pages,
)
from ocrlabel.pipeline.merge.usage import settle_dead_workers
from ocrlabel.pipeline.workers.heartbeat import Heartbeats, WorkerReport
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, run_of, runtime
from tests.support.stores import DictStore

KEYS = LAYOUT.of_run("r")
_CAP = 100


@pytest.mark.parametrize(
    ("max_cost_usd", "price_usd", "pages"),
    [
        (0.005, 0.0015, 3),
        (0.0044, 0.0015, 2),
        (0.0045, 0.0015, 3),
        (0.3, 0.1, 3),
        (0.0014, 0.0015, 0),
        (0.0, 0.0015, 0),
        (15.0, 0.0015, 10_000),
    ],
)
def test_a_cap_buys_whole_pages_and_never_one_more_than_it_pays_for(max_cost_usd, price_usd, pages):
    assert cap_pages(max_cost_usd, price_usd) == pages


@given(cap_micro_usd=st.integers(0, 10**10), price_micro_usd=st.integers(100, 10**6))
def test_the_pages_that_a_cap_buys_are_those_of_exact_arithmetic(cap_micro_usd, price_micro_usd):
    bought = cap_pages(cap_micro_usd / 1e6, price_micro_usd / 1e6)
    assert bought == cap_micro_usd // price_micro_usd


def test_a_cap_beyond_all_money_is_still_a_number_of_pages():
    assert cap_pages(1e300, 0.0015) == cap_pages(float("inf"), 0.0015) == 2**62


@pytest.mark.parametrize(
    ("wanted", "available", "workers", "granted"),
    [
        (1, 1000, 1, 64),
        (1, 100, 1, 50),
        (1, 100, 4, 12),
        (1, 100, 0, 50),
        (70, 100, 4, 70),
        (100, 1000, 1, 100),
        (1, 1, 8, 1),
        (2, 2, 1, 2),
        (2, 1, 1, 0),
        (1, 0, 1, 0),
    ],
)
def test_a_grant_is_enough_for_a_while_fair_near_the_cap_and_never_above_it(
    wanted, available, workers, granted
):
    assert grant_size(wanted=wanted, available=available, workers=workers) == granted


def ledger(store, worker="w1", duration_s=60.0):
    return BudgetLedger(run_of(runtime(store, worker, host=worker)), duration_s=duration_s)


def entry(number, kind, worker, pages):
    return BudgetEntry(number, kind, worker, pages, 60.0, 0.0)


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
    assert ours == [
        BudgetEntry(n, kind, "w1", p, 60.0, 1000.0) for n, (kind, p) in enumerate(told, 1)
    ]
    assert seen == [
        BudgetEntry(n, kind, "w1", p, 60.0, 1005.0) for n, (kind, p) in enumerate(told, 1)
    ]
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


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{}", b'{"kind": "grant", "worker": "w", "pages": -9e3, "duration_s": 1}']
)
def test_a_cap_is_not_lifted_by_an_entry_that_cannot_be_read(data):
    async def story():
        store = DictStore()
        await ledger(store).append("grant", "w1", 10)
        (key,) = store.objects
        store.objects[key] = data
        with pytest.raises(RunMismatch) as caught:
            await client(store, "w2", cap=100).reserve(1)
        without_a_cap = client(store, "w3", cap=None)
        await without_a_cap.reserve(1)
        assert without_a_cap.covers
        assert await ledger(store, "w4").refresh() == [
            BudgetEntry(1, "settle", "", 0, 60.0, clock()),
            BudgetEntry(2, "grant", "w3", 64, 60.0, clock()),
        ]
        return str(caught.value).startswith(f"dict:/{key} cannot be read")

    assert run_virtual(story())


class Slower(DictStore):
    """A put-if-absent takes place at once, but its answer takes 20 s."""

    async def put_if_absent(self, key, data):
        stored = await super().put_if_absent(key, data)
        await sleep(20.0)
        return stored


def client(store, worker="w1", *, cap=100):
    run = run_of(runtime(store, worker, host=worker), price_usd=0.0015, lease_s=60.0)
    return BudgetClient(run, cap=cap)


def log(store):
    """What the ledger says, entry by entry."""
    found = [json.loads(data) for _, data in sorted(store.objects.items())]
    return [(one["kind"], one["worker"], one["pages"]) for one in found]


async def write(store, *told):
    """Entries of other workers."""
    theirs = BudgetLedger(run_of(runtime(store, "w99")), duration_s=60.0)
    await theirs.refresh()
    for kind, worker, pages in told:
        assert await theirs.append(kind, worker, pages)


def test_what_may_be_under_way_counts_as_spent_when_its_worker_settles():
    async def story():
        store = DictStore()
        ours = client(store)
        for pages in (5, 3):
            await ours.reserve(pages)
        ours.pay(5, 4)
        await ours.settle()
        return ours.worker_pages, log(store)

    assert run_virtual(story()) == (7, [("grant", "w1", 50), ("settle", "w1", 7)])


def test_a_worker_that_was_granted_nothing_has_nothing_to_settle():
    async def story():
        store = DictStore()
        await client(store).settle()
        return log(store)

    assert run_virtual(story()) == []


def test_a_request_that_cost_nothing_gives_all_back_that_was_set_aside_for_it():
    async def story():
        store = DictStore()
        ours = client(store, cap=2)
        for _ in range(10):
            await ours.reserve(2)
            ours.pay(2, 0)
        await ours.reserve(2)
        ours.pay(2, 2)
        await ours.settle()
        return ours.spent_pages, log(store)

    assert run_virtual(story()) == (2, [("grant", "w1", 2), ("settle", "w1", 2)])


def test_grants_are_taken_when_the_last_is_used_up_and_get_smaller_near_the_cap():
    async def story():
        store = DictStore()
        ours = client(store, cap=8)
        ours.workers = 1
        for _ in range(8):
            await ours.reserve(1)
            ours.pay(1, 1)
        with pytest.raises(BudgetReached):
            await ours.reserve(1)
        return log(store)

    assert run_virtual(story()) == [("grant", "w1", pages) for pages in (4, 2, 1, 1)]


def test_at_the_cap_it_says_what_is_spent_and_what_the_next_request_would_have_cost():
    async def story():
        ours = client(DictStore(), cap=2000)
        await ours.reserve(1999)
        ours.pay(1999, 1500)
        with pytest.raises(BudgetReached) as caught:
            await ours.reserve(1500)
        return str(caught.value)

    assert run_virtual(story()) == (
        "the cap of 2,000 pages (3.0000 USD) is reached: 1,500 are spent or may have been,"
        " and the next request may cost 1,000 more than is left\n"
        "  raise --max-cost to go on; all answers so far are saved"
    )


def test_what_others_hold_is_not_there_to_be_granted():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 60), ("grant", "w3", 30), ("settle", "w3", 10))
        ours = client(store)
        await ours.reserve(30)
        with pytest.raises(BudgetReached):
            await asyncio.wait_for(client(store, "w4").reserve(1), 1)
        return log(store)[3:]

    assert run_virtual(story()) == [("grant", "w1", 30)]


def test_at_the_cap_a_reservation_waits_for_what_is_under_way_and_takes_what_that_did_not_cost():
    async def story():
        ours = client(DictStore(), cap=10)
        await ours.reserve(10)
        waiting = asyncio.ensure_future(ours.reserve(4))
        await sleep(5.0)
        early = waiting.done()
        ours.pay(10, 6)
        await waiting
        return early, ours.worker_pages

    assert run_virtual(story()) == (False, 10)


def test_what_is_reserved_is_covered_from_before_the_grant_was_written():
    async def story():
        began_s = clock()
        ours = client(Slower())
        await ours.reserve(1)
        await sleep(began_s + 59.9 - clock())
        covered = ours.covers
        await sleep(0.1)
        return covered, ours.covers

    assert run_virtual(story()) == (True, False)


def test_after_that_time_it_writes_a_hold_before_it_sets_anything_aside_from_when_it_began():
    async def story():
        store = Slower()
        ours = client(store)
        await ours.reserve(1)
        await sleep(100.0)
        began_s = clock()
        await ours.reserve(1)
        await sleep(began_s + 59.9 - clock())
        covered = ours.covers
        await sleep(0.1)
        return covered, ours.covers, log(store)

    entries = [("grant", "w1", 50), ("hold", "w1", 0)]
    assert run_virtual(story()) == (True, False, entries)


def test_nothing_is_held_where_every_grant_is_spent():
    async def story():
        store = DictStore()
        ours = client(store, cap=None)
        await ours.reserve(64)
        ours.pay(64, 64)
        await sleep(100.0)
        await ours.reserve(1)
        return log(store)

    assert run_virtual(story()) == [("grant", "w1", 64), ("grant", "w1", 64)]


def test_a_heartbeat_lengthens_the_time_and_never_shortens_it():
    async def story():
        ours = client(DictStore())
        await ours.reserve(1)
        ours.seen_until(clock() + 100.0)
        ours.seen_until(clock() + 10.0)
        await sleep(99.0)
        covered = ours.covers
        await sleep(1.0)
        return covered, ours.covers

    assert run_virtual(story()) == (True, False)


def test_a_heartbeat_that_comes_too_late_covers_nothing():
    async def story():
        ours = client(DictStore())
        await ours.reserve(1)
        await sleep(60.0)
        ours.seen_until(clock() + 100.0)
        return ours.covers

    assert not run_virtual(story())


def test_a_worker_that_was_settled_for_has_only_what_it_used_and_asks_for_the_rest():
    async def story():
        store = DictStore()
        ours = client(store, cap=50)
        await ours.reserve(2)
        ours.pay(2, 2)
        await write(store, ("settle", "w1", 2), ("grant", "w2", 45))
        await sleep(60.0)
        await ours.reserve(3)
        ours.pay(3, 3)
        with pytest.raises(BudgetReached):
            await ours.reserve(1)
        return log(store)[3:]

    assert run_virtual(story()) == [("hold", "w1", 0), ("grant", "w1", 3)]


def test_under_a_lower_cap_what_is_granted_goes_back_and_what_is_under_way_is_kept():
    async def story():
        store = DictStore()
        ours = client(store)
        await ours.reserve(10)
        ours.change_cap(20)
        covered = [ours.covers]
        waiting = asyncio.ensure_future(ours.reserve(10))
        await sleep(1.0)
        covered.append(ours.covers)
        await waiting
        return covered, log(store)

    entries = [("grant", "w1", 50), ("settle", "w1", 10), ("hold", "w1", 0), ("grant", "w1", 10)]
    assert run_virtual(story()) == ([False, True], entries)


def test_under_a_cap_that_is_passed_already_nothing_more_is_sent_but_what_ended_counts():
    async def story():
        store = DictStore()
        ours = client(store)
        await ours.reserve(10)
        ours.change_cap(5)
        waiting = asyncio.ensure_future(ours.reserve(1))
        await sleep(1.0)
        covered = ours.covers
        ours.pay(10, 3)
        await waiting
        return covered, ours.covers, ours.worker_pages, log(store)

    covered, then, pages, entries = run_virtual(story())
    assert (covered, then, pages) == (False, True, 4)
    assert entries == [
        ("grant", "w1", 50),
        ("settle", "w1", 10),
        ("hold", "w1", 0),
        ("settle", "w1", 3),
        ("grant", "w1", 1),
    ]


@pytest.mark.parametrize(
    ("before", "after", "lowered"),
    [
        (100, 99, True),
        (100, 100, False),
        (100, 101, False),
        (100, None, False),
        (None, 99, True),
        (None, None, False),
    ],
)
def test_only_a_lower_cap_makes_a_worker_ask_again_for_what_it_has(before, after, lowered):
    async def story():
        ours = client(DictStore(), cap=before)
        await ours.reserve(1)
        ours.change_cap(after)
        return ours.cap, ours.covers

    assert run_virtual(story()) == (after, not lowered)


def test_without_a_cap_grants_are_written_down_for_a_cap_that_may_come():
    async def story():
        store = DictStore()
        ours = client(store, cap=None)
        await ours.reserve(1)
        return log(store)

    assert run_virtual(story()) == [("grant", "w1", 64)]


def test_two_requests_that_reserve_at_once_take_turns_and_never_pass_the_cap():
    async def story():
        ours = client(Slower(), cap=10)
        reserving = [asyncio.ensure_future(ours.reserve(6)) for _ in range(2)]
        await sleep(100.0)
        done = sum(one.done() for one in reserving)
        for one in reserving:
            one.cancel()
        return done, ours.worker_pages

    assert run_virtual(story()) == (1, 6)


def test_whoever_settles_for_the_dead_leaves_those_alone_that_wrote_something_since():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 10), ("grant", "w3", 20), ("grant", "w4", 30))
        await write(store, ("grant", "w5", 5), ("settle", "w5", 1))
        ours = client(store)
        await ours.reserve(1)
        found = await ours.holders()
        await write(store, ("hold", "w3", 0))
        await ours.settle_for(found.values(), {"w2": 4})
        return sorted(found), log(store)[6:]

    holders, entries = run_virtual(story())
    assert holders == ["w2", "w3", "w4"]
    assert entries == [("hold", "w3", 0), ("settle", "w2", 4), ("settle", "w4", 0)]


def test_at_the_cap_the_dead_are_settled_for_first_and_what_they_left_is_granted():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 100))
        ours = client(store)

        async def settle():
            await ours.settle_for((await ours.holders()).values(), {"w2": 40})
            return True

        ours.settle_dead_workers = settle
        await ours.reserve(5)
        return log(store)[1:]

    assert run_virtual(story()) == [("settle", "w2", 40), ("grant", "w1", 30)]


def test_at_the_cap_a_cap_that_was_raised_meanwhile_is_used_instead_of_giving_up():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 100))
        ours = client(store)

        async def nobody_has_died():
            ours.change_cap(200)
            return False

        ours.settle_dead_workers = nobody_has_died
        await ours.reserve(5)
        return log(store)[1:]

    assert run_virtual(story()) == [("grant", "w1", 50)]


def test_a_worker_that_settled_may_be_settled_for_until_it_takes_a_grant_again():
    async def story():
        store = DictStore()
        ours = client(store)
        await ours.reserve(1)
        ours.pay(1, 1)
        await ours.settle()
        ours.seen_until(clock() + 1000.0)
        covered = ours.covers
        await ours.reserve(1)
        return covered, ours.covers, log(store)

    entries = [("grant", "w1", 50), ("settle", "w1", 1), ("grant", "w1", 49)]
    assert run_virtual(story()) == (False, True, entries)


def test_a_settlement_is_written_behind_whatever_others_wrote_first():
    async def story():
        store = DictStore()
        ours = client(store)
        await ours.reserve(1)
        await write(store, ("grant", "w2", 10), ("grant", "w3", 10))
        await ours.settle()
        return log(store)[3:]

    assert run_virtual(story()) == [("settle", "w1", 1)]


def test_a_cap_that_is_just_reached_covers_what_is_under_way_and_nothing_more():
    async def story():
        ours = client(DictStore())
        await ours.reserve(10)
        ours.change_cap(10)
        waiting = asyncio.ensure_future(ours.reserve(1))
        await sleep(1.0)
        covered = ours.covers
        waiting.cancel()
        return covered

    assert run_virtual(story())


def test_one_page_under_way_is_enough_to_wait_for_under_a_cap_that_is_passed():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 50))
        ours = client(store)
        await ours.reserve(1)
        ours.change_cap(20)
        waiting = asyncio.ensure_future(ours.reserve(1))
        await sleep(1.0)
        covered, early = ours.covers, waiting.done()
        ours.pay(1, 1)
        with pytest.raises(BudgetReached):
            await waiting
        return covered, early

    assert run_virtual(story()) == (False, False)


def test_a_worker_with_nothing_under_way_is_told_at_once_that_a_lower_cap_is_passed():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 50))
        ours = client(store)
        ours.change_cap(20)
        with pytest.raises(BudgetReached):
            await asyncio.wait_for(ours.reserve(1), 5.0)

    run_virtual(story())


def test_grants_go_back_under_a_lower_cap_also_where_somebody_writes_at_the_same_time():
    class Busy(DictStore):
        """Another worker is faster, once."""

        faster = False

        async def put_if_absent(self, key, data):
            if self.faster:
                self.faster = False
                await write(self, ("grant", "w2", 5))
            return await super().put_if_absent(key, data)

    async def story():
        store = Busy()
        ours = client(store)
        await ours.reserve(10)
        ours.change_cap(40)
        store.faster = True
        await ours.reserve(1)
        return log(store)[1:4], ours.covers

    entries = [("grant", "w2", 5), ("settle", "w1", 10), ("hold", "w1", 0)]
    assert run_virtual(story()) == (entries, True)


def entries(*told):
    return [
        BudgetEntry(n, kind, who, pages, 60.0, 0.0) for n, (kind, who, pages) in enumerate(told)
    ]


class Worker:
    """A worker with a budget, that pays a page at a time. fleet: all of them, by name."""

    def __init__(self, store, name, fleet):
        me = runtime(store, name, host=name)
        run = run_of(me, price_usd=0.01, lease_s=60.0)
        self.budget = BudgetClient(run, cap=_CAP)
        self.heartbeats = Heartbeats(run)
        self.spent = 0
        fleet[name] = self

        async def recount():
            return {worker: one.spent for worker, one in fleet.items()}

        self.budget.settle_dead_workers = partial(
            settle_dead_workers, me, self.budget, self.heartbeats, recount
        )

    async def spend(self, pages):
        try:
            for _ in range(pages):
                await self.budget.reserve(1)
                self.budget.pay(1, 1)
                self.spent += 1
        except BudgetReached:
            return


def test_a_settlement_counts_until_the_worker_takes_another_grant_on_top():
    told = entries(("grant", "a", 10), ("settle", "a", 4), ("grant", "b", 7), ("grant", "a", 3))
    assert by_worker(told) == {"a": 7, "b": 7}
    assert taken_pages(told[:3]) == 11
    assert set(holders(told)) == {"a", "b"}
    assert set(holders(told[:3])) == {"b"}


def test_a_worker_that_has_not_yet_beaten_is_not_taken_for_dead():
    async def story():
        store, fleet = DictStore(), {}
        joiner = Worker(store, "w1", fleet)
        other = Worker(store, "w2", fleet)
        await joiner.spend(10)
        began_s = clock()
        await other.spend(1000)
        waited_s = clock() - began_s
        await joiner.spend(1000)
        return joiner.spent + other.spent, waited_s

    spent, waited_s = run_virtual(story())
    assert spent == _CAP
    assert waited_s >= 60.0


@given(frozen_for_s=st.floats(0.0, 200.0))
def test_a_worker_that_was_frozen_and_settled_for_looks_before_it_spends_again(frozen_for_s):
    async def story():
        store, fleet = DictStore(), {}
        sleeper = Worker(store, "w1", fleet)
        other = Worker(store, "w2", fleet)
        await sleeper.heartbeats.beat(1, WorkerReport())
        await sleeper.spend(10)

        async def wakes():
            await sleep(frozen_for_s)
            await sleeper.heartbeats.beat(2, WorkerReport())
            await sleeper.spend(1000)

        await asyncio.gather(wakes(), other.spend(1000))
        return sleeper.spent + other.spent

    assert run_virtual(story()) <= _CAP


def test_what_was_reserved_before_a_freeze_is_not_covered_after_it():
    async def story():
        store, fleet = DictStore(), {}
        sleeper = Worker(store, "w1", fleet)
        await sleeper.budget.reserve(1)
        covered = [sleeper.budget.covers]
        await sleep(61)
        covered.append(sleeper.budget.covers)
        other = Worker(store, "w2", fleet)
        await other.spend(1000)
        asks_again = asyncio.ensure_future(sleeper.budget.reserve(1))
        await sleep(1)
        covered.append(sleeper.budget.covers)
        sleeper.budget.pay(1, 0)
        with pytest.raises(BudgetReached):
            await asks_again
        return covered, other.spent

    assert run_virtual(story()) == ([True, False, False], _CAP)
