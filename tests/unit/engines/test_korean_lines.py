"""Lines with Hangul: which of them tesseract is asked for, what makes a word, and where it lies."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from ocrlabel.cli.settings import Keys
from ocrlabel.cli.wiring import choose_engine
from ocrlabel.engines.korean_lines import gap_of_a_word, joined
from ocrlabel.engines.rapidocr import KOREAN_NOTICE, RapidReader, rapid_ocr
from ocrlabel.engines.rapidocr_words import _surely_korean, _surely_latin
from ocrlabel.errors import ConfigError
from ocrlabel.options import Options
from tests.support.drawn import drawn
from tests.support.shared_data import shared_data

GAP_PX = 10.0


def pieces(*texts_and_gaps: str | float) -> list:
    """Pieces 20 px wide, with gaps in px between them."""
    found, left_px = [], 0.0
    for one in texts_and_gaps:
        if isinstance(one, str):
            found.append((one, 0.9, (left_px, 5.0, left_px + 20, 35.0)))
            left_px += 20
        else:
            left_px += one
    return found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("사", 4, "업", 4, "자"), ["사업자"]),
        (("아래와", 12, "같이"), ["아래와", "같이"]),
        (("2026", -10, "년", 12, "4", 3, "월"), ["2026년", "4월"]),
        (("제", 6, "3", 5, "차"), ["제3차"]),
        (("번호", 2, "30291847"), ["번호", "30291847"]),
        (("Invoice", 2, "total"), ["Invoice", "total"]),
        (("(", 5, "목", 6, ")"), ["(목)"]),
        ((), []),
    ],
)
def test_hangul_makes_one_word_with_what_it_nearly_touches(given, words):
    assert [text for text, _, _ in joined(pieces(*given), GAP_PX)] == words


@pytest.mark.parametrize(
    ("inside", "between", "least", "most"),
    [(3, 11, 0.15, 0.28), (10, 18, 0.3, 0.4), (1, 6, 0.17, 0.18), (4, 4, 0.25, 0.25)],
)
def test_how_far_words_are_apart_is_learned_from_the_page(inside, between, least, most):
    line = pieces(*(["가", inside, "나", inside, "다", between] * 4), "라")
    assert least <= gap_of_a_word([(line, 40.0)]) <= most
    assert gap_of_a_word([(line[:3], 40.0)]) == 0.25  # of so few nothing is learned


def test_a_joined_word_covers_its_pieces_and_is_as_sure_as_the_least_sure():
    one, two = ("카", 0.9, (0, 5, 20, 35)), ("드", 0.6, (24, 2, 44, 30))
    assert joined([one, two], GAP_PX) == [("카드", 0.6, (0, 2, 44, 35))]


@pytest.mark.parametrize(
    ("words", "latin"),
    [
        ([("Invoice", 0.99), ("total", 0.97)], True),
        ([("Invoice", 0.99), ("品", 0.97)], True),
        ([("total", 0.99), ("品阳", 0.5)], False),
        ([("12,000", 0.99)], False),
        ([], False),
    ],
)
def test_only_lines_that_are_surely_latin_are_not_looked_at_twice(words, latin):
    assert _surely_latin([(text, sure, []) for text, sure in words]) is latin


@pytest.mark.parametrize(
    ("text", "sure", "other", "korean"),
    [
        ("합계", 0.9, 0.99, True),
        ("합계", 0.3, 0.99, False),
        ("합계", 0.3, 0.5, True),
        ("12,000", 0.9, 0.5, False),
    ],
)
def test_hangul_stands_where_it_is_clearer_than_what_the_other_reader_saw(
    text, sure, other, korean
):
    assert _surely_korean([(text, sure, (0, 0, 1, 1))], other) is korean


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    if shutil.which("tesseract") is None:
        pytest.skip("no program tesseract: apt-get install tesseract-ocr tesseract-ocr-kor")
    return RapidReader(rapid_ocr(languages=("ko",)).options, threads=1)


@pytest.fixture(scope="module")
def notice() -> Image.Image:
    return Image.open(shared_data("ocr-dev", "images", "synth_ko_notice_b.png")).convert("RGB")


@pytest.mark.parametrize(
    ("turned", "among"),
    [
        (0, {"공지사항", "제3차", "정기", "2026년", "대회의실", "하반기"}),
        (180, {"공지사항", "2026년", "대회의실"}),
    ],
)
def test_it_reads_hangul_whichever_way_the_page_lies(reader, notice, turned, among):
    words = reader(notice.rotate(turned))
    assert among <= {word.text for word in words}
    for word in words:
        if word.text in among:
            (x0, _), (x1, _) = word.polygon[:2]
            assert (x1 > x0) is (turned == 0)  # from the text's own top left


def test_words_lie_on_the_ink_that_they_stand_for(reader, notice):
    dark = np.asarray(notice.convert("L")) < 128
    for word in reader(notice):
        xs, ys = zip(*word.polygon, strict=True)
        inside = dark[int(min(ys)) : int(max(ys)), int(min(xs)) : int(max(xs))]
        assert inside.mean() > 0.05


def test_latin_lines_are_read_as_without_it(reader):
    page = drawn("Invoice total 12.50", "paid in cash")
    plain = RapidReader(rapid_ocr().options, threads=1)
    assert [word.text for word in reader(page.copy())] == [word.text for word in plain(page)]


def test_who_reads_hangul_stands_in_the_plan_and_in_the_table(reader):
    assert rapid_ocr(languages=("ko",)).options["hangul"].endswith(" kor+eng")
    assert "Hangul by tesseract" in reader.about
    assert rapid_ocr(languages=("ko",)).notice == ""


@pytest.mark.parametrize("languages", [("en",), ("zh",), ("en", "zh")])
def test_what_the_models_know_changes_nothing(languages):
    assert rapid_ocr(languages=languages).options == rapid_ocr().options
    assert rapid_ocr(languages=languages).notice == KOREAN_NOTICE


def test_without_tesseract_the_ways_on_are_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError) as told:
        rapid_ocr(languages=("ko",))
    assert "tesseract-ocr-kor" in str(told.value)
    assert "--engine upstage" in str(told.value)


def test_it_is_refused_for_an_engine_that_takes_no_languages():
    with pytest.raises(ConfigError, match="--language is for --engine rapidocr"):
        choose_engine(Options(engine="scripted", language=("ko",)), Keys({}))


def test_a_language_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match="write en, zh, ko, not ja"):
        Options.of({}, language=["ko", "ja"])
