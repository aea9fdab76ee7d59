"""One worker never takes a lease from itself."""

from __future__ import annotations

import asyncio

from ocrlabel.pipeline.leases.lease import Free, Leases, LeaseState
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import LAYOUT, world
from tests.support.stores import DictStore

FIRST = Free(number=1, taken_over=False)
NAME = "0000-00"


class Slow(DictStore):
    """Every put-if-absent is under way for a while."""

    async def put_if_absent(self, key, data):
        await sleep(0.1)
        return await super().put_if_absent(key, data)


def leases(store, worker="w1"):
    return Leases(world(store, worker, host=worker), LAYOUT.of_run("r"), duration_s=60.0)


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
        done = await asyncio.gather(ours.renew(lease), ours.give_back(lease, LeaseState.CLOSED))
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
