"""Answers that were paid for: which of two counts, how they are kept, and for how long."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
from dataclasses import replace

import pytest

from ocrlabel.dataset.checkpoint_table import Settled, decode_checkpoint, encode_checkpoint
from ocrlabel.errors import ConfigError, Interrupted, RunMismatch, StoreUnavailable
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Page,
    Word,
)
from ocrlabel.pipeline.budget.account import of_outcomes
from ocrlabel.pipeline.events import Notice
from ocrlabel.pipeline.runtime import Stop
from ocrlabel.pipeline.state.journal import (
    BatchJournal,
    JournalCache,
    JournalWriter,
    Tried,
    better,
    decode_records,
    encode_records,
    journal_objects,
    merge_attempts,
    refresh,
)
from ocrlabel.storage.base import NotStored
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import CountsCalls
from tests.support.runs import LAYOUT, Told, run_of, runtime
from tests.support.stores import DictStore

UNKNOWN, ANSWERED = AttemptResult.UNKNOWN, AttemptResult.ANSWERED


def attempt(number: int, result: AttemptResult = ANSWERED, worker: str = "w1") -> Attempt:
    return Attempt(number, "key", 1.0, 2.0, result, 200, "", 1, worker)


def answer(*attempts: Attempt, raw: bytes = b"{}", copied: bool = False) -> Labelled:
    return Labelled(
        3, "id", "k", "s", (), "engine", "m", 5.0, attempts, 2.0, 1, raw=raw, copied=copied
    )


def failure(*attempts: Attempt, copied: bool = False) -> Failed:
    return Failed(3, "id", FailureClass.NOT_FOUND, "gone", 5.0, attempts=attempts, copied=copied)


def chosen_both_ways(one, other):
    """What is chosen, which must not depend on who is named first."""
    first = better(one, other)
    assert better(other, one) == first
    return first


@pytest.mark.parametrize("copied", [True, False])
def test_a_label_counts_more_than_any_failure_however_early_the_failure_was(copied):
    late = answer(attempt(9), copied=copied)
    assert chosen_both_ways(late, failure(attempt(1))) is late
    assert chosen_both_ways(late, failure()) is late


def test_an_original_counts_more_than_a_copy_because_only_it_has_the_attempts():
    original = answer(attempt(2))
    assert chosen_both_ways(original, answer(copied=True)) is original
    failed = failure(attempt(2))
    assert chosen_both_ways(failed, failure(copied=True)) is failed


def test_of_two_labels_the_one_with_the_earlier_last_attempt_counts():
    first = answer(attempt(1, UNKNOWN), attempt(2), raw=b"a")
    later = answer(attempt(1, UNKNOWN), attempt(2, UNKNOWN), attempt(3), raw=b"b")
    assert chosen_both_ways(first, later) is first
    assert chosen_both_ways(first, replace(later, raw=b"c")) is first


def test_a_label_that_was_never_asked_for_counts_before_one_that_was():
    reused = answer()
    for raw in (b"a", b"b", b"c", b"d"):
        assert chosen_both_ways(reused, answer(attempt(1), raw=raw)) is reused


def test_between_two_answers_to_the_same_attempt_their_hash_decides():
    answers = [answer(attempt(1), raw=bytes([n])) for n in range(8)]
    least = min(answers, key=lambda one: hashlib.sha256(one.raw).hexdigest())
    for one, other in itertools.permutations(answers, 2):
        assert least in (one, other) or chosen_both_ways(one, other) is not least
        if least in (one, other):
            assert chosen_both_ways(one, other) is least


@pytest.mark.parametrize("result", [one for one in AttemptResult if one is not UNKNOWN])
def test_an_attempt_whose_end_is_known_is_never_replaced_by_the_same_one_as_unknown(result):
    known, unknown = attempt(1, result), attempt(1, UNKNOWN)
    assert merge_attempts([known], [unknown]) == (known,)
    assert merge_attempts([unknown], [known]) == (known,)


def test_attempts_come_each_once_in_order_and_those_of_two_workers_stay_apart():
    mine, yours, next_one = attempt(1), attempt(1, worker="w2"), attempt(2)
    assert merge_attempts([next_one, yours], [mine, yours]) == (mine, yours, next_one)


def test_of_two_known_ends_of_one_attempt_the_first_that_was_read_stays():
    one, other = attempt(1), attempt(1, AttemptResult.REJECTED)
    assert merge_attempts([one], [other]) == (one,)


WORDS = (
    Word("\u2028 한", ((0, 0), (10, 0), (10, 5), (0, 5)), 0.5),
    Word("\ud800", ((1, 1), (2, 1), (2, 2), (1, 2)), None),
)
EVERYTHING = [
    Tried("k", Attempt(4, "lane", 1.5, 0.25, ANSWERED, 502, "bad", 7, "w3", 9)),
    replace(
        answer(attempt(1), raw=b'{"a": 1}', copied=True),
        pages=(Page(1, 100, 50, WORDS, 0.75), Page(2, 30, 40)),
        latency_s=3.5,
        billed_pages=2,
    ),
    answer(raw=b"\xff\xfe"),
    Failed(
        7,
        "other",
        FailureClass.QUARANTINED,
        "no",
        6.0,
        "key",
        "sha",
        "engine",
        (attempt(3),),
        retryable=True,
        copied=True,
    ),
]


def test_every_field_of_a_record_is_read_back_as_it_was_written():
    assert decode_records(encode_records(EVERYTHING), where="x") == EVERYTHING


@pytest.mark.parametrize(
    ("said", "kept"), [("200", 200), (10**20, 2**31 - 1), ([1], None), (float("inf"), None)]
)
def test_numbers_that_no_table_holds_are_read_so_that_the_answer_is_kept(said, kept):
    """Earlier versions wrote down whatever an engine of others said."""
    poisoned = replace(attempt(1), status=said, message=None, billed_pages=said)
    read = decode_records(
        encode_records(
            [
                replace(answer(poisoned), pages=(Page(1, said, said),)),
                replace(failure(poisoned), message=None),
            ]
        ),
        where="here",
    )
    (found,) = read[0].attempts
    assert (found.status, found.billed_pages) == (kept, kept)
    assert (read[0].pages[0].width_px, read[0].pages[0].height_px) == (kept or 0, kept or 0)
    rows = [Settled(ImageRef(3, "id", "a.png"), one) for one in read]
    assert [
        row.outcome for row in decode_checkpoint(encode_checkpoint(rows, {}), where="")[0]
    ] == read


def test_equal_records_are_equal_bytes_so_that_a_journal_object_is_named_by_its_content():
    assert encode_records(EVERYTHING) == encode_records(list(EVERYTHING))
    assert encode_records([]) != b""
    assert decode_records(encode_records([]), where="x") == []


@pytest.mark.parametrize(
    "data", [b"", b"plain", encode_records(EVERYTHING)[:-9], encode_records(EVERYTHING)[:20]]
)
def test_a_journal_object_that_cannot_be_read_is_never_taken_for_an_empty_one(data):
    with pytest.raises(RunMismatch, match="journal/7 cannot be read") as caught:
        decode_records(data, where="journal/7")
    assert "--fresh" not in str(caught.value)
    assert "only what it alone held is asked for again" in str(caught.value)


def test_a_journal_object_is_lines_of_short_json_gzipped_without_a_time():
    data = encode_records([EVERYTHING[2], EVERYTHING[0], failure(copied=True)])
    text = (
        '{"o":3,"id":"id","key":"k","sha":"s","engine":"engine","at":5.0,"attempts":[],'
        '"copied":false,"t":"labelled","pages":[],"model":"m","latency":2.0,"billed":1,'
        '"raw":{"base64":"//4="}}\n'
        '{"t":"tried","key":"k","attempt":[4,"lane",1.5,0.25,"answered",502,"bad",7,"w3",9]}\n'
        '{"o":3,"id":"id","key":"","sha":"","engine":"","at":5.0,"attempts":[],"copied":true,'
        '"t":"failed","failure":"not_found","message":"gone","retryable":false}'
    )
    assert gzip.decompress(data).decode() == text
    assert data == gzip.compress(text.encode(), compresslevel=1, mtime=0)


def test_text_is_kept_as_people_read_it():
    korean = replace(failure(), message="한글")
    assert "한글" in gzip.decompress(encode_records([korean])).decode()


def test_an_empty_journal_object_says_that_it_is_empty():
    with pytest.raises(RunMismatch, match=r"\(EOFError: it is empty\)"):
        decode_records(b"", where="x")


GIVE_UP_AFTER_S = 300.0
KEYS = LAYOUT.of_run("r")


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
        run_of(runtime(store)).round(),
        stop=Stop(clock),
        give_up_after_s=GIVE_UP_AFTER_S,
        wrote=lambda *told: None,
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
        return view, journal.is_waiting

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
        with pytest.raises(Interrupted, match=str(error)):
            await saving
        gave_up_s = clock()
        with pytest.raises(Interrupted):
            await later
        with pytest.raises(Interrupted):
            await journal.save(2, tried(4))
        journal.close()
        with pytest.raises(Interrupted):
            await writing
        assert len(journal.unsaved) == 6
        return gave_up_s, clock(), journal.is_waiting

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
    view = BatchJournal()
    for record in RECORDS[shift:] + RECORDS[:shift]:
        view.add([record])
    assert view.outcomes == {0: RECORDS[5], 1: RECORDS[3], 2: RECORDS[6]}
    assert view.by_key == {"k": RECORDS[3]}
    assert [one.number for one in view.tried["k"]] == [1, 2, 3, 4]
    assert set(view.tried) == {"k"}
    assert view.tried["k"][0].result is AttemptResult.UNAVAILABLE


def test_one_row_of_an_image_carries_every_attempt_for_it_and_copies_none():
    view = BatchJournal()
    view.add(RECORDS)
    assert view.settled() == {
        0: replace(RECORDS[5], attempts=(), copied=True),
        1: replace(RECORDS[3], attempts=view.tried["k"]),
        2: RECORDS[6],
    }


def test_two_rows_of_an_image_that_were_both_asked_for_are_counted_once_each():
    view = BatchJournal()
    first = replace(label(0, attempt(1)), billed_pages=1)
    view.add([first, replace(label(1, attempt(2, worker="w2")), billed_pages=1)])
    settled = view.settled()
    assert [one.number for one in settled[0].attempts] == [1, 2]
    assert settled[1].copied
    account = of_outcomes(settled.values())
    assert (account.sent, account.billed_pages, account.stored_pages) == (2, 2, 1)
    assert account.wasted_pages == {"answered_again": 1}


def test_of_an_image_that_failed_in_one_row_and_was_copied_to_another_the_failure_is_counted():
    view = BatchJournal()
    failed, copy = outcome(0, ended(1)), replace(label(1), copied=True)
    view.add([failed, copy, outcome(2, ended(1), key="")])
    assert view.settled() == {0: failed, 1: copy, 2: outcome(2, ended(1), key="")}


def written_by(told):
    """A writer of this worker's journal that notes down what it wrote."""
    return lambda store: JournalWriter(
        run_of(runtime(store)).round(),
        stop=Stop(clock),
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
            run_of(runtime(store, told=told)).round(),
            stop=Stop(clock),
            give_up_after_s=GIVE_UP_AFTER_S,
            wrote=lambda *_: None,
        )
        writing = asyncio.ensure_future(journal.run())
        await journal.save(0, tried(1))
        journal.close()
        await writing
        return tries_s

    assert run_virtual(story()) == [0.0, 1.0, 3.0, 8.0, 18.0, 38.0, 68.0, 98.0, 128.0]
    assert told.events == [
        Notice("store", "down; answers wait in memory, nothing is sent, trying again")
        for _ in range(8)
    ]


