from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engine import Answer
from ocrlabel.engines.upstage_answer import read_answer
from ocrlabel.errors import BadAnswer, Throttled
from ocrlabel.labels import Document, FailureClass

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "upstage-recorded"
GOLDEN = Path(__file__).parents[2] / "golden" / "upstage"
BOX = [(10, 10), (50, 12), (50, 30), (9, 28)]


def word(text="hello", corners=BOX, **more):
    vertices = [{"x": x, "y": y} for x, y in corners]
    return {"id": 0, "text": text, "confidence": 0.5, "boundingBox": {"vertices": vertices}} | more


def page(*words, number=0, width=100, height=200, **more):
    return {
        "id": number, "width": width, "height": height, "confidence": 0.75, "text": "", "words": list(words),
    } | more  # fmt: skip


def answer(*pages, **more):
    return {
        "apiVersion": "1.1", "modelVersion": "ocr-260930", "numBilledPages": len(pages), "pages": list(pages),
    } | more  # fmt: skip


def document(pages=1, sizes=((100, 200),)):
    return Document(b"", "png", pages, sizes)


def read(value, of=None) -> Answer:
    return read_answer(json.dumps(value).encode(), of or document())


def only_word(value, of=None):
    (found,) = read(value, of).pages[0].words
    return found


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")) or [None])
def test_a_recorded_answer_becomes_labels_word_for_word_and_point_for_point(name):
    if name is None:
        pytest.skip("no recorded answers at ../shared/data/upstage-recorded")
    raw = (RECORDED / f"{name}.json").read_bytes()
    truth = json.loads(raw)
    sizes = tuple((p["width"], p["height"]) for p in truth["pages"])

    read = read_answer(raw, Document(b"", "png", len(sizes), sizes), status=200)

    assert read.raw == raw
    assert read.model_version == truth["modelVersion"]
    assert read.billed_pages == truth["numBilledPages"]
    assert [(p.number, p.width_px, p.height_px, p.confidence) for p in read.pages] == [
        (i, p["width"], p["height"], p["confidence"]) for i, p in enumerate(truth["pages"], start=1)
    ]
    assert [
        (w.text, w.polygon, w.confidence) for p in read.pages for w in p.words
    ] == [
        (w["text"], tuple((v["x"], v["y"]) for v in w["boundingBox"]["vertices"]), w["confidence"])
        for p in truth["pages"] for w in p["words"] if w["text"]
    ]  # fmt: skip


def test_the_documented_shape_becomes_the_labels_written_beside_it():
    raw = (GOLDEN / "two_pages.json").read_bytes()
    read = read_answer(raw, document(pages=2, sizes=()))
    expected = json.loads((GOLDEN / "two_pages.labels.json").read_bytes())
    assert {
        "model_version": read.model_version,
        "billed_pages": read.billed_pages,
        "pages": [
            asdict(p)
            | {"words": [asdict(w) | {"polygon": [list(c) for c in w.polygon]} for w in p.words]}
            for p in read.pages
        ],
    } == expected


def test_words_without_text_are_left_out_and_inner_spaces_stay():
    unseen = [word(text) for text in ("", "  ", "\u200b", "\ufeff\u2060", "\u3164")]
    read_page = read(answer(page(*unseen, word("108 ]"), word(" x "), word("a\u200bb")))).pages[0]
    assert [w.text for w in read_page.words] == ["108 ]", " x ", "a\u200bb"]


def test_a_page_without_words_is_an_empty_page():
    assert read(answer(page())).pages[0].words == ()


def test_a_page_that_has_no_word_list_at_all_is_an_empty_page():
    blank = page()
    del blank["words"]
    assert read(answer(blank)).pages[0].words == ()


def test_vertices_may_be_integers_or_floats():
    found = only_word(answer(page(word(corners=[(1, 2), (3.5, 2), (3.5, 9.25), (1, 9)]))))
    assert found.polygon == ((1.0, 2.0), (3.5, 2.0), (3.5, 9.25), (1.0, 9.0))


def test_polygons_outside_the_page_are_kept_as_they_are():
    assert only_word(answer(page(word(corners=[(-5, 0), (900, 0), (900, 9), (-5, 9)])))).polygon[
        0
    ] == (-5, 0)


