from __future__ import annotations

import asyncio
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocrlabel.engine import Answer, Engine
from ocrlabel.engines.scripted import Scripted, scripted_page
from ocrlabel.errors import BadAnswer, Unreadable
from ocrlabel.labels import Document

PAGE = Document(b"", "png", 1, ((1240, 1754),))


def png(width: int = 40, height: int = 30, shade: int = 0) -> bytes:
    file = BytesIO()
    Image.new("L", (width, height), shade).save(file, "PNG")
    return file.getvalue()


def read(engine: Engine, data: bytes) -> Answer:
    async def go() -> Answer:
        await engine.start()
        answer = await engine.recognise(await engine.prepare(data), engine.lanes[0].name)
        await engine.close()
        return answer

    return asyncio.run(go())


def test_equal_bytes_give_equal_answers_from_two_engines():
    assert read(Scripted(), png()) == read(Scripted(), png())


def test_other_bytes_give_other_words():
    answers = {read(Scripted(), png(shade=shade)).pages for shade in range(20)}
    assert len(answers) > 15


def test_some_pages_have_no_text():
    assert any(not read(Scripted(), png(shade=shade)).pages[0].words for shade in range(60))


@given(
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.integers(1, 3),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
)
def test_every_word_lies_inside_its_page(key, number, width, height):
    page = scripted_page(key, number, width, height)
    assert (page.number, page.width_px, page.height_px) == (number, width, height)
    for word in page.words:
        assert all(0 <= x <= width and 0 <= y <= height for x, y in word.polygon)
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1


def test_the_page_has_the_size_of_the_image():
    page = read(Scripted(), png(123, 77)).pages[0]
    assert (page.width_px, page.height_px) == (123, 77)


def test_what_is_no_image_is_refused_before_it_is_asked():
    with pytest.raises(Unreadable):
        asyncio.run(Scripted().prepare(b"<html>"))


def test_an_engine_with_a_price_bills_its_pages_and_a_free_one_none():
    assert read(Scripted(price_per_page_usd=0.01), png()).billed_pages == 1
    assert read(Scripted(), png()).billed_pages == 0


def test_the_answer_can_be_made_again_from_what_is_kept_of_it():
    engine = Scripted(price_per_page_usd=0.01)
    answer = read(engine, png())
    assert engine.parse(answer.raw, PAGE).pages[0].words
    assert engine.parse(answer.raw, asyncio.run(engine.prepare(png()))) == answer
    with pytest.raises(BadAnswer):
        engine.parse(b"<html>", PAGE)
