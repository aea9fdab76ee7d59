from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.dataset.labels_table import IGNORE, read_labels, table_info
from ocrlabel.errors import DatasetError
from ocrlabel.quality.filter import Rule, doubts, dropped, filter_table, marked, write_lessons
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import cared
from tests.support.quality_pages import apart, row, some, true, truth, word

SAME = Normalisation()


def doubtful(a_row, rule, other=None):
    return {at: round(doubt, 6) for at, doubt in doubts(a_row, other, rule, SAME).items()}


def test_words_below_the_cut_or_without_confidence_are_doubtful():
    words = [word("a", conf=0.9), word("b", 20, conf=0.89), word("c", 40, conf=None)]
    assert doubtful(row(words), Rule(0.9)) == {1: 0.11, 2: 1.0}


def test_what_a_person_vouches_for_is_not_doubtful():
    """All of a reviewed page, and on one that was corrected what has no confidence any more."""
    words = [word("a", conf=0.1), word("b", 20, conf=None)]
    reviewed = replace(row(words), reviewed_at=datetime(2026, 11, 1, tzinfo=UTC))
    assert doubtful(reviewed, Rule(0.9, agreed=True)) == {}
    assert doubtful(replace(row(words), source="paddleocr"), Rule(0.9)) == {0: 0.9}


def test_words_that_the_other_table_does_not_say_are_doubtful():
    page = row([word("Total"), word("due", 20), word("x", 90)])
    other = truth([true("total"), true("dua", 20)])
    assert doubtful(page, Rule(agreed=True), other) == {1: round(1 / 3, 6), 2: 1.0}


def test_a_page_that_the_other_table_does_not_have_is_doubtful_as_a_whole():
    assert doubtful(row([word("a")]), Rule(agreed=True), None) == {0: 1.0}


def test_both_conditions_have_to_be_met_and_the_larger_doubt_counts():
    page = row([word("a", conf=0.5), word("b", 20, conf=0.95)])
    assert doubtful(page, Rule(0.9, agreed=True), truth([true("a"), true("q", 20)])) == {
        0: 0.5, 1: 1.0,
    }  # fmt: skip


def test_words_that_are_do_not_care_already_stay_so():
    assert doubtful(row([word("a", conf=0.1)], classes=("ignore",)), Rule(0.9)) == {}


@some
@given(apart(), st.floats(0, 1))
def test_marking_keeps_every_word_and_dropping_keeps_the_rest(words, cut):
    page = row(words)
    found = doubts(page, None, Rule(cut), SAME)
    kept = [w for w in words if w.confidence >= cut]
    assert marked(page, found, IGNORE).words == page.words
    assert list(cared(marked(page, found, IGNORE))) == kept
    assert list(dropped(page, found).words) == kept
    assert len(dropped(page, found).classes) == len(kept)


ROWS = [
    row([word("sure", conf=0.99)], key="sure"),
    row([word("a", conf=0.8), word("b", 20, conf=0.99)], key="some"),
    row([word("a", conf=0.1), word("b", 20, conf=0.2)], key="bad"),
    row([], key="empty"),
    row([word("a", conf=0.8)], key="again"),
]


def filtered(write_table, tmp_path, **options):
    source = write_table("in.parquet", ROWS)
    done = filter_table(source, tmp_path / "out.parquet", normalise=SAME, **options)
    return done, list(read_labels(tmp_path / "out.parquet"))


def test_a_filtered_table_has_the_same_pages_in_the_same_order(write_table, tmp_path):
    done, rows = filtered(write_table, tmp_path, rule=Rule(0.9))
    assert [r.id for r in rows] == [r.id for r in ROWS]
    assert [r.classes for r in rows] == [
        ("text",), ("ignore", "text"), ("ignore", "ignore"), (), ("ignore",),
    ]  # fmt: skip
    assert (done.pages, done.words, done.doubtful) == (5, 6, 4)
    assert table_info(tmp_path / "out.parquet")["changed_by"] == "ocrlabel filter"


def test_dropping_removes_words_not_pages(write_table, tmp_path):
    _, rows = filtered(write_table, tmp_path, rule=Rule(0.9), drop=True)
    assert [len(r.words) for r in rows] == [1, 1, 0, 0, 0]


def test_the_queue_has_the_most_doubtful_page_first_with_all_its_words(write_table, tmp_path):
    queue = tmp_path / "queue.parquet"
    done, _ = filtered(write_table, tmp_path, rule=Rule(0.9), review=queue)
    rows = list(read_labels(queue))
    assert [r.id for r in rows] == ["bad", "some", "again"]
    assert rows[1].classes == ("uncertain", "text")
    assert rows[1].words == ROWS[1].words
    assert done.pages_to_review == 3


def test_agreement_with_another_table_is_asked_of_every_word(write_table, tmp_path):
    other = write_table("other.parquet", [ROWS[0], row([word("a"), word("z", 20)], key="some")])
    done, rows = filtered(write_table, tmp_path, rule=Rule(agreed=True), other=other)
    assert [r.classes for r in rows[:2]] == [("text",), ("text", "ignore")]
    assert sum(done.unpaired.counts.values()) == 3
    assert rows[4].classes == ("ignore",)


def test_a_broken_input_leaves_no_output(tmp_path):
    source = tmp_path / "in.parquet"
    source.write_bytes(b"no parquet")
    with pytest.raises(DatasetError):
        filter_table(source, Path(tmp_path / "out.parquet"), Rule(0.9), normalise=SAME)
    assert list(tmp_path.iterdir()) == [source]


def test_what_a_page_teaches_most_is_reviewed_first_and_each_document_once_before_any_twice(
    write_table, tmp_path
):
    seen = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [
        row([word("a", conf=0.99)], key="sure", page=1),
        row([word("a", conf=0.5), word("b", 20, conf=0.5)], key="open", page=1),
        row([word("a", conf=0.5), word("b", 20, conf=0.6)], key="open", page=2),
        replace(row([word("a", conf=0.5)], key="seen"), reviewed_at=seen),
        row([word("a", conf=None)], key="unknown"),
        row([], key="empty"),
    ]
    source, queue = write_table("in.parquet", rows), tmp_path / "queue.parquet"
    assert write_lessons(source, queue, 0.9, None) == 4
    found = list(read_labels(queue))
    assert [(r.id, r.page) for r in found] == [
        ("open", 1), ("unknown", 1), ("sure", 1), ("open", 2),
    ]  # fmt: skip
    assert [r.classes for r in found[:3]] == [("uncertain",) * 2, ("uncertain",), ("text",)]


def test_a_threshold_is_of_p_correct_where_the_table_has_it(write_table, tmp_path):
    rows = [replace(ROWS[1], p_correct=(0.95, 0.2)), replace(ROWS[0], p_correct=(None,))]
    source = write_table("laid.parquet", rows)
    done = filter_table(source, tmp_path / "out.parquet", Rule(0.9), normalise=SAME, drop=True)
    (first, second) = read_labels(tmp_path / "out.parquet")
    assert [w.text for w in first.words] == ["a"]
    assert (first.p_correct, second.words) == ((0.95,), ())
    assert (done.score, done.unknown) == ("p_correct", 1)
