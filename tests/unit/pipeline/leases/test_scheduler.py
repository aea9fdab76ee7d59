"""A slice that is lost and claimed again: its old rows do not harm the new ones."""

from __future__ import annotations

from ocrlabel.pipeline.leases.leases import Free, LeaseMark, Leases
from ocrlabel.pipeline.leases.scheduler import Scheduler
from ocrlabel.pipeline.plan import Plan
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.selection import Selection
from ocrlabel.pipeline.state.journal import JournalCache
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import LAYOUT, made, run_of, runtime
from tests.support.stores import DictStore


def scheduler(store, rows):
    async def refs(start, stop):
        return made(rows).refs(start, stop)

    async def batch_done(batch): ...

    ours = runtime(store, "w1", host="one")
    plan = Plan("r", "train", "images/", "f", rows, "e", batch_rows=rows)
    own_round = Run(ours, LAYOUT, plan).round()
    return Scheduler(
        round=own_round,
        leases=Leases(own_round, duration_s=60.0),
        journals=JournalCache(own_round),
        stop=Stop(clock),
        selection=Selection(rows),
        refs=refs,
        batch_done=batch_done,
        unfinished=[0],
    )


def test_a_row_of_a_lost_slice_does_not_give_up_the_slice_once_it_is_claimed_again():
    async def story():
        store = DictStore()
        ours, theirs = (
            scheduler(store, 5),
            Leases(run_of(runtime(store, "w2", host="two")).round(), duration_s=60),
        )
        old = await ours.next()
        lease = await theirs.claim(old.held.lease.name, Free(2, taken_over=True))
        assert not await ours.renew(old.held)
        await theirs.give_back(lease, LeaseMark.RELEASED)
        await sleep(2.0)
        new = await ours.next()
        assert not await ours.renew(old.held)
        return await ours.renew(new.held), new.held.lease.valid(clock()), new.ref.ordinal

    assert run_virtual(story()) == (True, True, 0)