def test_who_waits_until_the_store_takes_again_hears_of_it_or_of_the_end():
    async def story(until_s: float):
        journal = writer(Refuses(StoreUnavailable("down"), clock() + until_s))
        await journal.until_it_takes()  # nothing has failed yet
        writing = asyncio.ensure_future(journal.run())
        saving = asyncio.ensure_future(journal.save(0, tried(1)))
        await sleep(0.5)
        began_s = clock()
        try:
            await journal.until_it_takes()
        finally:
            waited_s = clock() - began_s
            journal.close()
            await asyncio.gather(saving, writing, return_exceptions=True)
        return waited_s

    assert run_virtual(story(2.0)) == pytest.approx(2.5)  # tries at 0, 1 and 3 s
    with pytest.raises(Interrupted, match="down"):
        run_virtual(story(1e9))


@pytest.mark.parametrize(
    ("signalled_s", "tries_s"),
    [
        (0.5, [0.0, 0.5, 1.5, 2.5, 3.5, 4.5]),
        # a signal ends the wait of ten seconds that it is in
        (10.0, [0.0, 1.0, 3.0, 8.0, 10.0, 11.0, 12.0, 13.0, 14.0]),
    ],
)
def test_after_a_signal_it_tries_every_second_until_the_grace_is_over(signalled_s, tries_s):
    async def story():
        tried_s = []

        class Counts(Refuses):
            async def put(self, key, data):
                tried_s.append(clock() - 1000.0)
                await super().put(key, data)

        stop = Stop(clock)
        journal = JournalWriter(
            run_of(runtime(Counts(StoreUnavailable("down"), clock() + 1e9))).round(),
            stop=stop,
            give_up_after_s=GIVE_UP_AFTER_S,
            wrote=lambda *_: None,
        )
        writing = asyncio.ensure_future(journal.run())
        saving = asyncio.ensure_future(journal.save(0, tried(1)))
        await sleep(signalled_s)
        stop.drain("a signal", grace_s=4.0)
        with pytest.raises(Interrupted):
            await saving
        with pytest.raises(Interrupted):
            await writing
        return tried_s

    assert run_virtual(story()) == tries_s


