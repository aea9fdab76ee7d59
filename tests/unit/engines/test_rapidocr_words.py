from __future__ import annotations

import pytest
from rapidocr.ch_ppocr_rec.typings import WordInfo, WordType

from ocrlabel.engines.rapidocr_words import _confidences, _pieces, from_own_top_left

UPRIGHT = [[0, 0], [10, 0], [10, 4], [0, 4]]


@pytest.mark.parametrize(
    ("reading", "first"),
    [((5, 0.3), [0, 0]), ((0, 5), [10, 0]), ((-5, 1), [10, 4]), ((0, -2), [0, 4])],
)
def test_the_first_corner_is_where_reading_starts(reading, first):
    corners = from_own_top_left(UPRIGHT, reading)
    assert corners[0] == first
    assert sorted(corners) == sorted(UPRIGHT)


def test_a_box_without_width_keeps_its_corners():
    assert from_own_top_left([[3, 0], [3, 0], [3, 4], [3, 4]], (1, 0))[0] == [3, 0]


def test_a_word_is_as_sure_as_its_least_sure_character():
    assert _confidences(["ab", "c"], "ab c", [0.9, 0.5, 1.0, 0.8]) == [0.5, 0.8]


def test_latin_words_stay_whole_and_han_characters_single_in_a_mixed_line():
    info = WordInfo(
        words=[["J", "o", "b"], ["：", "品"], ["4", "7"]],
        word_cols=[[1, 2, 3], [6, 9], [12, 13]],
        word_types=[WordType.EN_NUM, WordType.CN, WordType.EN_NUM],
    )
    assert _pieces(info) == (["Job", "：", "品", "47"], [[1, 2, 3], [6], [9], [12, 13]])
