"""A slice that is lost and claimed again: its old rows do not harm the new ones."""

from __future__ import annotations

from ocrlabel.pipeline.leases.leases import Free, Leases, LeaseState
from ocrlabel.pipeline.leases.scheduler import Claims
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.journal import Views
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, made, world
from tests.support.stores import DictStore

KEYS = LAYOUT.of_run("r")


def claims(store, rows):
    async def refs(start, stop):
        return made(rows).refs(start, stop)

    async def batch_done(batch): ...

    ours = world(store, "w1", host="one")
    return Claims(
        world=ours,
        plan=Plan("r", "train", "images/", "f", rows, "e", batch_rows=rows),
        leases=Leases(ours, KEYS, duration_s=60.0),
        views=Views(ours, KEYS),
        stop=Stop(clock),
        selection=Selection(rows),
        refs=refs,
        batch_done=batch_done,
        unfinished=[0],
    )


def test_a_row_of_a_lost_slice_does_not_give_up_the_slice_once_it_is_claimed_again():
    async def story():
        store = DictStore()
        ours, theirs = claims(store, 5), Leases(world(store, "w2", host="two"), KEYS, duration_s=60)
        old = await ours.next()
        lease = await theirs.claim(old.part.lease.name, Free(2, taken_over=True))
        assert not await ours.renew(old.part)
        await theirs.give_back(lease, LeaseState.RELEASED)
        await sleep(2.0)
        new = await ours.next()
        assert not await ours.renew(old.part)
        return await ours.renew(new.part), new.part.lease.valid(clock()), new.row.ref.ordinal

    assert run_virtual(story()) == (True, True, 0)
