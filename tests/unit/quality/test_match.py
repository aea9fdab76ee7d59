from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.quality.match import Match, match
from tests.support.quality_pages import box, polygons, some

GENERATED = Path(__file__).with_name("cleval_values.json")


def counts(found: Match) -> tuple[int, int, int]:
    return len(found.pairs), len(found.cared_truth), len(found.cared_read)


def icdar(truth, ignored, read):
    """The ICDAR 2015 script's rule as it is published, pair by pair in the order of the files."""
    true = [shapely.Polygon(p) for p in truth]
    got = [shapely.Polygon(p) for p in read]
    regions = [polygon for polygon, skip in zip(true, ignored, strict=True) if skip]
    left_out = {
        j
        for j, polygon in enumerate(got)
        if any(polygon.intersection(region).area / polygon.area > 0.5 for region in regions)
    }
    taken: set[int] = set()
    matched = 0
    for one, skip in zip(true, ignored, strict=True):
        for j, other in enumerate(got):
            if skip or j in taken or j in left_out:
                continue
            if one.intersection(other).area / one.union(other).area > 0.5:
                taken.add(j)
                matched += 1
                break
    return matched, len(true) - len(regions), len(got) - len(left_out)


# Hand-made pages with what the ICDAR 2015 script gives for them: matched, cared truth, cared read.
KNOWN = {
    "one word read": ([box(0, 0)], [False], [box(1, 0)], (1, 1, 1)),
    "an IoU of exactly one half is no match": ([box(0, 0, 20)], [False], [box(0, 0, 10)], (0, 1, 1)),
    "two boxes on one word: one match": ([box(0, 0)], [False], [box(0, 0), box(0, 0)], (1, 1, 2)),
    "a split word is not matched": ([box(0, 0, 40)], [False], [box(0, 0, 19), box(21, 0, 19)], (0, 1, 2)),
    "merged words are not matched": ([box(0, 0, 19), box(21, 0, 19)], [False] * 2, [box(0, 0, 40)], (0, 2, 1)),
    "read inside do-not-care is left out": ([box(0, 0, 40)], [True], [box(3, 0)], (0, 0, 0)),
    "half inside do-not-care is not inside": ([box(0, 0, 40)], [True], [box(35, 0)], (0, 0, 1)),
    "left out although it is a word's box": (
        [box(0, 0), box(0, 0, 12)], [False, True], [box(0, 0)], (0, 1, 0),
    ),
    "an empty page": ([], [], [], (0, 0, 0)),
    "only false alarms": ([], [], [box(0, 0)], (0, 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_known_pages_are_matched_as_the_icdar_script_does(name):
    truth, ignored, read, expected = KNOWN[name]
    assert counts(match(truth, ignored, read)) == expected
    assert icdar(truth, ignored, read) == expected


def test_generated_pages_are_counted_as_the_icdar_script_does():
    compared = 0
    for page in json.loads(GENERATED.read_text()):
        truth = [tuple(map(tuple, polygon)) for _, polygon, _ in page["truth"]]
        ignored = [skip for _, _, skip in page["truth"]]
        read = [tuple(map(tuple, polygon)) for _, polygon in page["read"]]
        if all(shapely.Polygon(polygon).is_valid for polygon in truth + read):
            compared += 1
            assert counts(match(truth, ignored, read)) == icdar(truth, ignored, read)
    assert compared > 50


def test_the_better_of_two_boxes_is_the_match_whatever_their_order():
    good, fair = box(0, 0), box(3, 0)
    assert match([box(0, 0)], [False], [fair, good]).pairs[0][:2] == (0, 1)
    assert match([box(0, 0)], [False], [good, fair]).pairs[0][:2] == (0, 0)


def test_a_truth_without_area_is_do_not_care():
    assert counts(match([box(0, 0, 0)], [False], [])) == (0, 0, 0)


def test_a_read_word_without_area_is_a_false_alarm():
    assert counts(match([box(0, 0)], [False], [box(0, 0, 0)])) == (0, 1, 1)


@some
@given(
    st.lists(st.tuples(polygons, st.booleans()), max_size=6),
    st.lists(polygons, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_words_changes_no_count(truth, read, chance):
    before = match([p for p, _ in truth], [skip for _, skip in truth], read)
    chance.shuffle(truth)
    chance.shuffle(read)
    after = match([p for p, _ in truth], [skip for _, skip in truth], read)
    assert counts(before)[1:] == counts(after)[1:]
    assert (
        sorted(round(v, 9) for *_, v in before.pairs)[-1:]
        == sorted(round(v, 9) for *_, v in after.pairs)[-1:]
    )
