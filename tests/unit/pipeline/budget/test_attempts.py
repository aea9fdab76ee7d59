"""An attempt is claimed by one worker, and good for a duration; others find out when it is over."""

from __future__ import annotations

import json

import pytest

from ocrlabel.pipeline.budget.attempts import (
    UNREADABLE,
    AttemptClaim,
    AttemptClaimer,
    AttemptId,
    OwnClaim,
    nothing_in_flight,
)
from ocrlabel.pipeline.runtime import Owner
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import Told, run_of, runtime
from tests.support.stores import DictStore

KEY, OTHER = "ab" * 32, "cd" * 32


class Slower(DictStore):
    """A put-if-absent takes place at once, but its answer takes 20 s."""

    async def put_if_absent(self, key, data):
        stored = await super().put_if_absent(key, data)
        await sleep(20.0)
        return stored


def claimer(store, worker="w1", host=None, told=None):
    return AttemptClaimer(
        run_of(runtime(store, worker, told, host=host or worker)).round(),
        send_within_s=30.0,
        request_timeout_s=100.0,
        margin_s=7.0,
    )


def test_an_attempt_may_be_sent_until_a_duration_after_its_creation_began():
    async def story():
        began_s = clock()
        claim = await claimer(Slower()).claim(KEY, 3, batch=2, pages=5)
        return claim == OwnClaim(KEY, 3, 5, began_s + 30.0)

    assert run_virtual(story())


def test_one_worker_has_a_number_and_every_other_one_does_not():
    async def story():
        store = DictStore()
        first = await claimer(store).claim(KEY, 1, batch=0, pages=1)
        return first is not None, await claimer(store, "w2").claim(KEY, 1, batch=0, pages=1)

    assert run_virtual(story()) == (True, None)


def test_a_claim_says_who_made_it_when_and_how_many_pages_it_may_cost():
    async def story():
        store = DictStore()
        await claimer(store).claim(KEY, 1, batch=2, pages=5)
        (data,) = store.objects.values()
        await sleep(11.0)
        others = claimer(store, "w2")
        seen = await others.read(AttemptId(KEY, 1))
        await sleep(11.0)
        return data, seen, await others.read(AttemptId(KEY, 1))

    data, seen, again = run_virtual(story())
    written = json.loads(data)
    assert data == json.dumps(written, sort_keys=True).encode()
    me = {"worker": "w1", "host": "w1", "pid": 1, "started": "x"}
    nonce = written.pop("nonce")
    assert len(nonce) == 32
    assert written == me | {
        "batch": 2,
        "pages": 5,
        "send_within_s": 30.0,
        "created_at_s": 1_700_001_000.0,
    }
    assert seen == AttemptClaim(KEY, 1, 2, 5, Owner(**me), 30.0, 1011.0, 1_700_001_000.0)
    assert again == seen, "its age counts from when it was first seen"


def test_the_newest_claim_of_a_key_is_the_one_with_the_highest_number():
    async def story():
        store = CountsCalls(DictStore())
        ours = claimer(store)
        nothing = await ours.newest(KEY)
        assert store.calls["get"] == 0
        for number in (1, 12, 2):
            await ours.claim(KEY, number, batch=0, pages=number)
        await ours.claim(OTHER, 20, batch=0, pages=1)
        newest = await ours.newest(KEY)
        return nothing, newest.number, newest.pages

    assert run_virtual(story()) == (None, 12, 12)


def test_every_attempt_of_the_round_is_listed_by_its_key_and_number():
    async def story():
        store = DictStore()
        ours = claimer(store)
        for key, number in ((KEY, 1), (KEY, 2), (OTHER, 1)):
            await ours.claim(key, number, batch=0, pages=1)
        return await ours.listed()

    assert run_virtual(story()) == [AttemptId(KEY, 1), AttemptId(KEY, 2), AttemptId(OTHER, 1)]


def test_a_claim_that_was_cleared_away_is_none_unless_it_was_seen_and_not_forgotten():
    async def story():
        store = DictStore()
        ours = claimer(store)
        for key in (KEY, OTHER):
            await ours.claim(key, 1, batch=0, pages=1)
            await ours.read(AttemptId(key, 1))
        store.objects.clear()
        ours.forget(KEY)
        kept = await ours.read(AttemptId(OTHER, 1))
        return await ours.read(AttemptId(KEY, 1)), kept is not None

    assert run_virtual(story()) == (None, True)


def test_a_claim_that_cannot_be_read_is_named_and_counts_as_sent_by_nobody_knows_whom():
    async def story():
        store, told = DictStore(), Told()
        await claimer(store).claim(KEY, 1, batch=2, pages=5)
        (key,) = store.objects
        store.objects[key] = b"{}"
        theirs = claimer(store, "w2", told=told)
        found = await theirs.newest(KEY, 3, 4)
        (notice,) = told.events
        assert notice.message.startswith(f"dict:/{key} cannot be read")
        before = theirs.over(found)
        await sleep(found.send_within_s + 107.0)
        return found.owner.worker, found.batch, found.pages, before, theirs.over(found)

    assert run_virtual(story()) == (UNREADABLE, 3, 4, False, True)


def claim_seen_at(since_s: float) -> AttemptClaim:
    return AttemptClaim(KEY, 1, 0, 1, Owner("w9", "elsewhere"), 30.0, since_s, 0.0)


@pytest.mark.parametrize(
    ("now_s", "owner_dead", "over"),
    [
        (500.0, False, False),
        (636.9, False, False),
        (637.0, False, True),
        (900.0, False, True),
        (500.0, True, True),
    ],
)
def test_a_request_is_out_of_the_way_once_it_could_be_sent_answered_and_a_margin_is_over(
    now_s, owner_dead, over
):
    found = nothing_in_flight(
        claim_seen_at(500.0),
        now_s=now_s,
        request_timeout_s=100.0,
        margin_s=7.0,
        owner_dead=owner_dead,
    )
    assert found is over


def test_an_attempt_is_over_by_the_clock_of_whoever_looks_at_it():
    async def story():
        ours = claimer(DictStore())
        claim = claim_seen_at(clock())
        found = [ours.over(claim)]
        await sleep(136.9)
        found.append(ours.over(claim))
        await sleep(0.1)
        return [*found, ours.over(claim)]

    assert run_virtual(story()) == [False, False, True]


def test_an_attempt_of_a_process_of_this_host_that_runs_no_more_is_over_at_once():
    async def story():
        store = DictStore()
        await claimer(store, "w2", host="here").claim(KEY, 1, batch=0, pages=1)
        found = []
        for host in ("here", "there"):
            others = claimer(store, "w1", host=host)
            found.append(others.over(await others.newest(KEY)))
        return found

    assert run_virtual(story()) == [True, False]
