from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Word
from ocrlabel.quality import evaluate as module
from ocrlabel.quality.evaluate import OTHER_GROUPS, Counts, count, evaluate
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import Level
from tests.support.quality_pages import apart, as_truth_words, box, row, some, true, truth, word

SAME = Normalisation()


def counted(true_words, read) -> Counts:
    return count(truth(true_words), read, SAME)[0]


@some
@given(apart())
def test_labels_that_are_the_truth_score_1(words):
    found = counted(as_truth_words(words), words)
    for score in (found.detection, found.end_to_end):
        assert (score.recall, score.precision, score.hmean) == (1, 1, 1)
    assert found.ned == 1
    assert not found.cer


@some
@given(apart(least=2), st.data())
def test_a_word_less_lowers_recall_and_leaves_precision(words, data):
    gone = data.draw(st.integers(0, len(words) - 1))
    found = counted(as_truth_words(words), words[:gone] + words[gone + 1 :])
    assert found.detection.recall == pytest.approx(1 - 1 / len(words))
    assert found.end_to_end.recall < 1
    assert found.detection.precision == 1


@some
@given(apart(least=2), st.data())
def test_a_misread_word_lowers_the_text_figures_and_leaves_detection(words, data):
    at = data.draw(st.integers(0, len(words) - 1))
    misread = [
        Word(w.text + "x" if i == at else w.text, w.polygon, w.confidence)
        for i, w in enumerate(words)
    ]
    found = counted(as_truth_words(words), misread)
    assert found.detection.hmean == 1
    assert found.end_to_end.recall == pytest.approx(1 - 1 / len(words))
    assert found.cer == pytest.approx(1 / found.truth_characters)
    assert found.ned < 1


@some
@given(apart(), st.randoms(use_true_random=False))
def test_the_order_of_words_changes_no_figure(words, chance):
    known = as_truth_words(words)
    read = [Word(w.text[:-1] or "q", w.polygon, w.confidence) for w in words]
    before = counted(known, read)
    chance.shuffle(known)
    chance.shuffle(read)
    after = counted(known, read)
    assert after.likeness == pytest.approx(before.likeness)
    assert (after.matched, after.right, after.edits) == (before.matched, before.right, before.edits)


@some
@given(apart(), apart())
def test_counts_of_pages_add_up(one, two):
    a, b = counted(as_truth_words(one), two), counted(as_truth_words(two), one)
    both = a + b
    assert both.pages == 2
    assert both.matched == a.matched + b.matched
    assert both.characters.detection.found == (
        a.characters.detection.found + b.characters.detection.found
    )


def test_a_box_without_text_counts_for_detection_only():
    found, verdicts = count(truth([true(""), true("b", 20)]), [word("x"), word("b", 20)], SAME)
    assert (found.truth, found.matched, found.truth_with_text, found.right) == (2, 2, 1, 1)
    assert [v.right for v in verdicts] == [None, True]
    assert found.end_to_end.precision == 1


def test_a_false_alarm_is_wrong_and_one_in_do_not_care_is_nothing():
    _, verdicts = count(truth([true("", 0, ignore=True)]), [word("x"), word("y", 50)], SAME)
    assert [(v.word.text, v.right) for v in verdicts] == [("y", False)]


def test_line_truth_is_held_against_lines():
    found = count(
        truth([true("Total due", 0, 0, 47)], level=Level.LINE),
        [word("Total", 0, 0, 22), word("due", 27, 0, 20)],
        SAME,
    )[0]
    assert (found.matched, found.right, found.read) == (1, 1, 1)


def results(pairs, **options):
    return evaluate(pairs, normalise=SAME, **options)


def test_words_and_lines_are_never_in_one_figure():
    line = truth([true("a")], level=Level.LINE)
    found = results(
        [(row([word("a")]), line), (row([word("a")]), truth([true("a"), true("b", 20)]))]
    )
    assert [(r.level, r.counts.pages, r.counts.truth) for r in found] == [
        (Level.WORD, 1, 2), (Level.LINE, 1, 1),
    ]  # fmt: skip