def test_a_page_answered_at_half_the_size_is_scaled_to_the_image_that_was_sent():
    half = answer(page(word(), width=50, height=100))
    read_page = read(half).pages[0]
    assert (read_page.width_px, read_page.height_px) == (100, 200)
    assert read_page.words[0].polygon == ((20, 20), (100, 24), (100, 60), (18, 56))


def test_a_page_rounded_to_a_thin_strip_is_still_the_same_page():
    strip = answer(page(word(), width=500, height=3))
    assert read(strip, document(sizes=((2000, 10),))).pages[0].height_px == 10


def test_a_page_turned_by_the_service_is_refused_not_stretched():
    with pytest.raises(BadAnswer, match="200x100 in the answer, 100x200 was sent"):
        read(answer(page(word(), width=200, height=100)))


def test_a_raster_size_the_engine_decides_is_taken_from_the_answer():
    read_page = read(answer(page(word(), width=1242, height=1755)), document(sizes=())).pages[0]
    assert (read_page.width_px, read_page.height_px) == (1242, 1755)


def test_a_page_without_a_size_has_the_size_that_was_sent():
    assert read(answer(page(word(), width=None))).pages[0].width_px == 100


def test_a_page_without_any_size_is_refused():
    with pytest.raises(BadAnswer, match="no width"):
        read(answer(page(word(), width=None)), document(sizes=()))


@pytest.mark.parametrize(
    "corners", [[], [(1, 1)], [(1, 1), (9, 1)], [(1, 1), (1, 5), (1, 9)]]
)  # fmt: skip
def test_a_word_that_marks_no_area_costs_only_itself(corners):
    assert [
        w.text for w in read(answer(page(word("lost", corners), word("kept")))).pages[0].words
    ] == ["kept"]


@pytest.mark.parametrize("corners", [[(5, 5)] * 4, [(1, 1), (3, 3), (9, 9), (4, 4)]])
def test_four_corners_without_an_area_are_kept_for_others_to_tell(corners):
    assert only_word(answer(page(word(corners=corners)))).polygon == tuple(corners)


def test_a_word_without_a_box_costs_only_itself():
    lost = [word("lost", boundingBox=None), word("lost", boundingBox={}), {"text": "lost"}]
    assert [w.text for w in read(answer(page(*lost, word("kept")))).pages[0].words] == ["kept"]


@pytest.mark.parametrize(
    "corners",
    [[(1, 5), (9, 1), (8, 9)], [(1, 1), (9, 9)], [(1, 2), (5, 1), (9, 2), (9, 9), (1, 9)]],
)
def test_other_than_four_corners_become_the_upright_box_around_them(corners):
    assert only_word(answer(page(word(corners=corners)))).polygon == (
        (1, 1),
        (9, 1),
        (9, 9),
        (1, 9),
    )


def test_half_a_vertex_is_no_vertex():
    broken = word("w", corners=[])
    broken["boundingBox"]["vertices"] = [{"x": 1}, {"x": 1, "y": 2}, {"y": 7}, {"x": 9, "y": 9}]
    assert only_word(answer(page(broken))).polygon == ((1, 2), (9, 2), (9, 9), (1, 9))


def test_fields_nobody_knows_are_ignored():
    assert only_word(answer(page(word(lang="ko"), rotation=3), usage={"pages": 1})).text == "hello"


def test_a_missing_confidence_is_none_not_zero():
    bare = word()
    del bare["confidence"]
    read_page = read(answer(page(bare, confidence=None))).pages[0]
    assert (read_page.words[0].confidence, read_page.confidence) == (None, None)


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_another_number_of_pages_than_counted_is_incomplete_with_what_it_cost(pages):
    with pytest.raises(BadAnswer) as caught:
        read(
            answer(*(page(number=i) for i in range(pages)), numBilledPages=2),
            document(pages=2, sizes=()),
        )
    assert caught.value.failure is FailureClass.INCOMPLETE
    assert caught.value.billed_pages == 2


def test_a_document_whose_pages_nobody_could_count_has_as_many_as_are_answered():
    assert len(read(answer(page(), page(number=1)), document(pages=None, sizes=())).pages) == 2


