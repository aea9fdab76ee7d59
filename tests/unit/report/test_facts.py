from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Word
from ocrlabel.report.facts import LabelStatistics, notices, visible
from tests.support.labelled import row, word


def test_a_mark_that_turns_the_reading_direction_is_written_out():
    assert visible("invoice\u202egpj.exe") == "invoice⟨U+202E⟩gpj.exe"


def test_a_word_of_ten_thousand_letters_is_clipped_and_says_so():
    assert visible("a" * 10_000, 5) == "aaaaa… (10,000 characters)"


def test_korean_emoji_with_joiners_and_persian_stay_as_they_are():
    for text in ("영수증", "영수증", "👩‍👧", "می‌خواهم", "é", "1,200"):
        assert visible(text) == text


@given(st.text(max_size=400))
def test_nothing_that_is_shown_is_a_control_or_turns_the_text(text):
    turning = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    for c in visible(text):
        assert unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(c) not in turning


def test_words_whose_corners_are_one_point_or_one_line_are_told():
    counts = LabelStatistics()
    point, line = Word("a", ((5.0, 5.0),) * 4, 0.9), Word("b", ((1.0, 1.0), (9.0, 9.0)) * 2, 0.9)
    counts.add(row("a.jpg", [point, line, word("c")]))
    (told,) = notices(counts, {})
    assert told == ("Words whose corners are one point or one line: 2. They are in no export.")
    fine = LabelStatistics()
    fine.add(row("a.jpg", [word()]))
    assert notices(fine, {}) == []
