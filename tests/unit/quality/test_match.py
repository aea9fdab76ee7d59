from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.labels import Polygon, Word
from ocrlabel.quality import match as module
from ocrlabel.quality.match import GAP, Match, ious, lines, match, near, shapes
from tests.support.quality_pages import apart, box, polygons, some, word

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


def iou(one: Polygon, other: Polygon) -> float:
    found = ious(shapes([one]), shapes([other]))
    return float(found.values[0]) if len(found.values) else 0.0


@some
@given(polygons, polygons)
def test_iou_is_the_same_both_ways_and_between_0_and_1(one, other):
    assert iou(one, other) == pytest.approx(iou(other, one))
    assert 0 <= iou(one, other) <= 1 + 1e-9


@some
@given(polygons)
def test_a_polygon_with_area_is_itself_and_one_without_is_nothing(polygon):
    area = shapes([polygon]).areas[0]
    assert iou(polygon, polygon) == pytest.approx(1.0 if area > 0 else 0.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (box(0, 0), box(0, 0), 1),
        (box(0, 0), box(5, 0), 50 / 150),
        (box(0, 0), box(10, 0), 0),  # they only touch
        (box(0, 0, 20, 20), box(5, 5), 100 / 400),  # one inside the other
        (box(0, 0), ((0, 0), (10, 0), (0, 10)), 0.5),  # half of it
        (((5, 0), (10, 5), (5, 10), (0, 5)), box(0, 0), 0.5),  # a square on its corner
        (((0, 0), (10, 10), (10, 0), (0, 10)), box(0, 0), 0.5),  # crosses itself: two triangles
        (((10, 10), (0, 10), (0, 0), (10, 0)), box(0, 0), 1),  # upside down
        (((0, 10), (0, 0), (10, 0), (10, 10)), box(0, 0), 1),  # begins bottom left
    ],
)
def test_iou_of_known_pairs(one, other, expected):
    assert iou(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    "polygon",
    [(), ((1, 1),), ((0, 0), (5, 5)), box(3, 3, 0, 5), box(3, 3, 5, 0), ((0, 0),) * 4,
     ((0, 0), (math.nan, 0), (5, 5), (0, 5)), ((0, 0), (math.inf, 0), (5, 5), (0, 5)),
     ((0, 0), (2, 2), (4, 4), (6, 6))],
)  # fmt: skip
def test_polygons_without_area_overlap_nothing(polygon):
    assert iou(polygon, box(0, 0, 100, 100)) == 0
    assert shapes([polygon]).areas[0] == 0


def test_many_boxes_are_paired_by_a_tree_as_they_are_one_by_one(monkeypatch):
    chance = np.random.default_rng(1)
    low = chance.uniform(0, 100, (40, 2))
    bounds = np.hstack((low, low + chance.uniform(0, 20, (40, 2))))
    all_pairs = set(zip(*(axis.tolist() for axis in near(bounds, bounds)), strict=True))
    monkeypatch.setattr(module, "_ALL_PAIRS", 0)
    by_tree = set(zip(*(axis.tolist() for axis in near(bounds, bounds)), strict=True))
    assert by_tree == all_pairs


@some
@given(st.lists(polygons, max_size=6), st.lists(polygons, max_size=6))
def test_a_page_of_polygons_gives_what_each_pair_gives(these, those):
    found = ious(shapes(these), shapes(those))
    table = {
        (i, j): value
        for i, j, value in zip(
            found.rows.tolist(), found.columns.tolist(), found.values.tolist(), strict=True
        )
    }
    for i, one in enumerate(these):
        for j, other in enumerate(those):
            assert table.get((i, j), 0.0) == pytest.approx(iou(one, other))


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
