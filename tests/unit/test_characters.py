"""Which characters of a text can be learned: what cannot be seen is not in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.characters import has_no_meaning, learnable

UNSEEN = (
    "\u200b", "\ufeff", "\u2060", "\u00ad", "\u200e", "\u200f", "\u202e", "\u2066", "\u200c",
    "\u200d", "\ufe0f", "\u3164", "\u115f", "\uffa0", "\u2800", "\u180e", "\u034f", "\U000e0020",
    "\U000e0100", "\ufff9",
)  # fmt: skip


@pytest.mark.parametrize("character", UNSEEN)
def test_a_text_of_only_invisible_characters_is_no_text(character):
    assert learnable(character * 3) == ("", ("invisible_removed",))


@pytest.mark.parametrize("character", UNSEEN)
def test_an_invisible_character_is_taken_out_of_a_word(character):
    assert learnable(f"to{character}tal") == ("total", ("invisible_removed",))


@pytest.mark.parametrize("character", [chr(n) for n in (0, 7, 8, 0x1B, 0x1C, 0x1F, 0x7F, 0x9B)])
def test_a_control_character_is_taken_out(character):
    assert learnable(f"{character}bell") == ("bell", ("control_removed",))


@pytest.mark.parametrize("space", "\u00a0\u2003\u3000\u202f\u1680")
def test_every_space_is_a_plain_one_and_none_stands_at_the_ends(space):
    assert learnable(f"{space}a{space}b{space}") == ("a b", ("space_made_plain",))
    assert learnable(space) == ("", ("space_made_plain",))


@pytest.mark.parametrize("text", ["합계", "é", "한글", "Å", "ガ"])
def test_a_decomposed_text_is_composed(text):
    assert learnable(unicodedata.normalize("NFD", text)) == (text, ("made_nfc",))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("\u0301a", "a"), ("a \u0301b", "a b"), ("\u0301\u0308", ""), ("\t\u093ek", "\tk")],
)
def test_a_mark_that_stands_on_no_letter_is_stray(text, wanted):
    assert learnable(text) == (wanted, ("stray_mark_removed",))


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "1,200 원", "영수증", "合計", "ガス", "Ａ１", "ﬁne", '"q",x', "a\\tb", "#", "###",
        "ㅎㅏㄴ", "שלום", "مرحبا", "\u0600\u0661", "क्\u200dष", "می\u200cخواهم", "น้ำ", "q\u0323", "a\tb", "a\nb",
        "🧾", "\ue000",
    ],
)  # fmt: skip
def test_what_can_be_seen_stays(text):
    assert learnable(text) == (text, ())


@given(st.text())
def test_what_is_learnable_is_left_as_it_is(text):
    found, altered = learnable(text)
    assert learnable(found) == (found, ())
    assert (found == text) == (altered == ())
    assert found == "" or found.strip()


@pytest.mark.parametrize("text", ["\ue000pua", "\ufffc", "\ufffd", "a\U0010fffe", "\ufdd0"])
def test_a_character_without_a_meaning_of_its_own_is_found(text):
    assert has_no_meaning(text)
    assert not has_no_meaning("영수증 1,200 é 🧾")
