"""What every engine that needs no service promises, each with its real parts."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image

from ocrlabel.engine import Answer, Engine
from ocrlabel.engines.image_workers import ImagePreparer
from ocrlabel.engines.rapidocr import rapid_ocr
from ocrlabel.engines.scripted import Scripted
from ocrlabel.engines.tesseract import tesseract
from ocrlabel.engines.upstage import ACCEPTS, UpstageEngine
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass
from ocrlabel.testing import HttpReply, HttpService, check, check_faults
from tests.support.drawn import drawn, encoded

TEXT = encoded(drawn("Invoice total 12.50", "paid in cash"))


class Running:
    """An engine and the loop that it lives in."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.runner = asyncio.Runner()
        self.runner.run(engine.start())

    def read(self, data: bytes) -> Answer:
        async def go() -> Answer:
            document = await self.engine.prepare(data)
            return await self.engine.recognise(document, self.engine.lanes[0].name)

        return self.runner.run(go())

    def close(self) -> None:
        self.runner.run(self.engine.close())
        self.runner.close()


@pytest.fixture(scope="module", params=["rapidocr", "tesseract", "scripted"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    if request.param == "tesseract" and shutil.which("tesseract") is None:
        pytest.skip("no program tesseract: apt-get install tesseract-ocr tesseract-ocr-kor")
    make = {
        "rapidocr": lambda: rapid_ocr(parallel=1),
        "tesseract": lambda: tesseract(parallel=1),
        "scripted": Scripted,
    }[request.param]
    running = Running(make())
    assert running.engine.name == request.param
    yield running
    running.close()


def test_it_says_what_changes_its_answers_in_plain_text(running):
    options = running.engine.options
    assert options["version"]
    assert all(isinstance(part, str) for option in options.items() for part in option)


def test_it_has_a_way_in_and_a_limit_on_pages_and_time(running):
    assert running.engine.lanes
    assert running.engine.max_pages >= 1
    assert running.engine.request_timeout_s > 0
    assert running.engine.price_per_page_usd == 0


def test_words_lie_inside_the_page_with_four_corners_and_a_confidence(running):
    page = running.read(TEXT).pages[0]
    assert (page.number, page.width_px, page.height_px) == (1, 640, 200)
    for word in page.words:
        assert word.text.strip() == word.text
        assert word.text
        assert len(word.polygon) == 4
        assert all(0 <= x <= 640 and 0 <= y <= 200 for x, y in word.polygon)
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1


def test_the_same_image_is_read_the_same_twice(running):
    assert running.read(TEXT) == running.read(TEXT)


def test_an_image_turned_by_exif_is_read_upright(running):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(drawn("turned").rotate(90, expand=True), "JPEG", exif=exif)
    page = running.read(data).pages[0]
    assert (page.width_px, page.height_px) == (640, 200)


def test_every_page_of_a_document_is_read_in_order(running):
    pages = [drawn("first"), drawn("second", height=300), drawn("third", width=500)]
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    document = running.runner.run(running.engine.prepare(file.getvalue()))
    assert document.page_count == 3
    answer = running.read(file.getvalue())
    assert [(page.number, page.width_px, page.height_px) for page in answer.pages] == [
        (1, 640, 200),
        (2, 640, 300),
        (3, 500, 200),
    ]


def test_a_pdf_is_read_at_150_dpi(running):
    data = encoded(drawn("on paper"), "PDF", resolution=72)
    page = running.read(data).pages[0]
    if running.engine.name != "scripted":  # which does not draw it
        assert (page.width_px, page.height_px) == pytest.approx((1334, 417), abs=2)


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"", FailureClass.EMPTY),
        (b"<!doctype html><html>", FailureClass.NOT_AN_IMAGE),
        (TEXT[:20], FailureClass.CORRUPT),
    ],
)
def test_what_is_no_image_is_refused_when_it_is_looked_at(running, data, failure):
    with pytest.raises(Unreadable) as refused:
        running.runner.run(running.engine.prepare(data))
    assert refused.value.failure is failure


def test_shapes_that_no_page_has_do_not_stop_it(running):
    for size in [(1, 1), (20_000, 2), (2, 3_000)]:
        page = running.read(encoded(Image.new("L", size, 255))).pages[0]
        assert (page.width_px, page.height_px) == size
        assert all(
            0 <= x <= size[0] and 0 <= y <= size[1] for w in page.words for x, y in w.polygon
        )


def upstage_at(service: HttpService) -> UpstageEngine:
    return UpstageEngine(
        parse_keys("up_key", pages_per_minute=None),
        wall=lambda: 0.0,
        clock=lambda: 0.0,
        base_url=service.url,
        preparer=ImagePreparer(ACCEPTS, parallel=1),
    )


BOX = [{"x": 1, "y": 1}, {"x": 40, "y": 1}, {"x": 40, "y": 9}, {"x": 1, "y": 9}]
WORD = {"id": 0, "text": "Invoice", "confidence": 0.9, "boundingBox": {"vertices": BOX}}
PAGE = {"id": 0, "width": 640, "height": 200, "confidence": 0.9, "text": "", "words": [WORD]}
ANSWER = {"modelVersion": "ocr-1", "numBilledPages": 1, "pages": [PAGE]}


def refusal(status: int, **headers: str) -> HttpReply:
    body = {"error": {"message": "no", "type": "request_error", "code": "refused"}}
    return HttpReply(status, json.dumps(body).encode(), headers)


def test_the_kit_for_engines_of_others_holds_for_ours():
    check(Scripted, TEXT)
    check(lambda: rapid_ocr(parallel=1), TEXT)
    if shutil.which("tesseract"):
        check(lambda: tesseract(parallel=1), TEXT)
    with HttpService(HttpReply(body=json.dumps(ANSWER).encode())) as service:
        check(lambda: upstage_at(service), TEXT)


def test_the_paid_engine_meets_the_kits_faults_with_one_request_each():
    with HttpService(HttpReply(body=json.dumps(ANSWER).encode())) as service:
        check_faults(
            lambda: upstage_at(service),
            TEXT,
            service,
            too_fast=[refusal(429), HttpReply(429, headers={"Retry-After": "7"})],
            refuses_key=[refusal(401), refusal(403)],
            refuses_image=[refusal(415), refusal(413)],
        )
