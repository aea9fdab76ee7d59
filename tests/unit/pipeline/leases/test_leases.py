"""One worker never takes a lease from itself, nor from anybody who may still work on it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from ocrlabel.errors import StoreUnavailable
from ocrlabel.pipeline.leases.leases import (
    Closed,
    Free,
    HeldUntil,
    Lease,
    LeaseMark,
    Leases,
    Seen,
    lease_state,
)
from ocrlabel.pipeline.runtime import Owner
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import LAYOUT, Told, run_of, runtime
from tests.support.stores import DictStore

DURATION_S, MARGIN_S, SINCE_S = 60.0, 15.0, 1000.0
ENDS_S = SINCE_S + DURATION_S + MARGIN_S


def stands(state: LeaseMark, now_s: float, *, owner_dead: bool = False):
    seen = Seen(7, state, Owner("w1"), DURATION_S, SINCE_S)
    return lease_state(seen, now_s=now_s, margin_s=MARGIN_S, owner_dead=owner_dead)


def test_what_nobody_ever_claimed_is_free_from_its_first_number():
    for owner_dead in (True, False):
        found = lease_state(None, now_s=0.0, margin_s=MARGIN_S, owner_dead=owner_dead)
        assert found == Free(1, taken_over=False)


@pytest.mark.parametrize("now_s", [SINCE_S, ENDS_S, ENDS_S + 1e9])
@pytest.mark.parametrize("owner_dead", [True, False])
def test_what_is_closed_stays_closed_for_ever_whoever_has_died(now_s, owner_dead):
    assert stands(LeaseMark.CLOSED, now_s, owner_dead=owner_dead) == Closed()


@pytest.mark.parametrize("owner_dead", [True, False])
def test_what_was_given_back_is_free_at_once(owner_dead):
    found = stands(LeaseMark.RELEASED, SINCE_S, owner_dead=owner_dead)
    assert found == Free(8, taken_over=True)


def test_what_is_held_is_free_only_after_its_duration_and_the_margin():
    assert stands(LeaseMark.HELD, SINCE_S) == HeldUntil(ENDS_S)
    assert stands(LeaseMark.HELD, ENDS_S - 0.001) == HeldUntil(ENDS_S)
    assert stands(LeaseMark.HELD, ENDS_S) == Free(8, taken_over=True)


def test_what_a_process_of_this_host_held_that_runs_no_more_is_free_at_once():
    assert stands(LeaseMark.HELD, SINCE_S, owner_dead=True) == Free(8, taken_over=True)


def test_a_lease_may_be_acted_on_until_its_time_and_not_after_it_was_lost():
    lease = Lease("0000-00", 1, valid_until_s=10.0)
    assert lease.valid(9.999)
    assert not lease.valid(10.0)
    lease.lost = True
    assert not lease.valid(0.0)


FIRST = Free(number=1, taken_over=False)
NAME = "0000-00"


class Slow(DictStore):
    """Every put-if-absent is under way for a while."""

    async def put_if_absent(self, key, data):
        await sleep(0.1)
        return await super().put_if_absent(key, data)


def leases(store, worker="w1", told=None):
    return Leases(run_of(runtime(store, worker, told, host=worker)).round(), duration_s=60.0)


def test_hands_that_renew_a_lease_at_once_write_one_number_and_all_keep_it():
    async def story():
        store = CountsCalls(Slow())
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        await sleep(70.0)
        renewed = await asyncio.gather(*(ours.renew(lease) for _ in range(5)))
        return renewed, lease.valid(clock()), store.calls["put_if_absent"]

    assert run_virtual(story()) == ([True] * 5, True, 2)


class Slower(DictStore):
    """A put-if-absent takes place at once, but its answer takes 20 s."""

    async def put_if_absent(self, key, data):
        stored = await super().put_if_absent(key, data)
        await sleep(20.0)
        return stored


def test_a_lease_is_valid_from_before_it_was_put_since_others_may_have_seen_it_from_then():
    async def story():
        ours = leases(Slower())
        began_s = clock()
        lease = await ours.claim(NAME, FIRST)
        claimed_for_s = lease.valid_until_s - began_s
        renewed_s = clock()
        assert await ours.renew(lease)
        return claimed_for_s, lease.valid_until_s - renewed_s

    assert run_virtual(story()) == (60.0, 60.0)


def test_a_lease_of_another_host_is_taken_over_a_duration_and_a_quarter_after_it_was_first_seen():
    async def story():
        store = DictStore()
        assert await leases(store).claim(NAME, FIRST)
        await sleep(1000.0)
        others = leases(store, "w2")
        first = await others.look(NAME)
        await sleep(74.9)
        still = await others.look(NAME)
        await sleep(0.1)
        return first, still, await others.look(NAME)

    held = HeldUntil(2075.0)
    assert run_virtual(story()) == (held, held, Free(2, taken_over=True))


def test_a_batch_shows_how_the_newest_number_of_each_of_its_slices_stands():
    async def story():
        store = DictStore()
        ours = leases(store)
        lease = await ours.claim("0000-00", FIRST)
        assert await ours.renew(lease)
        assert await ours.renew(lease)
        assert await ours.give_back(lease, LeaseMark.CLOSED)
        assert await ours.claim("0000-01", FIRST)
        lease = await ours.claim("0000-02", FIRST)
        assert await ours.give_back(lease, LeaseMark.RELEASED)
        assert await ours.claim("0001-00", FIRST)
        store.objects = dict(reversed(store.objects.items()))  # a listing may have any order
        return await leases(store, "w2").look_at_batch(0)

    assert run_virtual(story()) == {
        "0000-00": Closed(),
        "0000-01": HeldUntil(1075.0),
        "0000-02": Free(3, taken_over=True),
    }


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


def test_a_lease_is_written_under_its_number_with_its_state_owner_duration_and_a_nonce():
    async def story():
        store = DictStore()
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        await ours.renew(lease)
        await ours.give_back(lease, LeaseMark.CLOSED)
        return store.objects

    objects = run_virtual(story())
    keys = LAYOUT.of_run("r")
    assert list(objects) == [keys.lease(NAME, number) for number in (1, 2, 3)]
    states = []
    for data in objects.values():
        told = json.loads(data)
        assert data == json.dumps(told, sort_keys=True).encode()
        states.append(told.pop("state"))
        assert len(told.pop("nonce")) == 32
        assert told == {"worker": "w1", "host": "w1", "pid": 1, "started": "x", "duration_s": 60.0}
    assert states == ["held", "held", "closed"]


def test_what_a_worker_wrote_itself_stands_as_it_does_for_everybody_else():
    async def story():
        ours = leases(DictStore())
        lease = await ours.claim(NAME, FIRST)
        await sleep(10.0)
        held = await ours.look(NAME)
        await sleep(65.0)
        lapsed = await ours.look(NAME)
        await ours.renew(lease)
        await sleep(10.0)
        again = await ours.look(NAME)
        await ours.give_back(lease, LeaseMark.RELEASED)
        return held, lapsed, again, await ours.look(NAME)

    assert run_virtual(story()) == (
        HeldUntil(1075.0),
        Free(2, taken_over=True),
        HeldUntil(1150.0),
        Free(4, taken_over=True),
    )


def test_what_nobody_ever_claimed_is_free_and_only_looked_for_once():
    async def story():
        store = CountsCalls(DictStore())
        return await leases(store).look(NAME), store.calls["get"]

    assert run_virtual(story()) == (FIRST, 0)


@pytest.mark.parametrize(("runs", "stands"), [(True, HeldUntil), (False, Free)])
def test_a_lease_of_a_process_of_this_host_is_free_at_once_if_that_does_not_run(runs, stands):
    async def story():
        store = DictStore()
        asked = []

        def alive(pid, started):
            asked.append((pid, started))
            return runs

        lender, us = (runtime(store, worker, host="here") for worker in ("w7", "w1"))
        lent = Leases(run_of(lender).round(), duration_s=60.0)
        assert await lent.claim(NAME, FIRST)
        ours = Leases(run_of(replace(us, alive=alive)).round(), duration_s=60.0)
        return await ours.look(NAME), asked

    found, asked = run_virtual(story())
    assert isinstance(found, stands)
    assert asked == [(7, "x")]


def test_a_renewal_after_one_that_another_worker_took_is_lost_and_nothing_follows_it():
    async def story():
        store = Mute(2, stored=False)
        ours = leases(store)
        lease = await ours.claim(NAME, FIRST)
        with pytest.raises(StoreUnavailable):
            await ours.renew(lease)
        assert await leases(store, "w2").claim(NAME, Free(2, taken_over=True))
        return await ours.give_back(lease, LeaseMark.CLOSED), len(store.objects)

    assert run_virtual(story()) == (False, 2)


def test_a_lease_that_cannot_be_read_is_named_and_held_until_it_would_have_run_out():
    async def story():
        store, told = DictStore(), Told()
        key = LAYOUT.of_run("r").lease(NAME, 1)
        await store.put(key, b"{}")
        ours = leases(store, told=told)
        state = await ours.look(NAME)
        assert isinstance(state, HeldUntil)
        await sleep(state.look_again_s - clock())
        (notice,) = told.events
        named = notice.message.startswith(f"{runtime(store).where(key)} cannot be read")
        assert notice.message.endswith(
            ": it counts as held by another worker until that would have run out"
        )
        return named, await ours.look(NAME)

    assert run_virtual(story()) == (True, Free(number=2, taken_over=True))
