"""What a person sees of a run while it goes."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest

from ocrlabel.cli.progress import (
    JsonLines,
    ProgressBar,
    ProgressLines,
    ProgressStatistics,
    display_for,
    progress_line,
)
from ocrlabel.labels import Attempt, AttemptResult, Failed, FailureClass, Labelled
from ocrlabel.pipeline.events import AllSettled, Asked, CapChanged, Fleet, RowDone, Started


class Clock:
    """Moves when a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def started(rows=100, done=0, failed=0):
    return Started(rows, done, failed, "scripted", 0.0, 0)


LABELLED = RowDone(Labelled(0, "a", "k", "s", (), "scripted", "1", 0.0))
FAILED = RowDone(Failed(0, "a", FailureClass.EMPTY, "the file is empty", 0.0))


def progress_of(*events, seconds=0.0):
    """After these events, with so many seconds between two of them."""
    clock = Clock()
    progress = ProgressStatistics(clock)
    for event in events:
        progress.take(event)
        clock.now_s += seconds
    return progress


@pytest.mark.parametrize(("rows", "seconds"), [(4, 30.0), (20, 0.1)])
def test_few_rows_or_little_time_say_nothing_about_how_long_the_rest_takes(rows, seconds):
    progress = progress_of(started(), *[LABELLED] * rows, seconds=seconds)
    assert progress.left_s is None
    assert "left" not in progress_line(progress)


def test_with_enough_rows_and_time_the_rest_is_judged_by_the_last_minute():
    progress = progress_of(started(), *[LABELLED] * 9, seconds=1.0)
    assert progress.left_s == pytest.approx(91 * 10 / 9)


def test_what_other_workers_do_is_part_of_done_failed_and_rate():
    events = [started(done=10, failed=1), LABELLED, FAILED]
    progress = progress_of(*events, Fleet(2, labelled=30, failed=3), seconds=2.0)
    assert (progress.done, progress.failed) == (45, 5)
    assert progress.images_per_s == pytest.approx(35 / 8)
    assert "45 of 100 done, 5 failed" in progress_line(progress)
    assert progress_line(progress).endswith("with 2 other workers")


def test_once_all_is_settled_all_rows_are_done_whatever_is_known_of_the_others():
    heard = [started(), LABELLED, Fleet(1, labelled=97)]
    assert progress_of(*heard).done == 98
    assert progress_of(*heard, AllSettled()).done == 100
    assert progress_of(started(), LABELLED, Fleet(1, labelled=150)).done == 100


def printed_lines(*events, seconds):
    clock, out = Clock(), io.StringIO()
    with ProgressLines(clock, out) as lines:
        for event in events:
            lines(event)
            clock.now_s += seconds
    return out.getvalue().splitlines()


def test_the_last_line_of_progress_is_printed_once():
    printed = printed_lines(started(rows=3), *[LABELLED] * 3, seconds=11.0)
    assert [line.split(",")[0] for line in printed] == [f"{n} of 3 done" for n in (1, 2, 3)]


def test_the_last_rows_are_printed_also_when_no_line_was_due():
    printed = printed_lines(started(rows=3), *[LABELLED] * 3, seconds=0.1)
    assert [line.split(",")[0] for line in printed] == ["1 of 3 done", "3 of 3 done"]


def test_a_long_tail_of_bad_answers_is_told_and_no_row_waits_for_the_next_to_be_told():
    message = "the answer has 0 of 1 pages"
    attempt = Attempt(1, "w", 0.0, 1.0, AttemptResult.BAD_ANSWER, message=message)
    done = printed_lines(started(rows=5), *[LABELLED] * 3, *[Fleet(0)] * 9, seconds=4.0)
    assert [line.split(",")[0] for line in done] == ["1 of 5 done", "3 of 5 done"]
    tail = [Asked(attempt, 1.0), Asked(attempt, 1.0), Fleet(0)]
    told = printed_lines(started(rows=5), LABELLED, *tail * 4, seconds=4.0)
    assert len(told) == 5
    assert told[1].endswith(f"; 2 requests went wrong since, the last: {message}")
    limited = replace(attempt, result=AttemptResult.THROTTLED)
    assert len(printed_lines(started(rows=5), *[Asked(limited, 1.0), Fleet(0)] * 4, seconds=9)) == 0


def test_a_worker_that_only_waits_for_the_others_shows_how_far_they_are():
    printed = printed_lines(started(rows=9), Fleet(1, 3), Fleet(1, 8), seconds=11.0)
    assert [line.split(",")[0] for line in printed] == ["3 of 9 done", "8 of 9 done"]


def test_neither_a_rate_of_zero_nor_an_empty_rest_is_printed():
    assert printed_lines(started(rows=9, done=3), Fleet(1), seconds=11.0) == [
        "going on: 3 of 9 rows were done before"
    ]
    last = printed_lines(started(rows=6), *[LABELLED] * 6, seconds=1.0)[-1]
    assert last == "6 of 6 done, 0.86 images/s"