def test_pages_out_of_order_are_put_in_order():
    read_pages = read(
        answer(page(word("b"), number=1), page(word("a"), number=0)), document(2, ())
    ).pages
    assert [(p.number, p.words[0].text) for p in read_pages] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("ids", [(0, 0), (0, 2), (1, 3), (5, 6)])
def test_pages_that_repeat_or_leave_a_gap_are_incomplete(ids):
    with pytest.raises(BadAnswer) as caught:
        read(answer(*(page(number=i) for i in ids)), document(2, ()))
    assert caught.value.failure is FailureClass.INCOMPLETE


@pytest.mark.parametrize("billed", [None, -1, True, "1", 1.5, 10**30])
def test_without_a_believable_bill_every_page_counts_as_billed(billed):
    assert (
        read(answer(page(), page(number=1), numBilledPages=billed), document(2, ())).billed_pages
        == 2
    )


@pytest.mark.parametrize(
    "bad",
    [
        page(word(corners=[("1", 2), (3, 2), (3, 4), (1, 4)])),
        page(word(corners=[(10**40, 2), (3, 2), (3, 4), (1, 4)])),
        page(word(corners=[(True, 2), (3, 2), (3, 4), (1, 4)])),
        page(word(text=None)),
        page(word(text="\ud800")),
        page(word(confidence=98.7)),
        page(word(confidence="high")),
        page(word(boundingBox=[1])),
        page("word"),
        page(words={}),
        page(width=0),
        page(width="100"),
    ],
)
def test_values_of_the_wrong_kind_are_a_bad_answer(bad):
    with pytest.raises(BadAnswer):
        read(answer(bad))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html><body>Bad gateway</body></html>", b'{"pages": [', b"null", b"[]", b"7", b"{}", b"\xff\xfe\x00",
        b'{"pages": [{"width": NaN, "height": 1}]}', b'{"pages": [{"width": 1e999, "height": 1}]}',
        b"[" * 200_000, b'{"pages": ' + b"9" * 5000 + b"}",
        b'{"error": {"message": "oh", "type": "x", "code": "y"}}', b'{"code": 400, "message": "oh"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_answer_is_a_bad_answer(body):
    with pytest.raises(BadAnswer):
        read_answer(body, document())


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "slow down", "type": "too_many_requests", "code": "x"}},
        {"error": {"message": "slow down", "type": "x", "code": "too_many_requests"}},
        {"code": 429, "message": "slow down"},
    ],
)
def test_too_many_requests_under_another_status_is_throttling(body):
    with pytest.raises(Throttled, match="slow down"):
        read(body)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = [
    ("pages",), ("numBilledPages",), ("modelVersion",), ("error",), ("code",),
    *(("pages", 0, name) for name in ("id", "width", "height", "confidence", "words")),
    *(("pages", 0, "words", 0, name) for name in ("text", "confidence", "boundingBox")),
    ("pages", 0, "words", 0, "boundingBox", "vertices"),
    ("pages", 0, "words", 0, "boundingBox", "vertices", 0),
    ("pages", 0, "words", 0, "boundingBox", "vertices", 0, "x"),
]  # fmt: skip


def is_read_or_refused(raw: bytes) -> None:
    for of in (document(), document(pages=None, sizes=())):
        try:
            read = read_answer(raw, of)
        except (BadAnswer, Throttled) as error:
            error.message.encode("utf-8")
        else:
            assert read.pages
            assert all(len(w.polygon) == 4 and w.text.strip() for p in read.pages for w in p.words)


@given(anything)
def test_arbitrary_json_is_read_or_refused_never_a_crash(value):
    is_read_or_refused(json.dumps(value).encode())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_never_a_crash(raw):
    is_read_or_refused(raw)


@given(st.sampled_from(PATHS), anything)
def test_an_answer_with_anything_in_one_place_is_read_or_refused_never_a_crash(path, value):
    odd = answer(page(word()))
    place = odd
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    is_read_or_refused(json.dumps(odd).encode())


@given(st.data())
def test_an_answer_cut_anywhere_is_a_bad_answer(data):
    whole = json.dumps(answer(page(word()))).encode()
    with pytest.raises(BadAnswer):
        read_answer(whole[: data.draw(st.integers(0, len(whole) - 1))], document())