def test_it_gives_up_only_after_the_time_for_which_an_outage_may_last():
    async def story():
        # tries at 0, 1 and 3 s: at 3 s exactly it goes on, at 8 s it has given up
        journal = JournalWriter(
            run_of(runtime(Refuses(StoreUnavailable("down"), clock() + 1e9))).round(),
            stop=Stop(clock),
            give_up_after_s=3.0,
            wrote=lambda *_: None,
        )
        writing = asyncio.ensure_future(journal.run())
        with pytest.raises(Interrupted):
            await journal.save(0, tried(1))
        gave_up_s = clock()
        journal.close()
        with pytest.raises(Interrupted):
            await writing
        assert journal.unsaved == [(0, tried(1))]
        return gave_up_s

    assert run_virtual(story()) == 1008.0


def test_only_objects_that_were_not_seen_yet_are_read_and_those_that_went_are_passed_over():
    class Goes(CountsCalls):
        async def get(self, key):
            if key.endswith("d" * 32):
                self.calls["gone"] += 1
                raise NotStored(key)
            return await super().get(key)

    async def story():
        store = Goes(DictStore())
        keys = [KEYS.journal(0, "w1", f"{number:032d}") for number in range(40)]
        for number, key in enumerate(keys):
            await store.put(key, encode_records([tried(number)]))
        await store.put(KEYS.journal(0, "w1", "d" * 32), b"")
        await store.put(KEYS.journal(1, "w1", "e" * 32), encode_records([tried(99)]))
        view = BatchJournal(seen={keys[7]})
        await refresh(run_of(runtime(store)).round(), 0, view)
        assert view.seen == set(keys)
        await refresh(run_of(runtime(store)).round(), 0, view)
        return store.calls, [one.number for one in view.tried["ab" * 32]], view.seen, set(keys)

    calls, numbers, seen, keys = run_virtual(story())
    assert numbers == [number for number in range(40) if number != 7]
    assert seen == keys
    assert (calls["get"], calls["gone"], calls["list"]) == (39, 2, 2)


