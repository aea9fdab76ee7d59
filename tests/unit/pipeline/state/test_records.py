"""Which of two outcomes counts, and which attempt: rules of values, the same for every reader."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from dataclasses import replace

import pytest

from ocrlabel.errors import RunMismatch
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    Labelled,
    Page,
    Word,
)
from ocrlabel.pipeline.state.journal import (
    Tried,
    better,
    decode_records,
    encode_records,
    merge_attempts,
)

UNKNOWN, ANSWERED = AttemptResult.UNKNOWN, AttemptResult.ANSWERED


def attempt(number: int, result: AttemptResult = ANSWERED, worker: str = "w1") -> Attempt:
    return Attempt(number, "key", 1.0, 2.0, result, 200, "", 1, worker)


def label(*attempts: Attempt, raw: bytes = b"{}", copied: bool = False) -> Labelled:
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
    late = label(attempt(9), copied=copied)
    assert chosen_both_ways(late, failure(attempt(1))) is late
    assert chosen_both_ways(late, failure()) is late


def test_an_original_counts_more_than_a_copy_because_only_it_has_the_attempts():
    original = label(attempt(2))
    assert chosen_both_ways(original, label(copied=True)) is original
    failed = failure(attempt(2))
    assert chosen_both_ways(failed, failure(copied=True)) is failed


def test_of_two_labels_the_one_with_the_earlier_last_attempt_counts():
    first = label(attempt(1, UNKNOWN), attempt(2), raw=b"a")
    later = label(attempt(1, UNKNOWN), attempt(2, UNKNOWN), attempt(3), raw=b"b")
    assert chosen_both_ways(first, later) is first
    assert chosen_both_ways(first, replace(later, raw=b"c")) is first


def test_a_label_that_was_never_asked_for_counts_before_one_that_was():
    reused = label()
    for raw in (b"a", b"b", b"c", b"d"):
        assert chosen_both_ways(reused, label(attempt(1), raw=raw)) is reused


def test_between_two_answers_to_the_same_attempt_their_hash_decides():
    answers = [label(attempt(1), raw=bytes([n])) for n in range(8)]
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
        label(attempt(1), raw=b'{"a": 1}', copied=True),
        pages=(Page(1, 100, 50, WORDS, 0.75), Page(2, 30, 40)),
        latency_s=3.5,
        billed_pages=2,
    ),
    label(raw=b"\xff\xfe"),
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
    assert "--fresh" in str(caught.value)


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
