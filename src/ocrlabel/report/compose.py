"""Counts, failures, run.json and sampled pages -> the report as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from ocrlabel.report.bins import moments, whole_numbers
from ocrlabel.report.charts import MINUTE_S, Chart, confidence_chart, count_chart, time_chart
from ocrlabel.report.facts import (
    dates_of,
    engines_of,
    headline,
    notices,
    price_of,
    settings,
)
from ocrlabel.report.failures import FailureGroup
from ocrlabel.report.model import FailureExample, FailureLine, Report, State
from ocrlabel.report.pages import failure_view, page_view, word_classes
from ocrlabel.report.sample import Sampled
from ocrlabel.report.survey import Survey
from ocrlabel.report.text import visible
from ocrlabel.wording import usd


def compose(
    survey: Survey,
    groups: Sequence[FailureGroup],
    record: Mapping[str, Any],
    *,
    title: str,
    pages: Sequence[Sampled],
    with_pages: bool,
    seed: int,
) -> Report:
    """The report on a whole table. with_pages: False leaves everything out that was read."""
    failed = sum(group.count for group in groups)
    views = [page_view(page) for page in pages] if with_pages else []
    failures = [failure_view(row) for group in groups for row in group.examples]
    return Report(
        title=title,
        subtitle=tuple(filter(None, (engines_of(survey, record), dates_of(survey, record)))),
        state=state_of(record, failed),
        notices=tuple(notices(survey, record)),
        tiles=tuple(headline(survey, failed, record)),
        charts=tuple(charts_of(survey, record)),
        failures=tuple(_line(group, failed) for group in groups),
        pages=[*views, *failures] if with_pages else [],
        sample=sample_of(survey.pages, pages, seed),
        failure_classes=tuple(visible(group.name, 60) for group in groups),
        word_classes=tuple(word_classes(views)),
        settings=tuple(settings(record)),
    )


def state_of(record: Mapping[str, Any], failed: int) -> State | None:
    """The pill beside the title; none where nobody wrote down how the run ended."""
    if record.get("complete") is None:
        return None
    if not record["complete"]:
        return State("not complete", "bad")
    return State(f"complete, {failed:,} failed", "bad") if failed else State("complete", "good")


def sample_of(pages: int, shown: Sequence[Sampled], seed: int) -> str:
    """Which of the pages are shown."""
    if len(shown) >= pages:
        return f"all {pages:,} pages" if pages != 1 else "the only page"
    unsure = sum(page.unsure for page in shown)
    said = f"showing {len(shown):,} of {pages:,} pages: {len(shown) - unsure:,} drawn at random"
    return f"{said} (seed {seed})" + (f" and the {unsure:,} least certain" if unsure else "")


def charts_of(survey: Survey, record: Mapping[str, Any]) -> list[Chart]:
    """The distributions that there are numbers for."""
    found = []
    known = survey.words - survey.words_without_confidence
    if known:
        sure = sum(survey.confidences[-len(survey.confidences) // 20 :])
        found.append(confidence_chart(survey.confidences, f"{sure / known:.0%} at 0.95 or above"))
    if survey.pages:
        words = whole_numbers(survey.words_per_page)
        middle = sorted(survey.words_per_page)[survey.pages // 2]
        found.append(count_chart("Words a page", f"median {middle:,}", words, "words", "pages"))
        sizes = [side for side in survey.long_sides_px if side]
        if sizes:
            middle = sorted(sizes)[len(sizes) // 2]
            bins = whole_numbers(sizes)
            says = f"longer side, median {middle:,} px"
            found.append(count_chart("Page sizes", says, bins, "px", "pages"))
    return found + _over_time(survey, record)


def _over_time(survey: Survey, record: Mapping[str, Any]) -> list[Chart]:
    times = survey.times_s
    if len(times) < 2 or max(times) <= min(times):
        return []
    # pages per minute of a run of seconds would be an extrapolation: there they are counted
    span_s = max(times) - min(times)
    least_s = MINUTE_S if span_s >= 2 * MINUTE_S else 0.0
    pages = moments(times, [1.0] * len(times), least_s=least_s)
    price = price_of(record)
    spent: list[float] = []
    if survey.paid and price:
        steps = [0.0] * len(pages.counts)
        for at_s, billed in survey.paid:
            steps[int((at_s - pages.start) // pages.width)] += billed * price
        spent = list(accumulate(steps))
    line = f"spent, up to {usd(spent[-1])}" if spent else ""
    return [time_chart(pages, (min(times), max(times)), spent, line)]


def _line(group: FailureGroup, failed: int) -> FailureLine:
    return FailureLine(
        name=visible(group.name, 60),
        count=f"{group.count:,}",
        share=round(100 * group.count / failed, 2),
        retryable=f"{group.retryable:,} worth another try" if group.retryable else "",
        examples=tuple(
            FailureExample(visible(row.image_path or row.id, 200), visible(row.message))
            for row in group.examples
        ),
        beyond=f"{group.count:,}" if group.count > len(group.examples) else "",
    )