def test_words_that_the_table_marks_as_do_not_care_are_not_read():
    marked = row([word("a"), word("b", 20)], classes=("ignore", "text"))
    (found,) = results([(marked, truth([true("a"), true("b", 20)]))])
    assert (found.counts.read, found.counts.right, found.counts.truth) == (1, 1, 2)


def test_groups_are_columns_of_the_table_or_its_input_row():
    pages = [
        (row([word("a")], input_row=f'{{"lang": "{lang}"}}'), truth([true("a")]))
        for lang in ("ko", "en", "ko")
    ]
    (found,) = results(pages, by="lang")
    assert {name: counts.pages for name, counts in found.groups.items()} == {"en": 1, "ko": 2}
    (found,) = results(pages, by="split")
    assert list(found.groups) == ["pseudo"]
    (found,) = results(pages, by="nothing")
    assert list(found.groups) == [""]


def test_groups_by_a_column_of_ids_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 2)
    pages = [(row([], input_row=f'{{"n": {n}}}'), truth([])) for n in range(5)]
    (found,) = results(pages, by="n")
    assert {name: counts.pages for name, counts in found.groups.items()} == {
        "0": 1, "1": 1, OTHER_GROUPS: 3,
    }  # fmt: skip


def test_words_without_confidence_are_counted_apart():
    (found,) = results(
        [(row([word("a", conf=None), word("b", 20)]), truth([true("a"), true("b", 20)]))]
    )
    assert found.without_confidence == 1
    assert sum(b.words for b in found.bins) == 1


def documents(count: int, *, right_above: float = 0.7):
    """Documents whose words are right exactly when their confidence is high enough."""
    chance = random.Random(1)
    for number in range(count):
        words, known = [], []
        for at in range(20):
            sure = round(chance.random(), 3)
            words.append(Word("a", box(at * 20, 0), sure))
            known.append(true("a" if sure >= right_above else "b", at * 20))
        yield row(words, key=f"d{number}"), truth(known)


def test_the_threshold_is_found_on_one_half_and_holds_on_the_other():
    (found,) = results(documents(60))
    threshold = found.threshold
    assert threshold.chosen.precision >= 0.95
    assert threshold.measured.precision == pytest.approx(0.95, abs=0.05)
    assert threshold.chosen.threshold == pytest.approx(0.68, abs=0.04)
    assert threshold.documents_chosen_on + threshold.documents_measured_on == 60
    assert (
        threshold.measured.interval.low
        <= threshold.measured.precision
        <= threshold.measured.interval.high
    )


def test_the_order_of_documents_changes_nothing():
    pages = list(documents(20))
    assert results(pages) == results(pages[::-1])


def test_a_precision_that_no_threshold_reaches_chooses_none():
    (found,) = results(documents(20, right_above=2))
    assert found.threshold.chosen is None
    assert found.threshold.measured is None


def test_confidences_that_mean_what_they_say_have_no_calibration_error():
    pages = [(row([word("a", conf=1.0)], key=str(n)), truth([true("a")])) for n in range(9)]
    (found,) = results(pages)
    assert found.calibration_error == 0
    pages = [(row([word("a", conf=1.0)], key=str(n)), truth([true("b")])) for n in range(9)]
    assert results(pages)[0].calibration_error == 1


def test_a_truth_of_only_invisible_characters_has_no_text_to_be_read():
    found = counted([true("\u200b", 0), true("합계", 20)], [word("x", 0), word("합\u200b계", 20)])
    assert (found.truth, found.truth_with_text, found.right) == (2, 1, 1)


def test_the_words_that_are_listed_are_composed_and_seen():
    decomposed = unicodedata.normalize("NFD", "합계")
    (verdict,) = count(truth([true(decomposed)]), [word("a\u200bb")], SAME)[1]
    assert verdict.texts == ("합계", "ab")
