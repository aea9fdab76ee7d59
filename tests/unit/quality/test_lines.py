from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from ocrlabel.labels import Word
from ocrlabel.quality.match import GAP, lines
from tests.support.quality_pages import apart, box, some, word


def turned(words: list[Word], degrees: float) -> list[Word]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        Word(
            w.text,
            tuple((x * cos - y * sin, x * sin + y * cos) for x, y in w.polygon),
            w.confidence,
        )
        for w in words
    ]


WORDS = [word("due", 27, 1, 20, 0.7), word("Total", 0, 0, 22), word("next", 0, 30)]


@pytest.mark.parametrize("degrees", [0, 7, 45, 90, 180, -90])
def test_words_of_a_line_are_joined_in_order_whatever_way_it_runs(degrees):
    found = {line.text for line in lines(turned(WORDS, degrees))}
    assert found == {"Total due", "next"}


def test_a_line_is_as_sure_as_its_most_doubtful_word_and_spans_them_all():
    line = next(line for line in lines(WORDS) if line.text == "Total due")
    assert line.confidence == 0.7
    assert np.array(line.polygon) == pytest.approx(np.array(box(0, 0, 47, 11)))


def test_a_line_with_a_word_of_unknown_confidence_has_none():
    assert lines([word("a", 0), word("b", 12, conf=None)])[0].confidence is None


def test_a_wide_gap_a_step_or_another_size_ends_a_line():
    wide = 10 + GAP * 10
    assert len(lines([word("a", 0), word("b", wide - 1)])) == 1
    assert len(lines([word("a", 0), word("b", wide + 1)])) == 2
    assert len(lines([word("a", 0), word("b", 12, 6)])) == 2
    assert len(lines([word("a", 0), Word("b", box(12, -5, 20, 21), 0.9)])) == 2


@some
@given(apart())
def test_no_word_is_lost_or_doubled(words):
    joined = " ".join(line.text for line in lines(words)).split()
    assert sorted(joined) == sorted(w.text for w in words)


def test_words_without_a_proper_box_stay_as_they_are():
    odd = Word("x", ((0, 0), (1, 1)), 0.5)
    assert odd in lines([odd, word("a", 50)])
    assert lines([odd]) == (odd,)
    assert lines([]) == ()
