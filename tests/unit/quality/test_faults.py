from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Word
from ocrlabel.quality import faults
from ocrlabel.quality.evaluate import count, evaluate
from ocrlabel.quality.faults import (
    INVENTED,
    KINDS,
    MISREAD,
    MISSED,
    RIGHT,
    UNJUDGED,
    ComparedPage,
    Confusions,
    confused,
)  # fmt: skip
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import Level
from tests.support.quality_pages import (
    apart,
    as_truth_words,
    box,
    row,
    some,
    texts,
    true,
    truth,
    word,
)  # fmt: skip

SAME = Normalisation()


def compared(true_words, read, **more) -> ComparedPage:
    page = truth(true_words, **more)
    return ComparedPage(row(read), page, count(page, tuple(read), SAME)[1])


def told(page: ComparedPage) -> dict[str, list[tuple[str, str]]]:
    return {kind: [one.texts for one in page.of_kind(kind)] for kind in KINDS if page.of_kind(kind)}


def test_every_word_of_both_sides_is_right_or_told_with_what_is_wrong():
    there = [
        true("Total"),
        true("due", 20),
        true("missing", 40),
        true("", 60),
        true("", 80, ignore=True),
    ]
    read = [word("total"), word("dve", 20), word("extra", 100), word("any", 60), word("stamp", 80)]
    page = compared(there, read)
    assert told(page) == {
        RIGHT: [("Total", "total")], MISREAD: [("due", "dve")], MISSED: [("missing", "")],
        INVENTED: [("", "extra")], UNJUDGED: [("", "any")],
    }  # fmt: skip
    assert [one.texts for one in page.all_verdicts if one.kind == UNJUDGED] == [
        ("", "any"), ("", "stamp"), ("", ""),
    ]  # fmt: skip


def test_words_that_were_joined_into_lines_are_told_as_lines():
    page = compared([true("Total due", 0, 0, 47)], [word("Total", 0, 0, 22), word("dve", 27, 0, 20)],
                    level=Level.LINE)  # fmt: skip
    assert told(page) == {MISREAD: [("Total due", "Total dve")]}
    assert page.all_verdicts == page.verdicts


@some
@given(apart(), apart())
def test_what_is_told_of_a_page_is_what_its_counts_say(there, read):
    page = compared(as_truth_words(there), read)
    (found,) = evaluate([(page.row, page.truth)], normalise=SAME)
    lengths = {kind: len(page.of_kind(kind)) for kind in KINDS}
    counts = found.counts
    assert (counts.missed, counts.invented, counts.misread, counts.right) == (
        lengths[MISSED], lengths[INVENTED], lengths[MISREAD], lengths[RIGHT],
    )  # fmt: skip
    assert (
        found.wrong_pages
        == len(found.worst)
        == (found.counts.right < max(counts.truth, counts.read))
    )


@some
@given(
    st.lists(st.integers(0, 5), max_size=12), st.integers(1, 4), st.randoms(use_true_random=False)
)
def test_the_worst_pages_are_the_same_in_any_order_of_the_table(wrongs, places, chance):
    pairs = [
        (row([word("x", 20 * at) for at in range(wrong)], key=f"{n:02}"), truth(key=f"{n:02}"))
        for n, wrong in enumerate(wrongs)
    ]
    best = sorted((-wrong, f"{n:02}") for n, wrong in enumerate(wrongs) if wrong)
    for _ in range(2):
        for result in evaluate(pairs, normalise=SAME, worst=places):
            kept = [(-len(page.verdicts), page.row.id) for page in result.worst]
            assert kept == best[:places]
            assert result.wrong_pages == len(best)
        chance.shuffle(pairs)


def test_pages_that_are_all_right_are_in_no_list():
    (found,) = evaluate([(row([word("a")]), truth([true("A")]))], normalise=SAME)
    assert (found.worst, found.wrong_pages, found.confusions) == ((), 0, ())


@pytest.mark.parametrize(
    ("there", "read", "pairs"),
    [
        ("total", "tota1", [("l", "1")]),
        ("2026", "2O26", [("0", "O")]),
        ("modern", "modem", [("rn", "m")]),
        ("1,200", "1200", [(",", "")]),
        ("1200", "1,200", [("", ",")]),
        ("00", "OO", [("0", "O"), ("0", "O")]),
        ("한글", "힌글", [("한", "힌")]),
        ("total", "x", []),
        ("same", "same", []),
    ],
)
def test_what_was_read_for_what(there, read, pairs):
    assert list(confused(there, read)) == pairs


@some
@given(texts, texts)
def test_a_confusion_is_never_of_a_character_with_itself_and_short(there, read):
    for one, other in confused(there, read):
        assert one != other
        assert max(len(one), len(other)) <= 3
        assert one in there
        assert other in read


def test_confusions_stay_few_and_the_frequent_ones_stay(monkeypatch):
    monkeypatch.setattr(faults, "_MOST_CONFUSIONS", 10)
    found = Confusions()
    for n in range(1000):
        found.add("l", "1")
        found.add("a", chr(0xAC00 + n))
    assert len(found.counts) <= 20
    assert found.most(1) == (("l", "1", 1000),)


def test_confusions_are_of_texts_as_they_are_compared():
    pair = (
        row([word("TOTA1"), Word("ÉTE", box(20, 0), 0.5)]),
        truth([true("total"), true("été", 20)]),
    )
    (found,) = evaluate([pair], normalise=SAME)
    assert found.confusions == (("l", "1", 1), ("é", "e", 1))
