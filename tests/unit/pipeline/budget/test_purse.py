"""One worker's purse: what it reserves, pays and gives back, and what the ledger then says."""

from __future__ import annotations

import asyncio
import json

import pytest

from ocrlabel.errors import BudgetReached
from ocrlabel.pipeline.budget.budget import Ledger, Purse
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, world
from tests.support.stores import DictStore

KEYS = LAYOUT.of_run("r")


class Slower(DictStore):
    """A put-if-absent takes place at once, but its answer takes 20 s."""

    async def put_if_absent(self, key, data):
        stored = await super().put_if_absent(key, data)
        await sleep(20.0)
        return stored


def purse(store, worker="w1", *, cap=100):
    me = world(store, worker, host=worker)
    return Purse(me, KEYS, cap=cap, price_per_page_usd=0.0015, duration_s=60.0)


def log(store):
    """What the ledger says, entry by entry."""
    found = [json.loads(data) for _, data in sorted(store.objects.items())]
    return [(one["kind"], one["worker"], one["pages"]) for one in found]


async def write(store, *told):
    """Entries of other workers."""
    ledger = Ledger(world(store, "w99"), KEYS, duration_s=60.0)
    await ledger.refresh()
    for kind, worker, pages in told:
        assert await ledger.append(kind, worker, pages)


def test_what_may_be_under_way_counts_as_spent_when_its_worker_settles():
    async def story():
        store = DictStore()
        ours = purse(store)
        for pages in (5, 3):
            await ours.reserve(pages)
        ours.pay(5, 4)
        await ours.settle()
        return ours.worker_pages, log(store)

    assert run_virtual(story()) == (7, [("grant", "w1", 50), ("settle", "w1", 7)])


def test_a_worker_that_was_granted_nothing_has_nothing_to_settle():
    async def story():
        store = DictStore()
        await purse(store).settle()
        return log(store)

    assert run_virtual(story()) == []


def test_a_request_that_cost_nothing_gives_all_back_that_was_set_aside_for_it():
    async def story():
        store = DictStore()
        ours = purse(store, cap=2)
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
        ours = purse(store, cap=8)
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
        ours = purse(DictStore(), cap=2000)
        await ours.reserve(1999)
        ours.pay(1999, 1500)
        with pytest.raises(BudgetReached) as caught:
            await ours.reserve(1500)
        return str(caught.value)

    assert run_virtual(story()) == (
        "the cap of 2,000 pages (3.0000 USD) is reached: 1,500 are spent or may have been,"
        " and the next request may cost 1,001 more than is left\n"
        "  raise --max-cost to go on; all answers so far are saved"
    )


def test_what_others_hold_is_not_there_to_be_granted():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 60), ("grant", "w3", 30), ("settle", "w3", 10))
        ours = purse(store)
        await ours.reserve(30)
        with pytest.raises(BudgetReached):
            await asyncio.wait_for(purse(store, "w4").reserve(1), 1)
        return log(store)[3:]

    assert run_virtual(story()) == [("grant", "w1", 30)]


def test_at_the_cap_a_reservation_waits_for_what_is_under_way_and_takes_what_that_did_not_cost():
    async def story():
        ours = purse(DictStore(), cap=10)
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
        ours = purse(Slower())
        await ours.reserve(1)
        await sleep(began_s + 59.9 - clock())
        covered = ours.covers
        await sleep(0.1)
        return covered, ours.covers

    assert run_virtual(story()) == (True, False)


def test_after_that_time_it_writes_a_hold_before_it_sets_anything_aside_from_when_it_began():
    async def story():
        store = Slower()
        ours = purse(store)
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
        ours = purse(store, cap=None)
        await ours.reserve(64)
        ours.pay(64, 64)
        await sleep(100.0)
        await ours.reserve(1)
        return log(store)

    assert run_virtual(story()) == [("grant", "w1", 64), ("grant", "w1", 64)]


def test_a_heartbeat_lengthens_the_time_and_never_shortens_it():
    async def story():
        ours = purse(DictStore())
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
        ours = purse(DictStore())
        await ours.reserve(1)
        await sleep(60.0)
        ours.seen_until(clock() + 100.0)
        return ours.covers

    assert not run_virtual(story())


def test_a_worker_that_was_settled_for_has_only_what_it_used_and_asks_for_the_rest():
    async def story():
        store = DictStore()
        ours = purse(store, cap=50)
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
        ours = purse(store)
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
        ours = purse(store)
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
        ours = purse(DictStore(), cap=before)
        await ours.reserve(1)
        ours.change_cap(after)
        return ours.cap, ours.covers

    assert run_virtual(story()) == (after, not lowered)


def test_without_a_cap_grants_are_written_down_for_a_cap_that_may_come():
    async def story():
        store = DictStore()
        ours = purse(store, cap=None)
        await ours.reserve(1)
        return log(store)

    assert run_virtual(story()) == [("grant", "w1", 64)]


def test_two_requests_that_reserve_at_once_take_turns_and_never_pass_the_cap():
    async def story():
        ours = purse(Slower(), cap=10)
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
        ours = purse(store)
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
        ours = purse(store)

        async def settle():
            await ours.settle_for((await ours.holders()).values(), {"w2": 40})
            return True

        ours.settle_for_the_dead = settle
        await ours.reserve(5)
        return log(store)[1:]

    assert run_virtual(story()) == [("settle", "w2", 40), ("grant", "w1", 30)]


def test_at_the_cap_a_cap_that_was_raised_meanwhile_is_used_instead_of_giving_up():
    async def story():
        store = DictStore()
        await write(store, ("grant", "w2", 100))
        ours = purse(store)

        async def nobody_has_died():
            ours.change_cap(200)
            return False

        ours.settle_for_the_dead = nobody_has_died
        await ours.reserve(5)
        return log(store)[1:]

    assert run_virtual(story()) == [("grant", "w1", 50)]


def test_a_worker_that_settled_may_be_settled_for_until_it_takes_a_grant_again():
    async def story():
        store = DictStore()
        ours = purse(store)
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
        ours = purse(store)
        await ours.reserve(1)
        await write(store, ("grant", "w2", 10), ("grant", "w3", 10))
        await ours.settle()
        return log(store)[3:]

    assert run_virtual(story()) == [("settle", "w1", 1)]


def test_a_cap_that_is_just_reached_covers_what_is_under_way_and_nothing_more():
    async def story():
        ours = purse(DictStore())
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
        ours = purse(store)
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
        ours = purse(store)
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
        ours = purse(store)
        await ours.reserve(10)
        ours.change_cap(40)
        store.faster = True
        await ours.reserve(1)
        return log(store)[1:4], ours.covers

    entries = [("grant", "w2", 5), ("settle", "w1", 10), ("hold", "w1", 0)]
    assert run_virtual(story()) == (entries, True)
