"""One worker never takes a lease from itself."""

from __future__ import annotations

import asyncio

import pytest

from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.leases.leases import Closed, Free, HeldUntil, LeaseMark, Leases
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import run_of, runtime
from tests.support.stores import DictStore

FIRST = Free(number=1, taken_over=False)
NAME = "0000-00"


class Slow(DictStore):
    """Every put-if-absent is under way for a while."""

    async def put_if_absent(self, key, data):
        await sleep(0.1)
        return await super().put_if_absent(key, data)


def leases(store, worker="w1"):
    return Leases(run_of(runtime(store, worker, host=worker)).round(), duration_s=60.0)


def test_hands_that_renew_a_lease_at_once_write_one_number_and_all_keep_it():
    async def story():
        store = CountsCalls(Slow())
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        await sleep(70.0)
        renewed = await asyncio.gather(*(ours.renew(lease) for _ in range(5)))
        return renewed, lease.valid(clock()), store.calls["put_if_absent"]

    assert run_virtual(story()) == ([True] * 5, True, 2)


def test_a_lease_is_renewed_anew_each_time_it_is_due():
    async def story():
        ours = leases(Slow())
        lease = await ours.claim(NAME, FIRST)
        assert await ours.renew(lease)
        assert await ours.renew(lease)
        return lease.number

    assert run_virtual(story()) == 3


def test_a_lease_that_is_closed_while_it_is_renewed_is_closed():
    async def story():
        ours = leases(Slow())
        lease = await ours.claim(NAME, FIRST)
        done = await asyncio.gather(ours.renew(lease), ours.give_back(lease, LeaseMark.CLOSED))
        return done, await ours.renew(lease)

    assert run_virtual(story()) == ([True, True], False)


def test_a_lease_that_somebody_took_over_is_lost_for_every_hand_that_would_renew_it():
    async def story():
        store = Slow()
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        assert await leases(store, "w2").claim(NAME, Free(2, taken_over=True))
        return await asyncio.gather(*(ours.renew(lease) for _ in range(3))), lease.lost

    assert run_virtual(story()) == ([False] * 3, True)


class Mute(DictStore):
    """Of the n-th put-if-absent nothing is heard: it has taken place, or it has not."""

    def __init__(self, *ns: int, stored: bool) -> None:
        super().__init__()
        self.ns, self.calls, self.stored = ns, 0, stored

    async def put_if_absent(self, key, data):
        self.calls += 1
        if self.calls not in self.ns:
            return await super().put_if_absent(key, data)
        if self.stored:
            await super().put_if_absent(key, data)
        raise StoreUnavailable(f"no answer about {key}")


def state_of(store, worker="w9"):
    """How the lease stands for somebody who sees it for the first time."""
    return leases(store, worker).look(NAME)


either_way = pytest.mark.parametrize("stored", [True, False])


@either_way
def test_a_claim_that_the_store_did_not_answer_is_made_again_at_once(stored):
    async def story():
        store = Mute(1, stored=stored)
        ours = leases(store)
        with pytest.raises(StoreUnavailable):
            await ours.claim(NAME, FIRST)
        await sleep(50.0)
        stands = await ours.look(NAME)
        lease = await ours.claim(NAME, stands)
        await sleep(50.0)  # others count from the newest number, as we do
        return stands, lease.valid(clock()), await leases(store, "w2").look(NAME)

    stands, valid, for_others = run_virtual(story())
    assert stands == FIRST
    assert valid
    assert isinstance(for_others, HeldUntil)


@either_way
def test_a_renewal_that_the_store_did_not_answer_costs_no_lease(stored):
    async def story():
        ours = leases(Mute(2, stored=stored))
        lease = await ours.claim(NAME, FIRST)
        with pytest.raises(StoreUnavailable):
            await ours.renew(lease)
        await sleep(70.0)
        return await ours.renew(lease), lease.valid(clock())

    assert run_virtual(story()) == (True, True)


@either_way
def test_a_lease_is_closed_after_a_renewal_that_was_cut_off(stored):
    async def story():
        store = Mute(2, stored=stored)
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        with pytest.raises(StoreUnavailable):
            await ours.renew(lease)
        return await ours.give_back(lease, LeaseMark.CLOSED), await state_of(store)

    assert run_virtual(story()) == (True, Closed())


@either_way
def test_what_may_say_closed_is_never_followed_by_another_number(stored):
    async def story():
        store = Mute(2, stored=stored)
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        with pytest.raises(StoreUnavailable):
            await ours.give_back(lease, LeaseMark.CLOSED)
        await ours.give_back(lease, LeaseMark.RELEASED)
        assert await ours.claim(NAME, Free(2, taken_over=True)) is None
        return await state_of(store)

    assert run_virtual(story()) == (Closed() if stored else Free(3, taken_over=True))


def test_a_claim_that_the_store_did_not_answer_is_left_to_whoever_was_faster():
    async def story():
        store = Mute(1, stored=False)
        ours = leases(store)
        with pytest.raises(StoreUnavailable):
            await ours.claim(NAME, FIRST)
        assert await leases(store, "w2").claim(NAME, FIRST)
        return await ours.claim(NAME, FIRST), await ours.look(NAME)

    lease, stands = run_virtual(story())
    assert lease is None
    assert isinstance(stands, HeldUntil)


@either_way
def test_a_claim_of_which_twice_nothing_was_heard_is_made_again_at_once(stored):
    async def story():
        ours = leases(Mute(1, 3, stored=stored))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await ours.claim(NAME, await ours.look(NAME))
        lease = await ours.claim(NAME, await ours.look(NAME))
        return lease.valid(clock())

    assert run_virtual(story())


def test_a_hand_that_waited_for_a_renewal_that_failed_does_not_call_it_renewed():
    async def story():
        ours = leases(Mute(2, 4, stored=True))
        lease = await ours.claim(NAME, FIRST)
        with pytest.raises(StoreUnavailable):
            await ours.renew(lease)
        await sleep(70.0)
        told = await asyncio.gather(*(ours.renew(lease) for _ in range(2)), return_exceptions=True)
        return [type(one) for one in told], lease.valid(clock())

    assert run_virtual(story()) == ([StoreUnavailable, bool], True)