def test_a_journal_object_that_cannot_be_read_is_named_by_its_place_in_the_store():
    async def story():
        store = DictStore()
        key = KEYS.journal(0, "w1", "f" * 32)
        await store.put(key, b"")
        with pytest.raises(RunMismatch) as caught:
            await refresh(run_of(runtime(store)).round(), 0, BatchJournal())
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


def test_the_journals_of_the_four_batches_used_last_are_kept():
    async def story():
        cache = JournalCache(run_of(runtime(DictStore())).round())
        kept = [cache.begin(batch) for batch in range(4)]
        assert await cache.fresh(0) is kept[0]
        cache.begin(4)
        assert cache.begin(0) is kept[0]
        assert cache.begin(2) is kept[2]
        assert cache.begin(3) is kept[3]
        return cache.begin(1) is kept[1]

    assert not run_virtual(story())


def cache_of(store) -> JournalCache:
    return JournalCache(run_of(runtime(store)).round())


def test_what_this_worker_wrote_is_in_the_journals_that_it_keeps_and_is_not_read_again():
    async def story():
        store = CountsCalls(DictStore())
        cache = cache_of(store)
        kept, key = cache.begin(0), KEYS.journal(0, "w1", "a" * 32)
        await store.put(key, encode_records([tried(1)]))
        cache.wrote(0, key, [tried(1)])
        cache.wrote(1, KEYS.journal(1, "w1", "b" * 32), [tried(2)])
        assert (await cache.fresh(0), cache.begin(1)) == (kept, BatchJournal())
        return kept, {key}, store.calls["get"]

    kept, seen, gets = run_virtual(story())
    assert [one.number for one in kept.tried["ab" * 32]] == [1]
    assert (kept.seen, gets) == (seen, 0)


