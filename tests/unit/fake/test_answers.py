from __future__ import annotations

import asyncio
import json
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.errors import ConfigError
from ocrlabel.fake.answers import answer_of, encoded, from_bytes, recorded_in
from ocrlabel.labels import Page, Word

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "upstage-recorded"


def invented(data: bytes, *sizes) -> dict:
    return json.loads(asyncio.run(from_bytes(data, sizes, "ocr-260930")))


def words_of(answer):
    return [word for page in answer["pages"] for word in page["words"]]


@given(
    st.binary(min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=3),
)
def test_an_invented_answer_has_the_habits_of_the_real_ones(data, sizes):
    answer = invented(data, *sizes)

    assert answer["numBilledPages"] == len(sizes) == len(answer["metadata"]["pages"])
    assert [word["id"] for word in words_of(answer)] == list(range(len(words_of(answer))))
    assert answer["text"] == "".join(page["text"] for page in answer["pages"])
    assert answer["confidence"] == min(page["confidence"] for page in answer["pages"])
    for number, (page, (width, height)) in enumerate(zip(answer["pages"], sizes, strict=True)):
        assert (page["id"], page["width"], page["height"]) == (number, width, height)
        assert page["text"].split() == " ".join(word["text"] for word in page["words"]).split()
        assert page["text"].count("\n") == page["text"].count(" \n")
        if page["words"]:
            assert page["confidence"] == pytest.approx(
                fmean(w["confidence"] for w in page["words"]), abs=1e-4
            )
        for word in page["words"]:
            assert all(
                0 <= v["x"] <= width and 0 <= v["y"] <= height
                for v in word["boundingBox"]["vertices"]
            )


def test_equal_bytes_have_equal_answers_and_others_have_others():
    assert invented(b"a", (500, 500)) == invented(b"a", (500, 500)) != invented(b"b", (500, 500))


def test_some_invented_words_have_no_text_and_some_have_a_space_inside():
    texts = [
        w["text"]
        for i in range(300)
        for w in words_of(invented(bytes([i % 256, i // 256]), (800, 1000)))
    ]
    assert 0.005 < texts.count("") / len(texts) < 0.05
    assert "108 ]" in texts


def test_keys_stand_in_alphabetical_order_at_every_level():
    def check(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                check(inner)

    check(invented(b"a", (500, 500), (500, 500)))


@pytest.mark.skipif(
    not RECORDED.is_dir(), reason="no recorded answers at ../shared/data/upstage-recorded"
)
@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_the_words_of_a_recorded_answer_make_the_recorded_answer_again(path):
    truth = json.loads(path.read_bytes())
    pages = [
        Page(p["id"] + 1, p["width"], p["height"], tuple(
            Word(w["text"], tuple((v["x"], v["y"]) for v in w["boundingBox"]["vertices"]), w["confidence"])
            for w in p["words"]
        ))
        for p in truth["pages"]
    ]  # fmt: skip
    made = answer_of(pages, truth["modelVersion"])
    # where lines break is not in the words; everything else must be equal
    for answer in (made, truth):
        answer["text"] = answer["text"].split()
        for page in answer["pages"]:
            page["text"] = page["text"].split()
            page["confidence"] = pytest.approx(page["confidence"], abs=2e-4)
        answer["confidence"] = pytest.approx(answer["confidence"], abs=2e-4)
    assert {k: made[k] for k in made if k != "text"} == {k: truth[k] for k in truth if k != "text"}


def test_a_recorded_answer_is_given_for_its_own_file_and_no_other(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "a.json").write_text(json.dumps({"recorded": "합계"}, indent=4))
    source = recorded_in(tmp_path)
    assert asyncio.run(source(b"one", ((9, 9),), "v")) == encoded({"recorded": "합계"})
    assert b"recorded" not in asyncio.run(source(b"two", ((9, 9),), "v"))


def test_a_folder_without_recorded_answers_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        recorded_in(tmp_path)
