"""The report as values: what it says of a table, without a browser."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest

from ocrlabel.dataset.labels_table import FailureRow
from ocrlabel.engines.rapidocr import KOREAN_NOTICE
from ocrlabel.report.facts import LabelStatistics
from ocrlabel.report.pages import (
    CHARACTERS_PER_PAGE,
    SHOWN_OF_A_CLASS,
    WORDS_PER_PAGE,
    Sampled,
    group_failures,
    page_view,
)
from ocrlabel.report.write import compose, html, sample_of, script_json
from tests.support.labelled import AT, row, word


def failure(name="gone.jpg", kind="not_found", message="it is not there", ordinal=9):
    return FailureRow(ordinal, name, name, kind, message, 1, False, "upstage", "", AT)


def report(rows, failures=(), record=None, *, with_pages=True):
    counts = LabelStatistics()
    for one in rows:
        counts.add(one)
    pages = [Sampled(number, one) for number, one in enumerate(rows)]
    return compose(
        counts, group_failures(failures), record or {}, title="t", pages=pages,
        with_pages=with_pages, seed=0,
    )  # fmt: skip


def pill(found):
    """Good or bad: how the page colours its state."""
    return b"".join(html(found)).decode().partition('class="pill ')[2].partition('"')[0]


def tiles(found):
    return {tile.name: (tile.value, tile.more) for tile in found.tiles}


def test_pages_words_and_failures_are_counted():
    pages = [row("a.jpg", [word(), word()]), row("b.pdf", [word()], page_count=2),
             row("b.pdf", [word()], page=2, page_count=2)]  # fmt: skip
    found = tiles(report(pages, [failure()]))
    assert found["pages labelled"] == ("3", "from 2 images")
    assert found["words"] == ("4", "1.3 a page")
    assert found["failed"] == ("1", "33.3% of 3 rows")


def test_words_without_a_confidence_are_counted_apart_and_not_in_the_mean():
    found = tiles(report([row("a.jpg", [word(confidence=None), word(confidence=0.8)])]))
    assert found["mean word confidence"] == ("0.800", "1 word has none")


def test_more_failures_than_the_run_allowed_are_alarming():
    allowed = report([row()], [failure()], {"max_failures_share": 0.6})
    refused = report([row()], [failure()], {"max_failures_share": 0.4})
    assert not [tile for tile in allowed.tiles if tile.alarming]
    assert [tile.name for tile in refused.tiles if tile.alarming] == ["failed"]


def test_the_sum_spent_is_shown_with_what_was_wasted_and_what_is_at_risk():
    record = {
        "price_per_page_usd": 0.0015, "billed_usd": 1.5, "at_risk_usd": 0.03,
        "account": {"billed_pages": 1000, "wasted_pages": {"late": 4, "failed": 3}},
    }  # fmt: skip
    value, more = tiles(report([row()], record=record))["spent"]
    assert value == "1.5000 USD"
    assert "1,000 pages × 0.0015 USD" in more
    assert "7 of them in no label" in more
    assert "0.0300 USD more" in more


def test_a_free_engine_spends_nothing():
    record = {"price_per_page_usd": 0.0, "billed_usd": 0.0}
    assert tiles(report([row()], record=record))["spent"][0] == "nothing"


def test_an_answer_that_rows_share_is_paid_once_in_the_curve_of_what_was_spent():
    paid = [
        row(name, labelled_at=AT + timedelta(minutes=at), billed_pages=1, image_sha256=sha)
        for at, (name, sha) in enumerate([("a", "1"), ("copy of a", "1"), ("b", "2")])
    ]
    found = report(paid, record={"price_per_page_usd": 10.0})
    rate = next(chart for chart in found.charts if chart.title == "Pages per minute")
    assert rate.line_note == "spent, up to 20.00 USD"
    assert rate.line[0][1] == rate.base
    assert rate.line[-1][1] < rate.line[1][1]


def test_without_run_json_there_are_counts_and_no_guesses():
    found = report([row()])
    assert "spent" not in tiles(found)
    assert not found.state
    assert found.settings == ()
    assert found.subtitle[0] == "rapidocr v5"


def test_a_local_model_that_is_named_after_its_engine_is_named_once():
    assert report([row(model_version="rapidocr 3.10")]).subtitle[0] == "rapidocr 3.10"


@pytest.mark.parametrize("record", [
    {"account": None, "engine_options": 3, "failures": [], "price_per_page_usd": "free"},
    {"created_at_s": 1e300, "ended_at_s": -1e300, "rows": None, "complete": "?"},
    {"engine_options": {"<b>": {"x": [1]}}, "account": {"requests": {"answered": None}}},
])  # fmt: skip
def test_a_run_json_of_another_shape_is_no_error(record):
    report([row()], [failure()], record)


def test_a_run_that_is_not_complete_says_so_and_why():
    found = report([row()], record={"complete": False, "reason": "SIGTERM", "not_reached": 7})
    assert found.state == "not complete"
    assert pill(found) == "bad"
    assert any("SIGTERM" in notice for notice in found.notices)
    assert tiles(found)["not reached"][0] == "7"


def test_a_complete_run_with_failures_says_how_many_beside_its_name():
    whole = report([row()], record={"complete": True})
    failed = report([row()], [failure(), failure("other.jpg")], {"complete": True})
    assert (whole.state, pill(whole)) == ("complete", "good")
    assert (failed.state, pill(failed)) == ("complete, 2 failed", "bad")


def over_time(*seconds):
    """The chart of pages that were read at these seconds after a full hour."""
    hour = AT.replace(minute=0, second=0, microsecond=0)
    times = [hour + timedelta(seconds=at) for at in seconds]
    found = report([row(f"{n}", labelled_at=at) for n, at in enumerate(times)])
    return found.charts[-1]


def test_pages_per_minute_are_those_of_each_minute():
    chart = over_time(*range(0, 60, 6), *range(60, 120, 20), 175)
    assert chart.title == "Pages per minute"
    assert chart.note == "UTC, a bar is 1 min"
    assert [bar.tooltip.partition(", ")[2] for bar in chart.bars] == [
        "10 pages: 10 pages per minute",
        "3 pages: 3 pages per minute",
        "1 page: 1 pages per minute",
    ]


def test_a_longer_step_that_the_run_ended_in_is_not_shown_as_slower():
    # 10 pages a minute for 62 minutes: the last bar of 5 minutes has two of them
    chart = over_time(*range(0, 62 * 60, 6))
    assert chart.note == "UTC, a bar is 5 min"
    heights = {bar.height for bar in chart.bars[:-1]}
    assert len(heights) == 1
    assert chart.bars[-1].height == pytest.approx(heights.pop(), rel=0.06)


def test_pages_of_a_run_of_seconds_are_counted_and_not_extrapolated_to_a_minute():
    chart = over_time(0, 1, 2, 2.5, 31)
    assert chart.title == "Pages every 1 s"
    assert chart.bars[2].tooltip.endswith(":03: 2 pages")


def test_the_pause_of_a_run_is_no_part_of_its_pages_a_minute():
    pages = [row(f"{n}", labelled_at=AT + timedelta(seconds=n + 9000 * (n > 30)))
             for n in range(61)]  # fmt: skip
    assert tiles(report(pages))["pages a minute"][0] == "0.4"
    assert tiles(report(pages, record={"active_s": 60.0}))["pages a minute"][0] == "60.0"


def test_chinese_that_rapidocr_is_not_sure_of_brings_the_notice_about_korean():
    unsure = [word("合", confidence=0.4)] * 5 + [word("total")] * 5
    assert KOREAN_NOTICE in report([row(words=unsure)]).notices


def test_names_in_hangul_bring_it_too_and_only_for_rapidocr():
    named = row("영수증.jpg", [word()])
    assert KOREAN_NOTICE in report([named]).notices
    assert KOREAN_NOTICE not in report([row("영수증.jpg", [word()], engine="upstage")]).notices


def test_where_a_reader_of_hangul_was_there_it_is_not_said():
    about = "rapidocr 3.10.0 PP-OCRv6, Hangul by tesseract 5.3.0 kor+eng"
    named = row("영수증.jpg", [word()], model_version=about)
    assert KOREAN_NOTICE not in report([named]).notices


def test_chinese_that_is_sure_is_chinese():
    sure = [word("合計", confidence=0.99)] * 20
    assert KOREAN_NOTICE not in report([row(words=sure)]).notices


def test_failures_are_grouped_the_most_frequent_class_first_with_few_examples():
    many = [failure(f"{n}.jpg", "corrupt", ordinal=n) for n in range(30)]
    found = report([row()], [failure(), *many])
    assert [(line.name, line.count) for line in found.failures] == [
        ("corrupt", 30), ("not_found", 1),
    ]  # fmt: skip
    assert len(found.failures[0].examples) == SHOWN_OF_A_CLASS
    assert "9 more of 30</summary>" in b"".join(html(found)).decode()


def test_a_table_with_absurdly_many_classes_of_failures_stays_short():
    found = report([row()], [failure(kind=f"class {n}") for n in range(500)])
    assert len(found.failures) <= 41
    assert sum(line.count for line in found.failures) == 500


def test_without_images_the_page_holds_no_text_that_was_read():
    found = report([row("a.jpg", [word("secret")])], [failure()], with_pages=False)
    assert found.pages == []
    assert found.failures


def test_the_page_says_which_pages_are_shown():
    shown = [Sampled(n, row(), unsure=n < 20) for n in range(100)]
    assert sample_of(10_000, shown, 3) == (
        "showing 100 of 10,000 pages: 80 drawn at random (seed 3) and the 20 least certain"
    )
    assert sample_of(100, shown, 3) == "all 100 pages"


def test_a_page_holds_bounded_words_and_says_how_many_there_were():
    many = page_view(Sampled(0, row(words=[word()] * 5_000)))
    assert (len(many["words"]), many["count"]) == (WORDS_PER_PAGE, 5_000)
    long = page_view(Sampled(0, row(words=[word("x" * 10_000)] * 1_000)))
    assert sum(len(one[0]) for one in long["words"]) <= CHARACTERS_PER_PAGE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_numbers_that_are_none_become_json_all_the_same(bad):
    view = page_view(Sampled(0, row(
        words=[word(at=(bad, 1)), word(confidence=bad)], page_confidence=bad,
        width_px=0, height_px=-5,
    )))  # fmt: skip
    told = json.loads(script_json(view))
    assert told["words"][0][3] == []
    assert told["width"] > 0 < told["height"]


def test_charts_stay_within_their_frames():
    pages = [
        row(str(n), [word(confidence=n / 300)] * (n % 40), labelled_at=AT + timedelta(seconds=n),
            width_px=100 + n * 10) for n in range(300)
    ]  # fmt: skip
    charts = report(pages).charts
    assert [chart.title for chart in charts] == [
        "Confidence of words", "Words a page", "Page sizes", "Pages per minute",
    ]  # fmt: skip
    for chart in charts:
        for bar in chart.bars:
            assert chart.left <= bar.x <= bar.x + bar.width <= chart.right
            assert 0 <= bar.y <= bar.y + bar.height <= chart.base + 0.02


def test_every_word_with_a_confidence_is_in_the_chart_in_its_bands_colour():
    confidences = [0.0, 0.31, 0.5, 0.79, 0.8, 0.949, 0.95, 1.0, 1.7, -3.0]
    found = report([row(words=[word(confidence=c) for c in confidences])])
    bars = [bar for bar in found.charts[0].bars if bar.height]
    assert sum(int(bar.tooltip.split(": ")[1].split()[0]) for bar in bars) == len(confidences)
    assert {bar.kind for bar in bars} == {"c0", "c1", "c2", "c3"}
