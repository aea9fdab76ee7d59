from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.quality.calibration import (
    Curve,
    Halves,
    in_first_half,
    interval,
    of_difference,
    steps,
    weights,
    wilson,
)
from tests.support.quality_pages import a_few

scored = st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=60)


def curve(words, documents=5):
    made = Curve(0)
    for number in range(documents):
        part = words[number::documents]
        made.add(f"d{number}", [score / 1000 for score, _ in part], [right for _, right in part])
    return made


@a_few
@given(scored, st.integers(0, 1000))
def test_a_threshold_keeps_the_words_that_score_at_least_as_much(words, threshold):
    kept = [right for score, right in words if score >= threshold]
    point = curve(words).at(threshold / 1000)
    assert point.kept == len(kept)
    assert point.kept_share == pytest.approx(len(kept) / len(words))
    if kept:
        assert point.precision == pytest.approx(sum(kept) / len(kept))


@a_few
@given(scored, st.floats(0.1, 1))
def test_the_lowest_threshold_keeps_most_of_those_that_are_precise_enough(words, wanted):
    made = curve(words)
    good = [
        threshold
        for threshold in {score for score, _ in words}
        if sum(r for s, r in words if s >= threshold)
        >= wanted * sum(s >= threshold for s, _ in words)
    ]
    found = made.lowest_threshold(wanted, at_least=1)
    assert (found is None) == (not good)
    if found is not None:
        assert made.at(found).kept == made.at(min(good) / 1000).kept


def test_a_threshold_that_keeps_only_a_few_lucky_words_is_not_chosen():
    words = [(999, True)] * 3 + [(500, False)] * 100
    assert curve(words).lowest_threshold(0.95, at_least=1) is not None
    assert curve(words).lowest_threshold(0.95, at_least=50) is None


@a_few
@given(scored)
def test_the_bins_hold_every_word_once(words):
    bins = curve(words).bins((0.0, 0.5, 0.9, 1.0))
    assert sum(one.words for one in bins) == len(words)
    for one in bins:
        inside = [
            right for score, right in words
            if one.low <= score / 1000 < one.high or (one.high == 1 and score == 1000)
        ]  # fmt: skip
        assert one.words == len(inside)
        assert one.precision == pytest.approx(sum(inside) / len(inside))


def test_points_keep_at_least_the_shares_that_were_asked_for():
    points = curve([(n, True) for n in range(100)]).points((0.1, 0.5, 1.0))
    assert [point.kept for point in points] == [10, 50, 100]
    assert Curve(0).points((0.5,)) == []


def test_the_area_is_1_for_all_right_and_more_when_the_wrong_score_low():
    assert curve([(n, True) for n in range(9)]).areas()[0] == 1
    low, high = [(1, False), (900, True)], [(900, False), (1, True)]
    assert curve(low).areas()[0] == pytest.approx((1 + 0.5) / 2)
    assert curve(low).areas()[0] > curve(high).areas()[0]


@a_few
@given(scored)
def test_two_halves_together_equal_the_whole_curve(words):
    halves, whole = Halves(0), Curve(0)
    for number, (score, right) in enumerate(words):
        for made in (halves, whole):
            made.add(f"d{number}", [score / 1000], [right])
    assert halves.whole.documents == whole.documents == len(words)
    assert halves.whole.at(0.5) == whole.at(0.5)


def test_steps_are_not_moved_by_rounding():
    assert steps([k / 10_000 for k in range(10_001)]).tolist() == list(range(10_001))
    assert steps([-1.0, 2.0]).tolist() == [0, 10_000]


def test_halves_are_about_equal_and_another_seed_gives_others():
    names = [f"document {n}" for n in range(2_000)]
    first = [in_first_half(name, 0) for name in names]
    assert 900 < sum(first) < 1_100
    assert first != [in_first_half(name, 1) for name in names]


def test_each_document_counts_about_once_in_each_resample():
    drawn = np.array([weights(f"d{n}", 0) for n in range(500)])
    assert (drawn[:, 0] == 1).all()
    assert drawn[:, 1:].mean() == pytest.approx(1, abs=0.02)
    assert drawn[:, 1:].var() == pytest.approx(1, abs=0.05)
    assert (weights("d0", 0) == drawn[0]).all()
    assert (weights("d0", 1) != drawn[0]).any()


def test_the_bootstrap_agrees_with_theory_where_words_are_documents():
    """200 of 800 right: the normal interval of a share is 0.25 +- 0.030."""
    right, of = np.zeros(201, dtype=np.int64), np.zeros(201, dtype=np.int64)
    for number in range(800):
        drawn = weights(f"d{number}", 0)
        of += drawn
        right += drawn * (number % 4 == 0)
    found = interval(right, of, 800)
    assert found.low == pytest.approx(0.22, abs=0.008)
    assert found.high == pytest.approx(0.28, abs=0.008)


def test_words_of_one_document_together_make_a_wider_interval():
    apart, together = Curve(0), Curve(0)
    for number in range(400):
        apart.add(f"d{number}", [0.9], [number % 2 == 0])
    for number in range(20):
        together.add(f"d{number}", [0.9] * 20, [number % 2 == 0] * 20)
    widths = [c.at(0).interval.high - c.at(0).interval.low for c in (apart, together)]
    assert widths[1] > 2 * widths[0]


def of_documents(*documents):
    """A curve of words of score 0.5: for each document how many are right, of how many."""
    made = Curve(0)
    for number, (right, words) in enumerate(documents):
        made.add(f"d{number}", [0.5] * words, [n < right for n in range(words)])
    return made


@pytest.mark.parametrize("documents", [1, 4, 30])
def test_documents_that_are_all_alike_leave_doubt_as_wilson_says_of_their_number(documents):
    found = of_documents(*[(30, 40)] * documents).at(0).interval
    assert found == wilson(0.75 * documents, documents)
    assert found.high - found.low > (0.29 if documents == 30 else 0.6)


def test_a_few_documents_are_not_taken_for_all_that_there_are():
    found = of_documents((30, 40), (32, 40), (31, 40)).at(0).interval
    least = wilson(93 / 40, 3)
    assert found.low <= least.low
    assert found.high >= least.high


def test_words_of_one_document_among_many_leave_the_doubt_of_one():
    made = of_documents(*[(9, 10)] * 30)
    made.add("alone", [0.9] * 40, [n < 30 for n in range(40)])
    assert made.at(0.9).interval == wilson(0.75, 1)
    made.add("alone", [0.95] * 40, [True] * 40)
    assert made.at(0.95).interval == wilson(1, 1)


def test_a_difference_over_too_few_or_equal_documents_has_no_interval():
    alike, apart = np.zeros(200), np.linspace(-0.1, 0.1, 200)
    assert of_difference(alike, 30) is None
    assert of_difference(apart, 4) is None
    assert of_difference(apart, 30).low == pytest.approx(-0.095)


def test_wilson_of_known_values():
    assert (wilson(10, 10).low, wilson(10, 10).high) == pytest.approx((0.7225, 1), abs=1e-4)
    assert (wilson(5, 10).low, wilson(5, 10).high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_all_right_on_few_documents_is_no_certainty():
    point = curve([(900, True)] * 500).at(0)
    assert point.precision == 1
    assert point.interval.low == pytest.approx(wilson(5, 5).low)
    assert curve([(900, True)]).at(1.0).interval is None
