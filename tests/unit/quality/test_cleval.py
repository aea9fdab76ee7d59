from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given

from ocrlabel.quality.cleval import Cleval, cleval, common
from tests.support.quality_pages import apart, box, some, texts

VALUES = Path(__file__).with_name("cleval_values.json")


def test_generated_pages_have_the_counts_of_the_published_package():
    """Recorded from cleval 0.1.1 by benchmarks/quality_published.py, which says how."""
    pages = json.loads(VALUES.read_text())
    assert len(pages) == 60
    for page in pages:
        found = cleval(
            [(text, tuple(map(tuple, polygon)), skip) for text, polygon, skip in page["truth"]],
            [(text, tuple(map(tuple, polygon))) for text, polygon in page["read"]],
        )
        ours = [*astuple(found.detection), *astuple(found.end_to_end), found.splits, found.merges]
        assert ours == page["counts"]


@some
@given(apart())
def test_a_perfect_reading_scores_1(words):
    truth = [(w.text, w.polygon, False) for w in words]
    found = cleval(truth, [(w.text, w.polygon) for w in words])
    for counts in (found.detection, found.end_to_end):
        assert (counts.score.recall, counts.score.precision) == (1, 1)


def test_a_split_word_costs_one_character_not_the_word():
    found = cleval(
        [("abcd", box(0, 0, 40), False)], [("ab", box(0, 0, 20)), ("cd", box(20, 0, 20))]
    )
    assert found.splits == 1
    assert found.detection.score.recall == pytest.approx(3 / 4)
    assert found.detection.score.precision == 1
    assert found.end_to_end.score.recall == pytest.approx(3 / 4)


def test_merged_words_cost_one_character_of_precision():
    truth = [("ab", box(0, 0, 20), False), ("cd", box(22, 0, 20), False)]
    found = cleval(truth, [("abcd", box(0, 0, 42))])
    assert found.merges == 1
    assert found.detection.score.recall == 1
    assert found.detection.score.precision == pytest.approx(3 / 4)


def test_a_misread_character_counts_end_to_end_only():
    found = cleval([("abcd", box(0, 0, 40), False)], [("abxd", box(0, 0, 40))])
    assert found.detection.score.hmean == 1
    assert found.end_to_end.score.recall == pytest.approx(3 / 4)


def test_what_is_read_in_a_do_not_care_region_is_neither_right_nor_wrong():
    assert cleval([("", box(0, 0, 40), True)], [("abcd", box(5, 0, 30))]) == Cleval()


def test_pages_add_up():
    page = cleval([("ab", box(0, 0, 20), False)], [("ab", box(0, 0, 20))])
    both = page + page
    assert (both.detection.truth, both.detection.found) == (4, 4)


def test_an_empty_page_has_no_counts():
    assert cleval([], []) == Cleval()
    assert cleval([], [("a", box(0, 0))]).detection.read > 0
    assert cleval([("ab", box(0, 0), False)], []).detection.score.recall == 0


@some
@given(texts, texts)
def test_a_common_subsequence_is_in_both_texts_and_as_long_either_way(a, b):
    found = common(a, b)
    for text in (a, b):
        left = iter(text)
        assert all(character in left for character in found)
    assert len(found) == len(common(b, a))
