"""The door for engines of others: what is let in, and what it may do inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import ocrlabel
from ocrlabel.dataset.labels_table import read_labels
from ocrlabel.engine import (
    Answer,
    BadAnswer,
    ConfigError,
    Document,
    Engine,
    FailureClass,
    KeyRefused,
    Lane,
    NeverSent,
    Page,
    Rejected,
    Throttled,
    Unavailable,
    Unreadable,
    Word,
    http_refusal,
)
from ocrlabel.engines.plugins import checked
from ocrlabel.errors import BudgetReached, EngineUnusable, StoreUnavailable
from ocrlabel.testing import check
from tests.support.drawn import drawn, encoded

IMAGE = encoded(drawn("by somebody else"))
BOX = ((0, 0), (9, 0), (9, 5), (0, 5))


class Panic(BaseException):
    """As the one of a Rust library."""


class Mute(Exception):
    def __str__(self):
        raise ValueError

    __repr__ = __str__


class Own:
    """An engine of a user: one word a page."""

    name = "own"
    options = {"model": "7"}  # noqa: RUF012 -- as a user would write it
    price_per_page_usd = 0.0
    max_pages = 3
    lanes = (Lane("here"),)
    parallel = 2
    request_timeout_s = 5.0

    def __init__(self, does=None):
        self.does = does

    async def start(self): ...

    async def prepare(self, data):
        return Document(data, "png", 1, ((640, 200),))

    async def recognise(self, document, lane):
        return self.does() if self.does else self.parse(b"word", document)

    def parse(self, raw, document):
        return page_of(Word(raw.decode(), BOX, 0.5))

    async def close(self): ...

    async def no_close(self):
        raise RuntimeError("stuck")

    async def cancels(self, document, lane):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)


def page_of(*words, number=1, width_px=640):
    return Answer((Page(number, width_px, 200, words),), "own 7")


def raising(error):
    def does():
        raise error

    return does


def without(name):
    class Lacking(Own):
        def __getattribute__(self, asked):
            if asked == name:
                raise AttributeError(asked)
            return super().__getattribute__(asked)

    return Lacking()


def with_(**members):
    engine = Own()
    vars(engine).update(members)
    return engine


@pytest.mark.parametrize(
    "member",
    [
        "name",
        "options",
        "price_per_page_usd",
        "max_pages",
        "lanes",
        "parallel",
        "request_timeout_s",
        "start",
        "prepare",
        "recognise",
        "parse",
        "close",
    ],
)
def test_what_lacks_a_member_is_no_engine_and_the_sentence_names_it(member):
    with pytest.raises(ConfigError, match=rf"Lacking is no engine(.|\n)*{member} is missing"):
        checked(without(member))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", "upstage"),
        ("name", "auto"),
        ("name", "With Blank"),
        ("name", 7),
        ("options", {"model": 7}),
        ("options", {"model": "\ud800"}),
        ("lanes", (Lane("\ud800"),)),
        ("options", None),
        ("price_per_page_usd", None),
        ("price_per_page_usd", -0.1),
        ("price_per_page_usd", math.nan),
        ("max_pages", 0),
        ("max_pages", None),
        ("lanes", ()),
        ("lanes", ("key",)),
        ("lanes", (Lane("a"), Lane("a"))),
        ("lanes", (Lane("a", math.nan),)),
        ("lanes", (Lane("a", math.inf),)),
        ("lanes", (Lane("a", "3"),)),
        ("lanes", (Lane(7),)),
        pytest.param("price_per_page_usd", 10**400, id="price beyond a float"),
        ("max_pages", 10**12),
        ("parallel", 0),
        ("request_timeout_s", 0),
        ("recognise", lambda document, lane: None),
        ("parse", "a text"),
    ],
)
def test_a_member_that_breaks_the_contract_is_named(member, value):
    with pytest.raises(ConfigError, match=f"\n  {member} is"):
        checked(with_(**{member: value}))


def recognised(does):
    engine = checked(Own(does))
    return asyncio.run(engine.recognise(Document(b"", "png", 1, ((640, 200),)), "here"))


def test_numbers_of_numpy_become_plain_ones():
    corners = np.array(BOX, dtype=np.float32)
    answer = recognised(
        lambda: page_of(Word("a", corners, np.float32(0.5)), width_px=np.int64(640))
    )
    (page,) = answer.pages
    assert page == Page(1, 640, 200, (Word("a", BOX, 0.5),))
    assert {type(value) for corner in page.words[0].polygon for value in corner} == {float}
    assert type(page.width_px) is int
    assert type(page.words[0].confidence) is float


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda: None, "gave nothing, no Answer"),
        (lambda: [Word("a", BOX, 0.5)], "gave a list, no Answer"),
        (lambda: Answer((), "own 7"), "no page"),
        (lambda: page_of(number=2), "page 2"),
        (lambda: page_of(width_px=0), "0 x 200 px"),
        (lambda: page_of(Word("a", ((0, 0), (1, 1)), 0.5)), "three corners"),
        (lambda: page_of(Word("a", (0, 0, 1, 1), 0.5)), "an Answer with"),
        (lambda: page_of(Word(None, BOX, 0.5)), "no text"),
        (lambda: page_of(Word("a", ((0, 0), (1, 0), (1, math.inf)), 0.5)), "nowhere"),
        (lambda: page_of(Word("a", BOX, 93.5)), "confidence of 93.5"),
        (lambda: page_of(Word("a", BOX, math.nan)), "confidence of nan"),
        (lambda: Answer((Page(1, 9, 9),), "own 7", -1), "billed_pages -1"),
        (lambda: Answer((Page(1, 9, 9),), "own 7", 0, "text"), "raw as a str"),
        (lambda: Answer((Page(1, 9, 9),), "own 7", 0, b"", "200"), "status '200'"),
        (lambda: Answer((Page(1, 9, 9),), "own 7", 0, b"", 10**20), "status 1000"),
        (lambda: Answer((Page(1, 9, 9),), "own 7", 10**12), "billed_pages 1000"),
        (lambda: page_of(width_px=10**12), "x 200 px"),
        (lambda: 1 / 0, "recognise raised ZeroDivisionError"),
        (raising(BudgetReached("mine")), "recognise raised BudgetReached: mine"),
        (raising(StoreUnavailable("mine")), "recognise raised StoreUnavailable: mine"),
        (raising(Panic("rust")), "recognise raised Panic: rust"),
        (raising(Mute()), "recognise raised Mute"),
        (raising(SystemExit(7)), "recognise raised SystemExit: 7"),
        (raising(asyncio.CancelledError()), "raised CancelledError that nobody asked for"),
        (raising(NeverSent()), "raised NeverSent that nobody asked for"),
        (raising(Throttled("slow", retry_after_s="5")), "with retry_after_s '5'"),
        (raising(Throttled("slow", retry_after_s=math.inf)), "with retry_after_s inf"),
        (raising(Throttled("slow", retry_after_s=math.nan)), "with retry_after_s nan"),
        (raising(Unavailable("slow", status="503")), "with status '503'"),
        (raising(Rejected(b"bytes")), "with message b'bytes'"),
        (raising(Rejected(None)), "with message None"),
        (raising(Rejected("no", billed_pages=0.5)), "with billed_pages 0.5"),
        (raising(KeyRefused("no", status="401")), "with status '401'"),
        (raising(Rejected("no", failure="nope")), "with failure 'nope'"),
        (raising(Rejected("no", ends=ValueError)), "with ends <class 'ValueError'>"),
        (raising(Unavailable("no", sent=0)), "with sent 0"),
        (lambda: page_of(Word("a", ((0, 0), (1, 0), (1, 10**400)), 0.5)), "too large"),
        (lambda: Answer(map(raising(KeyError("x")), [1]), "own 7"), "an Answer with"),
    ],
)
def test_an_answer_that_is_none_fails_its_image_with_the_engines_name(gives, said):
    with pytest.raises(Rejected, match="engine own broke its contract: recognise") as refused:
        recognised(gives)
    assert said in refused.value.message
    assert refused.value.failure is FailureClass.BAD_ANSWER
    assert refused.value.ends is EngineUnusable


def test_what_it_makes_of_a_kept_answer_is_an_answer_or_a_bad_one():
    engine, document = checked(Own()), Document(b"", "png", 1, ((640, 200),))
    assert engine.parse(b"word", document) == page_of(Word("word", BOX, 0.5))
    for breaks in (lambda raw, document: None, lambda raw, document: 1 / 0):
        with pytest.raises(BadAnswer, match="engine own broke its contract: parse"):
            checked(with_(parse=breaks)).parse(b"word", document)


def test_an_error_of_the_contract_passes_as_it_is():
    def refuses():
        raise Rejected("too dark")

    with pytest.raises(Rejected, match=r"^too dark$"):
        recognised(refuses)


def test_an_image_that_it_falls_over_is_an_unreadable_image():
    async def prepare(data):
        raise KeyError("exif")

    engine = checked(with_(prepare=prepare))
    with pytest.raises(Unreadable, match="engine own broke its contract: prepare raised KeyError"):
        asyncio.run(engine.prepare(b""))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (Document("text", "png", 1), "data as a str"),
        (Document(b"", "png", "1"), "page_count '1'"),
        (Document(b"", "png", 10**9), "page_count 1000000000, and its max_pages is 3"),
        (Document(b"", "png", 1, ((0, 9),)), "page_sizes_px"),
        (Document(b"", "png", 1, ((9,),)), "page_sizes_px"),
        (Document(b"", "png", 1, None), "page_sizes_px None"),
    ],
)
def test_a_document_that_is_none_is_an_unreadable_image_with_the_engines_name(document, said):
    async def prepare(data):
        return document

    with pytest.raises(Unreadable, match="engine own broke its contract: prepare gave") as refused:
        asyncio.run(checked(with_(prepare=prepare)).prepare(b""))
    assert said in refused.value.message


def test_a_cancelled_question_ends_as_cancelled():
    async def hangs(document, lane):
        await asyncio.sleep(60)

    async def story():
        engine = checked(with_(recognise=hangs))
        async with asyncio.timeout(0.01):
            await engine.recognise(Document(b"", "png", 1), "here")

    with pytest.raises(TimeoutError):
        asyncio.run(story())


def test_a_class_is_no_engine_and_the_sentence_says_what_is():
    with pytest.raises(ConfigError, match=r"Own is a class, no engine: give an object .* Own\(\)"):
        checked(Own)


@pytest.mark.parametrize("member", ["name", "lanes", "notice", "version", "tried"])
def test_a_member_that_raises_is_named(member):
    class Falls(Own): ...

    setattr(Falls, member, property(lambda self: raising(RuntimeError("boom"))()))
    with pytest.raises(ConfigError, match=f"{member} raised RuntimeError: boom"):
        checked(Falls())


def test_members_are_read_once_so_that_what_changes_changes_nothing():
    prices = iter([0.01, 0.02, 0.03])

    class Changes(Own):
        price_per_page_usd = property(lambda self: next(prices))

    engine = checked(Changes())
    assert (engine.price_per_page_usd, next(prices)) == (0.01, 0.02)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("mine"), SystemExit("mine"), Panic("mine")]
)
def test_what_no_engine_may_raise_becomes_a_sentence_with_its_name(error):
    async def falls(*_given):
        raise error

    engine = checked(
        with_(start=falls, prepare=falls, close=falls, parse=lambda raw, document: raising(error)())
    )
    document = Document(b"", "png", 1)
    for kind, method, ends in (
        (ConfigError, lambda: asyncio.run(engine.start()), "does not start"),
        (
            Unreadable,
            lambda: asyncio.run(engine.prepare(b"")),
            "broke its contract: prepare raised",
        ),
        (BadAnswer, lambda: engine.parse(b"", document), "broke its contract: parse raised"),
        (ConfigError, lambda: asyncio.run(engine.close()), "does not close"),
    ):
        with pytest.raises(kind, match=f"^engine own {ends}.*{type(error).__name__}.*: mine"):
            method()


def test_one_that_inherits_may_leave_out_what_has_a_default():
    class Short(Engine):
        name, price_per_page_usd, lanes = "short", 0.01, (Lane("key"),)

        def __init__(self):
            self.request_timeout_s = 5.0

        async def recognise(self, document, lane):
            return self.parse(b"word", document)

        def parse(self, raw, document):
            return page_of(Word(raw.decode(), BOX, 0.5))

    async def story():
        engine = checked(Short())
        assert (dict(engine.options), engine.max_pages, engine.parallel) == ({}, 1, None)
        await engine.start()
        try:
            document = await engine.prepare(IMAGE)
            with pytest.raises(Unreadable, match="web page"):
                await engine.prepare(b"<!doctype html>")
        finally:
            await engine.close()
        return document

    document = asyncio.run(story())
    assert (document.data, document.format, document.page_count) == (IMAGE, "png", 1)


@pytest.mark.parametrize(
    ("status", "kind", "ends"),
    [
        (401, KeyRefused, None),
        (403, KeyRefused, None),
        (429, Throttled, None),
        (400, Rejected, EngineUnusable),
        (415, Rejected, EngineUnusable),
        (302, Unavailable, None),
        (500, Unavailable, None),
    ],
)
def test_a_status_alone_says_whose_fault_it_is(status, kind, ends):
    error = http_refusal(status, "so  it\nis", "7")
    assert type(error) is kind
    assert (error.message, error.status) == (f"HTTP {status} so it is", status)
    assert getattr(error, "ends", None) is ends
    assert getattr(error, "retry_after_s", 7.0) == 7.0
    assert http_refusal(429, "", "Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s is None


class Sound(Own):
    def parse(self, raw, document):
        if b"\x00" in raw:
            raise BadAnswer("no answer")
        return super().parse(raw, document)

    async def prepare(self, data):
        if not data.startswith(b"\x89PNG"):
            raise Unreadable("no image")
        return await super().prepare(data)


class Blocks(Sound):
    async def recognise(self, document, lane):
        until_s = time.monotonic() + 1.2
        while time.monotonic() < until_s:
            ...

        return page_of(Word("word", BOX, 0.5))


def of_boxes(*corners):
    class Odd(Sound):
        async def recognise(self, document, lane):
            return page_of(Word("word", corners, 0.5))

    return Odd


class Unbilled(Sound):
    price_per_page_usd = 0.01


class Dearer(Sound):
    price_per_page_usd = property(lambda self: time.monotonic())


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Sound, ""),
        (Blocks, "recognise held the event loop for 1"),
        (of_boxes((0, 0), (9e9, 0), (9, 9)), "a word lies far off page 1"),
        (of_boxes((0, 0), (0.1, 0), (0.1, 0.2)), "all corners on page 1 are 0 to 1"),
        (Unbilled, "billed_pages is 0, price_per_page_usd 0.01"),
        (Dearer, "two engines that are made alike differ in price_per_page_usd"),
    ],
)
def test_the_kit_notices(engine, said):
    with pytest.raises(AssertionError, match=said) if said else contextlib.nullcontext():
        check(engine, IMAGE)


def test_an_answer_after_its_request_timeout_is_none():
    async def late(document, lane):
        await asyncio.sleep(5)

    engine = checked(with_(recognise=late, request_timeout_s=0.01))
    with pytest.raises(Unavailable, match="recognise gave no answer within its request_timeout_s"):
        asyncio.run(engine.recognise(Document(b"", "png", 1), "here"))


def test_its_version_stands_in_every_images_key_beside_its_options():
    assert checked(Own()).options == {"model": "7"}
    assert checked(Own(), version="own 2").options == {"model": "7", "engine_version": "own 2"}
    assert checked(with_(version="3")).options["engine_version"] == "3"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encoded(drawn(f"page {number}")))
    return folder


def label(images, engine, **more):
    output = images.parent / "labels.parquet"
    more = {"progress": False} | more
    return ocrlabel.label(images, engine=engine, output=output, **more)


def test_an_object_labels_from_python(images):
    result = label(images, Own())
    assert (result.labelled, result.failed) == (4, 0)
    rows = list(read_labels(result.labels_path))
    assert {(row.engine, *(word.text for word in row.words)) for row in rows} == {("own", "word")}


def test_one_page_that_breaks_it_fails_with_its_name_and_the_run_goes_on(images):
    calls = iter(range(100))
    result = label(images, Own(lambda: page_of() if next(calls) < 2 else 1 / 0), max_failures=1)
    assert result.labelled == 2
    assert result.failures == {"bad_answer": 2}


def test_where_it_never_answers_the_run_ends_with_its_name(images):
    with pytest.raises(EngineUnusable, match="engine own broke its contract"):
        label(images, Own(lambda: 1 / 0))


@pytest.mark.parametrize("more", [{}, {"does": lambda: 1 / 0}])
def test_one_that_does_not_close_changes_nothing_of_what_the_run_came_to(images, more):
    engine = Own(**more)
    engine.close = engine.no_close
    if more:
        with pytest.raises(EngineUnusable, match="recognise raised ZeroDivisionError"):
            label(images, engine)
    else:
        assert label(images, engine).complete


def test_one_that_cancels_the_task_that_asks_it_ends_the_run_with_its_name(images):
    engine = Own()
    engine.recognise = engine.cancels
    with pytest.raises(EngineUnusable, match="engine own cancelled the task that asked it"):
        label(images, engine)


def test_what_is_billed_above_the_stated_most_is_counted_and_set_aside_from_then_on(images, capfd):
    class Dear(Own):
        price_per_page_usd, max_pages, lanes = 0.01, 1, (Lane("key", 5),)

        def parse(self, raw, document):
            return replace(page_of(Word(raw.decode(), BOX, 0.5)), billed_pages=4)

    for number in range(4, 12):
        (images / f"{number}.png").write_bytes(encoded(drawn(f"page {number}")))
    with pytest.raises(BudgetReached):
        label(images, Dear(), max_cost=0.22, progress=True)
    said = capfd.readouterr().err
    assert "engine own broke its contract: 4 pages for a request that can cost 1" in said
    record = json.loads((images.parent / "labels_run.json").read_text())
    assert record["account"]["billed_pages"] <= 22


def test_what_is_no_engine_is_refused_before_anything_is_written(images):
    with pytest.raises(ConfigError, match="SimpleNamespace is no engine"):
        label(images, SimpleNamespace(name="half"))
    assert [path.name for path in images.parent.iterdir()] == ["images"]


@pytest.mark.parametrize("more", [{"engine_option": ("level=3",)}, {"language": ("ko",)}])
def test_options_of_engines_by_name_are_refused_for_an_object(images, more):
    with pytest.raises(ConfigError, match="are for an engine by name, not for an object"):
        label(images, Own(), **more)


def test_a_name_that_nobody_brings_is_refused_with_those_that_there_are(images):
    with pytest.raises(ConfigError, match="no such engine; there are auto, upstage, rapidocr"):
        label(images, "upstaeg")


def test_the_door_is_light():
    code = "import sys, ocrlabel.engine; print({'pyarrow', 'httpx2', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
