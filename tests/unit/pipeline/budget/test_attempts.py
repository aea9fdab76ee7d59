"""An attempt is claimed by one worker, and good for a duration; others find out when it is over."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.budget.attempts import (
    UNREADABLE,
    AttemptClaim,
    AttemptClaimer,
    AttemptId,
    Elsewhere,
    KnownAttempts,
    OwnClaim,
    RenewableClaim,
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
        assert notice.message.endswith(": its request counts as sent, and as perhaps billed")
        nobody = Owner(UNREADABLE, "", 0, "")
        expected = AttemptClaim(KEY, 1, 3, 4, nobody, found.send_within_s, clock(), 1_700_001_000.0)
        assert found == expected
        of_one_page = replace(expected, batch=0, pages=1)
        assert await claimer(store, "w3").newest(KEY) == of_one_page
        assert await claimer(store, "w3").read(AttemptId(KEY, 1)) == of_one_page
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


def attempt(number: int, worker: str = "w1") -> Attempt:
    return Attempt(number, "lane", 1.0, 2.0, AttemptResult.ANSWERED, 200, worker=worker)


def test_what_was_claimed_and_is_not_known_to_have_ended_was_perhaps_sent_with_all_its_pages():
    async def story():
        store = DictStore()
        places = [AttemptId(key, number) for key in (KEY, OTHER) for number in (1, 2)]
        for pages, one in enumerate(places, 5):
            await claimer(store).claim(one.key, one.number, batch=0, pages=pages)
        ended = KnownAttempts()
        ended.add(KEY, [attempt(1)])
        gone = AttemptId(KEY, 3)
        return [one async for one in claimer(store, "w2").unanswered([*places, gone], ended)]

    assert run_virtual(story()) == [
        Attempt(
            number,
            lane="",
            sent_at_s=1_700_001_000.0,
            latency_s=0.0,
            result=AttemptResult.UNKNOWN,
            message="its worker ended before an answer was saved",
            worker="w1",
            pages=pages,
        )
        for number, pages in ((2, 6), (1, 7), (2, 8))
    ]


@pytest.mark.parametrize(
    ("now_s", "covered", "may"),
    [(99.9, True, True), (100.0, True, False), (99.9, False, False), (100.1, False, False)],
)
def test_a_claim_is_sent_while_its_time_and_its_money_last(now_s, covered, may):
    ours = RenewableClaim(OwnClaim(KEY, 1, 1, 100.0), again=None, covered=lambda: covered)
    assert ours.may_be_sent(now_s) is may


@pytest.mark.parametrize(("turn_s", "good"), [(90.0, True), (98.9, True), (99.0, False)])
def test_a_claim_is_renewed_where_a_timer_a_second_late_would_find_it_over(turn_s, good):
    ours = RenewableClaim(OwnClaim(KEY, 1, 1, 100.0), again=None, covered=lambda: True)
    assert ours.good_at(turn_s) is good


@pytest.mark.parametrize("follows", [OwnClaim(KEY, 2, 1, 200.0), None])
def test_while_a_claim_is_renewed_and_when_somebody_else_has_it_none_stands(follows):
    async def story():
        async def again():
            seen.append(ours.stands)
            return follows

        seen, first = [], OwnClaim(KEY, 1, 1, 100.0)
        ours = RenewableClaim(first, again, covered=lambda: True)
        assert ours.stands is True
        if follows is None:
            with pytest.raises(Elsewhere):
                await ours.renew()
        else:
            await ours.renew()
        return seen, ours.stands, ours.claim == (follows or first)

    assert run_virtual(story()) == ([False], follows is not None, True)


# of one image, of two that differ in their last digit or their first, and of none
KEYS = st.sampled_from([KEY, KEY[:-1] + "0", "0" + KEY[1:], "f" * 64, "0" * 64, ""])
ATTEMPTS = st.lists(st.tuples(KEYS, st.integers(1, 9)), max_size=40)


@given(ended=ATTEMPTS, asked=ATTEMPTS)
def test_an_attempt_is_known_to_have_ended_exactly_when_it_was_taken_in(ended, asked):
    known = KnownAttempts()
    for count, (key, number) in enumerate(ended):
        assert ((key, number) in known) is ((key, number) in ended[:count])
        known.add(key, [attempt(number)])
    for place in [*ended, *asked]:
        assert (place in known) is (place in ended)
