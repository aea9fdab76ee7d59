"""Answers that were paid for: the journal holds on to them while there is hope, and no longer."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from ocrlabel.errors import ConfigError, RunMismatch, StoreUnavailable
from ocrlabel.labels import Attempt, AttemptResult, Failed, FailureClass, Labelled
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.state.journal import (
    BatchJournal,
    BatchView,
    JournalWriter,
    Tried,
    encode_records,
    refresh,
)
from ocrlabel.storage.base import NotStored
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import Told, run_of, runtime, world
from tests.support.stores import DictStore

GIVE_UP_AFTER_S = 300.0


class Refuses(DictStore):
    """Every put before this time ends in the error."""

    def __init__(self, error: Exception, until_s: float) -> None:
        super().__init__()
        self.error, self.until_s = error, until_s

    async def put(self, key, data):
        if clock() < self.until_s:
            raise self.error
        await super().put(key, data)


def tried(number: int) -> Tried:
    return Tried("ab" * 32, Attempt(number, "key", 1.0, 2.0, AttemptResult.UNKNOWN))


def writer(store: DictStore) -> JournalWriter:
    return JournalWriter(
        run_of(runtime(store)).round(), give_up_after_s=GIVE_UP_AFTER_S, wrote=lambda *told: None
    )


ERRORS = [
    StoreUnavailable("down"),
    ConfigError("403 ExpiredToken; get new AWS keys and run it again"),
    ConfigError("Read-only file system"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_answer_waits_in_memory_until_the_store_takes_it_again(error):
    async def story():
        store = Refuses(error, clock() + 0.8 * GIVE_UP_AFTER_S)
        journal = writer(store)
        writing = asyncio.ensure_future(journal.run())
        await journal.save(0, tried(1))
        journal.close()
        await writing
        view = BatchJournal()
        await refresh(run_of(runtime(store)).round(), 0, view)
        return view, journal.is_broken

    view, broken = run_virtual(story())
    assert [one.number for one in view.tried["ab" * 32]] == [1]
    assert not broken


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_once_it_has_given_up_nothing_more_is_waited_for(error):
    async def story():
        journal = writer(Refuses(error, clock() + 1e9))
        writing = asyncio.ensure_future(journal.run())
        saving = asyncio.ensure_future(journal.save(0, tried(1)))
        await sleep(1.0)
        # these come while the first is still tried
        later = asyncio.ensure_future(journal.save(1, tried(2)))
        for batch in range(3):
            journal.note(batch, tried(3))
        with pytest.raises(type(error), match=str(error)):
            await saving
        gave_up_s = clock()
        with pytest.raises(type(error)):
            await later
        with pytest.raises(type(error)):
            await journal.save(2, tried(4))
        journal.close()
        await writing
        return gave_up_s, clock(), journal.is_broken

    gave_up_s, ended_s, broken = run_virtual(story())
    assert GIVE_UP_AFTER_S <= gave_up_s - 1000.0 < GIVE_UP_AFTER_S * 1.2
    assert ended_s == gave_up_s
    assert broken


def test_what_arrives_while_one_put_is_under_way_waits_for_the_next():
    class Slow(DictStore):
        puts = 0

        async def put(self, key, data):
            self.puts += 1
            await sleep(1.0)
            await super().put(key, data)

    async def story():
        store = Slow()
        journal = writer(store)
        writing = asyncio.ensure_future(journal.run())
        first = asyncio.ensure_future(journal.save(0, tried(1)))
        await sleep(0.5)
        await asyncio.gather(first, *(journal.save(0, tried(n)) for n in range(2, 40)))
        journal.close()
        await writing
        return store.puts, clock()

    assert run_virtual(story()) == (2, 1002.0)


def outcome(ordinal: int, *attempts: Attempt, key: str = "k", copied: bool = False) -> Failed:
    return Failed(
        ordinal,
        f"id{ordinal}",
        FailureClass.NOT_FOUND,
        "gone",
        5.0,
        key=key,
        attempts=attempts,
        copied=copied,
    )


def ended(number: int, result: AttemptResult = AttemptResult.UNAVAILABLE) -> Attempt:
    return Attempt(number, "key", 1.0, 2.0, result)


def label(ordinal: int, *attempts: Attempt) -> Labelled:
    return Labelled(ordinal, f"id{ordinal}", "k", "s", (), "engine", "m", 5.0, attempts)


RECORDS = [
    outcome(0, ended(1)),
    Tried("k", ended(1, AttemptResult.UNKNOWN)),
    Tried("k", ended(2)),
    label(1, ended(2), ended(3, AttemptResult.ANSWERED)),
    outcome(0, ended(3), copied=True),
    label(0, ended(4, AttemptResult.ANSWERED)),
    outcome(2, key=""),
]


@pytest.mark.parametrize("shift", range(len(RECORDS)))
def test_a_view_says_the_same_in_whatever_order_records_come(shift):
    view = BatchView()
    for record in RECORDS[shift:] + RECORDS[:shift]:
        view.add([record])
    assert view.outcomes == {0: RECORDS[5], 1: RECORDS[3], 2: RECORDS[6]}
    assert view.by_key == {"k": RECORDS[3]}
    assert [one.number for one in view.tried["k"]] == [1, 2, 3, 4]
    assert set(view.tried) == {"k"}
    assert view.tried["k"][0].result is AttemptResult.UNAVAILABLE


def test_an_outcome_gets_every_attempt_for_its_key_and_a_copy_none():
    view = BatchView()
    view.add(RECORDS)
    assert set(view.outcomes) == {0, 1, 2}
    assert view.with_all_attempts(RECORDS[5]).attempts == view.tried["k"]
    for as_it_was in (
        outcome(0, copied=True),
        outcome(2, ended(1), key=""),
        outcome(3, ended(1), key="never seen"),
    ):
        assert view.with_all_attempts(as_it_was) == as_it_was


def written_by(told):
    """A writer of this worker's journal that notes down what it wrote."""
    return lambda store: JournalWriter(
        world(store),
        KEYS,
        give_up_after_s=GIVE_UP_AFTER_S,
        wrote=lambda batch, key, records: told.append((batch, key, records)),
    )