def test_line_and_bar_show_small_sums_to_a_fraction_of_a_cent():
    begun = Started(8, 2, 0, "upstage", 0.0015, spent_pages=2)
    printed = "0.0030 USD of about 0.0080 USD"
    assert f"{printed} spent" in progress_line(progress_of(begun, LABELLED, seconds=1.0))
    with ProgressBar(Clock(), sys.stderr) as bar:
        for event in (begun, LABELLED):
            bar(event)
    assert printed in bar._line(200)


def test_what_was_done_before_is_printed_in_the_singular_too():
    assert printed_lines(started(done=1), seconds=0.0) == [
        "going on: 1 of 100 rows was done before"
    ]
    (line,) = printed_lines(started(done=7), seconds=0.0)
    assert line == "going on: 7 of 100 rows were done before"


def test_metrics_are_of_this_worker_alone_for_they_are_added_up_over_a_fleet():
    clock, out = Clock(), io.StringIO()
    with JsonLines(clock, lambda: 0.0, out) as lines:
        lines(started())
        clock.now_s = 10.0
        for event in (*[LABELLED] * 20, FAILED, Fleet(3, labelled=70, failed=7)):
            lines(event)
    written = [json.loads(line) for line in out.getvalue().splitlines()]
    of_worker = [line for line in written if line["event"] == "metrics"][-1]
    assert (of_worker["ImagesPerSecond"], of_worker["Failures"]) == (pytest.approx(2.1), 1)


def paid(pages=1):
    """A request that was billed for so many pages."""
    result = AttemptResult.ANSWERED
    attempt = Attempt(1, "w", 0.0, 1.0, result, pages=pages, billed_pages=pages, status=200)
    return Asked(attempt, 3.0)


def answered(pages=1):
    """The same, and its row."""
    asked = paid(pages)
    return asked, RowDone(replace(LABELLED.outcome, attempts=(asked.attempt,)))


def priced(rows=50, done=0, **told):
    return Started(rows, done, 0, "upstage", 0.0015, **({"spent_pages": 0} | told))


def test_before_its_first_row_a_run_expects_what_a_page_a_row_costs():
    assert "0.0000 USD of about 0.0750 USD" in progress_line(progress_of(priced()))


def test_what_a_retry_will_cost_is_what_its_own_rows_will_beside_what_the_run_has():
    retry = priced(rows=500, spent_pages=413, pages_per_row=1.0)
    assert "0.6195 USD of about 1.3695 USD" in progress_line(progress_of(retry))
    gone_on = progress_of(retry, *answered() * 100, seconds=0.1)
    assert "0.7695 USD of about 1.3695 USD" in progress_line(gone_on)


def test_documents_of_many_pages_raise_what_the_rest_is_expected_to_cost():
    progress = progress_of(priced(rows=20), *answered(4) * 9)
    assert progress.projected_usd == pytest.approx((36 + 11 * 3.7) * 0.0015)


def test_requests_whose_rows_are_not_done_yet_make_the_whole_no_dearer():
    under_way = progress_of(priced(rows=20), *[paid()] * 8, *answered(), *[paid()] * 8)
    assert "0.0255 USD of about 0.0300 USD" in progress_line(under_way)


def test_what_an_earlier_start_asked_for_a_row_is_not_spent_twice():
    _, done = answered(4)
    assert progress_of(priced(rows=2, spent_pages=4), done).projected_usd == pytest.approx(
        4.5 * 0.0015
    )


def test_the_cap_is_shown_and_the_time_is_that_until_it_is_reached():
    begun = priced(rows=100, max_cost_usd=0.03)
    progress = progress_of(begun, *answered() * 10, seconds=1.0)
    line = progress_line(progress)
    assert "0.0150 USD of about 0.1500 USD spent, cap 0.0300 USD" in line
    assert progress.left_s == pytest.approx(10 * 21 / 10, rel=0.01)
    assert "21 s to the cap" in line
    with ProgressBar(Clock(), sys.stderr) as bar:
        bar(begun)
    assert "cap 0.0300 USD" in bar._line(200)


@pytest.mark.parametrize(("cap_usd", "word"), [(5.0, "left"), (None, "left"), (0.02, "to the cap")])
def test_a_cap_that_is_changed_meanwhile_is_the_one_that_is_shown(cap_usd, word):
    events = [priced(rows=100, max_cost_usd=0.03), *answered() * 10, CapChanged(cap_usd)]
    line = progress_line(progress_of(*events, seconds=1.0))
    assert word in line
    assert ("cap " in line) is (cap_usd is not None)


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("style", ["bar", "lines"])
def test_verbose_tells_every_image_that_failed_and_every_request_that_did_not_go_well(
    style, verbose
):
    out = io.StringIO()
    answered = Attempt(1, "1", 0.0, 1.0, AttemptResult.ANSWERED, status=200)
    throttled = Attempt(1, "1", 0.0, 1.0, AttemptResult.THROTTLED, status=429, message="slower")
    with display_for(style, Clock(), Clock(), out, verbose=verbose) as display:
        for event in (started(), Asked(answered, 1.0), Asked(throttled, 1.0), LABELLED, FAILED):
            display(event)
    said = out.getvalue()
    assert ("a: empty: the file is empty" in said) == verbose
    assert ("a request was not answered: throttled 429 slower" in said) == verbose
    assert "answered 200" not in said