def test_a_batch_whose_checkpoint_is_written_is_forgotten_and_the_others_are_kept():
    async def story():
        cache = cache_of(DictStore())
        kept = [cache.begin(batch) for batch in range(3)]
        for batch in (1, 9):
            cache.drop(batch)
        return [cache.begin(batch) is kept[batch] for batch in range(3)]

    assert run_virtual(story()) == [True, False, True]


def test_those_who_read_one_batch_read_each_object_once_and_those_of_two_do_not_wait():
    class Slow(CountsCalls):
        async def get(self, key):
            await sleep(1.0)
            return await super().get(key)

    async def story():
        store = Slow(DictStore())
        for batch in range(2):
            await store.put(KEYS.journal(batch, "w1", "a" * 32), encode_records([tried(batch)]))
        cache, began_s = cache_of(store), clock()
        one, same, other = await asyncio.gather(*map(cache.fresh, (0, 0, 1)))
        assert one is same
        numbers = [[a.number for a in view.tried["ab" * 32]] for view in (one, other)]
        return numbers, store.calls["get"], clock() - began_s

    assert run_virtual(story()) == ([[0], [1]], 2, 1.0)


def test_the_objects_of_every_journal_are_counted_by_batch():
    async def story():
        store = DictStore()
        for batch, count in ((0, 3), (7, 1), (12, 2), (9999, 1)):
            for number in range(count):
                await store.put(KEYS.journal(batch, f"w{number}", "a" * 32), b"")
        return await journal_objects(run_of(runtime(store)).round())

    assert run_virtual(story()) == {0: 3, 7: 1, 12: 2, 9999: 1}