def test_a_group_becomes_one_object_a_batch_named_by_its_worker_and_content():
    told = []

    async def story():
        store = DictStore()
        journal = written_by(told)(store)
        journal.note(0, tried(1))
        journal.note(3, tried(2))
        journal.note(0, tried(3))
        writing = asyncio.ensure_future(journal.run())
        await sleep(0)
        journal.close()
        await writing
        return store.objects

    objects = run_virtual(story())
    groups = {0: [tried(1), tried(3)], 3: [tried(2)]}
    expected = {}
    for batch, records in groups.items():
        data = encode_records(records)
        digest = hashlib.sha256(data).hexdigest()[:32]
        expected[KEYS.journal(batch, "w1", digest)] = data
    assert objects == expected
    assert told == list(zip(groups, expected, groups.values(), strict=True))


def test_everything_given_before_it_is_closed_is_written():
    async def story():
        store = DictStore()
        journal = writer(store)
        journal.note(0, tried(1))
        journal.close()
        await journal.run()
        return len(store.objects)

    assert run_virtual(story()) == 1


def test_nobody_waits_for_a_writer_that_was_stopped():
    async def story():
        journal = writer(Refuses(ERRORS[0], clock() + 1e9))
        writing = asyncio.ensure_future(journal.run())
        saving = [asyncio.ensure_future(journal.save(0, tried(1)))]
        await sleep(0.5)
        saving.append(asyncio.ensure_future(journal.save(0, tried(2))))
        journal.note(0, tried(3))
        await sleep(0.1)
        writing.cancel()
        ends = await asyncio.gather(writing, *saving, return_exceptions=True)
        return [type(end) for end in ends]

    assert run_virtual(story()) == [asyncio.CancelledError] * 3


def test_a_put_that_fails_is_tried_again_after_longer_and_longer_waits_and_says_so():
    told = Told()

    async def story():
        tries_s = []

        class Counts(Refuses):
            async def put(self, key, data):
                tries_s.append(clock() - 1000.0)
                await super().put(key, data)

        store = Counts(StoreUnavailable("down"), clock() + 120.0)
        journal = JournalWriter(
            world(store, told=told), KEYS, give_up_after_s=GIVE_UP_AFTER_S, wrote=lambda *_: None
        )
        writing = asyncio.ensure_future(journal.run())
        await journal.save(0, tried(1))
        journal.close()
        await writing
        return tries_s

    assert run_virtual(story()) == [0.0, 1.0, 3.0, 8.0, 18.0, 38.0, 68.0, 98.0, 128.0]
    assert told.events == [
        Notice("store", "down; answers wait in memory, trying again") for _ in range(8)
    ]


def test_it_gives_up_only_after_the_time_for_which_an_outage_may_last():
    async def story():
        # tries at 0, 1 and 3 s: at 3 s exactly it goes on, at 8 s it has given up
        journal = JournalWriter(
            world(Refuses(StoreUnavailable("down"), clock() + 1e9)),
            KEYS,
            give_up_after_s=3.0,
            wrote=lambda *_: None,
        )
        writing = asyncio.ensure_future(journal.run())
        with pytest.raises(StoreUnavailable):
            await journal.save(0, tried(1))
        gave_up_s = clock()
        journal.close()
        await writing
        return gave_up_s

    assert run_virtual(story()) == 1008.0


def test_only_objects_that_were_not_seen_yet_are_read_and_those_that_went_are_passed_over():
    class Goes(CountsCalls):
        async def get(self, key):
            if key.endswith("gone"):
                self.calls["gone"] += 1
                raise NotStored(key)
            return await super().get(key)

    async def story():
        store = Goes(DictStore())
        keys = [KEYS.journal(0, "w1", f"{number:02d}") for number in range(40)]
        for number, key in enumerate(keys):
            await store.put(key, encode_records([tried(number)]))
        await store.put(KEYS.journal(0, "w1", "gone"), b"")
        await store.put(KEYS.journal(1, "w1", "other"), encode_records([tried(99)]))
        view = BatchView(seen={keys[7]})
        await refresh(world(store), KEYS, 0, view)
        assert view.seen == set(keys)
        await refresh(world(store), KEYS, 0, view)
        return store.calls, [one.number for one in view.tried["ab" * 32]], view.seen, set(keys)

    calls, numbers, seen, keys = run_virtual(story())
    assert numbers == [number for number in range(40) if number != 7]
    assert seen == keys
    assert (calls["get"], calls["gone"], calls["list"]) == (39, 2, 2)


def test_a_journal_object_that_cannot_be_read_is_named_by_its_place_in_the_store():
    async def story():
        store = DictStore()
        key = KEYS.journal(0, "w1", "x")
        await store.put(key, b"")
        with pytest.raises(RunMismatch) as caught:
            await refresh(world(store), KEYS, 0, BatchView())
        return str(caught.value).startswith(f"{store.url}/{key} cannot be read")

    assert run_virtual(story())


def test_a_writer_that_is_stopped_before_it_had_anything_to_write_just_ends():
    async def story():
        writing = asyncio.ensure_future(writer(DictStore()).run())
        await sleep(1.0)
        writing.cancel()
        (end,) = await asyncio.gather(writing, return_exceptions=True)
        return type(end)

    assert run_virtual(story()) is asyncio.CancelledError
