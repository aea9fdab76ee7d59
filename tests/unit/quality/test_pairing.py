from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.errors import DatasetError
from ocrlabel.quality import pairing
from ocrlabel.quality.pairing import PageStore, Unpaired, in_pixels_of, pair
from ocrlabel.quality.truth import TruthWord
from tests.support.quality_pages import a_few, box, row, true, truth

CP949 = r"\xbf\xb5/\xb0\xa1.png"  # how a run calls "영/가.png" in the bytes of Korean Windows


def nfd(name):
    return unicodedata.normalize("NFD", name)


def test_where_both_forms_of_a_name_are_files_each_has_its_own_truth():
    names = ["é.png", nfd("é.png")]
    found, unpaired = pairs([row(key=name) for name in names], [truth(key=name) for name in names])
    assert [one for one, *_ in found] == names
    assert not unpaired


def pairs(rows, pages):
    unpaired = Unpaired()
    with PageStore(pages) as store:
        found = [
            (r.id, r.image_path, t.name.path or t.name.id) for r, t in pair(rows, store, unpaired)
        ]
    return found, dict(unpaired.counts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"key": "a"}, {"key": "a"}),
        ({"key": "1", "sha256": "f0"}, {"key": "2", "sha256": "f0"}),
        ({"key": "1", "path": "data/r/a.png"}, {"key": "", "path": "r/a.png"}),
        ({"key": "1", "path": "r/a.png"}, {"key": "", "path": "s3://b/data/r/a.png"}),
        ({"key": "1", "path": "x/a.png"}, {"key": "", "path": "y/a.png"}),  # moved
        ({"key": "1", "path": "x/img_1.jpg"}, {"key": "img_1", "path": "img_1"}),
        ({"key": "1", "path": "x/a.b.1.jpg"}, {"key": "", "path": "a.b.1"}),
        ({"key": "1", "path": "x\\a.png"}, {"key": "", "path": "x/a.png"}),
        ({"key": "a.png"}, {"key": "", "path": "deep/a.png"}),
        ({"key": nfd("영수증.png")}, {"key": "영수증.png"}),
        ({"key": "영수증.png"}, {"key": nfd("영수증"), "path": nfd("영수증")}),
        ({"key": "1", "path": nfd("가게/é.png")}, {"key": "", "path": "가게/é.png"}),
        ({"key": CP949}, {"key": "영/가.png"}),
        ({"key": "1", "path": CP949}, {"key": "", "path": nfd("영/가")}),
    ],
)
def test_a_row_finds_its_truth(one, other):
    found, unpaired = pairs([row(**one)], [truth(**other), truth(key="zz", path="zz/other.png")])
    assert len(found) == 1
    assert unpaired == {pairing.NO_ROW: 1}


def test_a_truth_of_a_file_a_page_is_that_of_the_pages_of_a_document():
    names = ("a-p1", "a-p2", "single-p1")
    pages = [truth(key=name, path=name) for name in names]
    rows = [replace(row(key="1", path="r/a.pdf", page=n), page_count=2) for n in (2, 1)]
    found, unpaired = pairs([*rows, row(key="2", path="r/single.png")], pages)
    assert [name for _, _, name in found] == ["a-p2", "a-p1"]
    assert unpaired == {pairing.NO_TRUTH: 1, pairing.NO_ROW: 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"key": "a", "page": 2}, {"key": "a", "page": 1}),
        ({"key": "1", "path": "a.png"}, {"key": "", "path": "a.jpg"}),
        ({"key": "1", "path": "a.png"}, {"key": "", "path": "ba.png"}),
    ],
)
def test_what_does_not_fit_is_not_paired(one, other):
    found, unpaired = pairs([row(**one)], [truth(**other)])
    assert not found
    assert unpaired == {pairing.NO_TRUTH: 1, pairing.NO_ROW: 1}


def test_the_longest_common_path_wins_and_a_tie_is_not_guessed():
    pages = [truth(key="", path="train/r/a.png"), truth(key="", path="test/r/a.png")]
    found, _ = pairs([row(key="1", path="data/test/r/a.png")], pages)
    assert found == [("1", "data/test/r/a.png", "test/r/a.png")]
    found, unpaired = pairs([row(key="1", path="r/a.png")], pages)
    assert not found
    assert unpaired == {pairing.AMBIGUOUS: 1, pairing.NO_ROW: 2}


def test_copies_of_one_image_each_find_their_own_row_of_truth():
    pages = [truth(key=key, sha256="f0") for key in "ab"]
    found, unpaired = pairs([row(key=key, sha256="f0") for key in "ba"], pages)
    assert [(one, other) for one, _, other in found] == [("b", "b"), ("a", "a")]
    assert not unpaired


def test_a_truth_is_used_once():
    found, unpaired = pairs(
        [row(key="1", path="x/a.png"), row(key="2", path="y/a.png")], [truth(key="", path="a.png")]
    )
    assert [one for one, *_ in found] == ["1"]
    assert unpaired == {pairing.TAKEN: 1}


def test_pages_that_were_given_back_can_be_taken_again():
    with PageStore([truth()]) as store:
        assert [store.take(1), store.take(1)] == [True, False]
        store.give_back()
        assert store.take(1)


def test_two_pages_of_one_name_are_refused():
    with pytest.raises(DatasetError, match=r"t\.jsonl has a page 1 twice, as its pages 1 and 2"):
        PageStore([truth(), truth()], "t.jsonl").__enter__()


def test_the_first_few_without_partner_are_named():
    unpaired = Unpaired()
    for number in range(9):
        unpaired.add("why", f"n{number}")
    assert unpaired.to_json() == {"why": {"count": 9, "examples": [f"n{i}" for i in range(5)]}}


@a_few
@given(st.lists(st.builds(TruthWord, st.text(), st.just(box(1.5, -2)), st.booleans())))
def test_a_page_comes_back_from_the_store_as_it_was(words):
    page = truth(words, key="k", path="p/a.png", sha256="f0", page=3, size=(5, 6))
    with PageStore([page]) as store:
        assert store.page(store.find(page.name)[0]) == page


def test_truth_drawn_at_another_size_is_scaled_to_the_row():
    page = truth([true("a", 10, 20)], size=(100, 200))
    scaled = in_pixels_of(row(size=(50, 100)), page)
    assert scaled.words[0].polygon == box(5, 10, 5, 5)
    assert (scaled.width_px, scaled.height_px) == (50, 100)


def test_a_turned_page_is_not_held_against_its_truth():
    assert in_pixels_of(row(size=(200, 100)), truth(size=(100, 200))) is None
    found, unpaired = pairs([row(size=(200, 100))], [truth(size=(100, 200))])
    assert not found
    assert unpaired == {pairing.OTHER_SHAPE: 1}


@pytest.mark.parametrize("size", [(0, 0), (100, 200)])
def test_truth_of_unknown_or_equal_size_stays_as_it_is(size):
    page = truth([true("a")], size=(100, 200))
    assert in_pixels_of(row(size=size), page) is page


def test_sizes_that_differ_by_rounding_are_one_shape():
    assert in_pixels_of(row(size=(51, 10)), truth(size=(100, 20))) is not None
