"""Answers that were paid for: the journal holds on to them while there is hope, and no longer."""

from __future__ import annotations

import asyncio

import pytest

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.labels import Attempt, AttemptResult
from ocrlabel.pipeline.state.journal import BatchJournal, JournalWriter, Tried, refresh
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import run_of, runtime
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
