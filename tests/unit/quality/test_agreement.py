from __future__ import annotations

import json

import pytest
from hypothesis import given

from ocrlabel.labels import Word
from ocrlabel.quality.agreement import agree, agree_page, page_line
from ocrlabel.quality.signals import signals
from ocrlabel.quality.text import Normalisation, script
from ocrlabel.quality.truth import Level, as_truth
from tests.support.quality_pages import apart, box, row, some, true, truth, word

SAME = Normalisation()


@some
@given(apart())
def test_a_table_agrees_with_itself(words):
    found = agree([(row(words), as_truth(row(words)))], normalise=SAME)
    assert found.total.agreement == 1
    assert found.total.same == len(words)


@some
@given(apart(), apart())
def test_agreement_is_the_same_both_ways(one, other):
    a = agree_page(row(one), as_truth(row(other)), SAME).counts
    b = agree_page(row(other), as_truth(row(one)), SAME).counts
    assert (a.matched, a.same, a.first, a.second) == (b.matched, b.same, b.second, b.first)
    assert a.agreement == b.agreement


def test_each_word_is_listed_with_its_partner():
    page = agree_page(
        row([word("Total"), word("due", 20), word("x", 90)]),
        truth([true("total"), true("dua", 20), true("y", 60)]),
        SAME,
    )
    assert [(w.word.text, w.other, w.same) for w in page.words] == [
        ("Total", "total", True), ("due", "dua", False), ("x", None, False),
    ]  # fmt: skip
    assert page.words[1].likeness == pytest.approx(2 / 3)
    assert tuple(word.text for word in page.unpartnered) == ("y",)
    assert page.counts.agreement == pytest.approx(2 * 1 / 6)
    line = json.loads(json.dumps(page_line(row([]), page)))
    assert line["words"][1]["other"] == "dua"
    assert line["only_in_other"] == ["y"]


def test_do_not_care_of_either_table_is_left_out():
    marked = row([word("a"), word("b", 20)], classes=("ignore", "text"))
    page = agree_page(marked, truth([true("a"), true("b", 20, ignore=True), true("c", 40)]), SAME)
    assert page.words == ()
    assert tuple(word.text for word in page.unpartnered) == ("a", "c")


def test_pages_without_words_agree():
    assert agree_page(row([]), truth([]), SAME).counts.agreement == 1


def test_agreement_is_summed_by_script_and_by_column():
    pages = [
        (row([word("品阳", conf=0.9), word("abc", 30)], input_row='{"lang": "ko"}'),
         truth([true("평양"), true("abc", 30)])),
    ]  # fmt: skip
    found = agree(pages, normalise=SAME, by="lang")
    assert found.scripts["han"].agreement == 0
    assert found.scripts["latin"].agreement == 1
    assert found.groups["ko"].agreement == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [("한글", "hangul"), ("品阳", "han"), ("カナ", "kana"), ("Total", "latin"), ("é", "latin"), ("No.5", "latin"),
     ("(12)", "digits"), ("½", "digits"), ("--", "symbols"), ("", "symbols"), ("Дом", "other"),
     ("ㄱ", "hangul"), ("𠀋", "han"), ("한글a", "hangul")],
)  # fmt: skip
def test_the_script_of_a_text(text, expected):
    assert script(text) == expected


def triples(documents=40):
    """Confidence knows nothing here, the other table knows everything."""
    for number in range(documents):
        right = number % 2 == 0
        words = [Word("abc" if right else "xyz", box(0, 0), (number * 7 % 10) / 10)]
        yield row(words, key=str(number)), truth([true("abc")]), truth([true("abc")])


def test_the_sign_that_knows_more_has_the_larger_area_and_a_gain_above_0():
    found = signals(triples(), normalise=SAME)
    areas = {signal.name: signal.area for signal in found.signals}
    assert areas["agreement"] == pytest.approx(0.75)
    assert areas["agreement"] > areas["confidence"]
    gain, spread = found.gains["agreement"]
    assert gain == pytest.approx(areas["agreement"] - areas["confidence"])
    assert 0 < spread.low < gain < spread.high
    assert (found.words, found.documents) == (40, 40)


def test_only_words_are_judged_and_do_not_care_is_not():
    line = (row([word("a")]), truth([true("a")]), truth([true("a")], level=Level.LINE))
    assert signals([line], normalise=SAME) is None
    marked = row([word("no"), word("a", 20)], classes=("ignore", "text"))
    found = signals([(marked, truth([true("a", 20)]), truth([true("a", 20)]))], normalise=SAME)
    assert found.words == 1
    assert found.signals[0].curve[0].precision == 1
