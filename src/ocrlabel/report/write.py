"""Tables and run.json become the report: one HTML file that needs nothing else.

`write_report` reads the tables; `compose` makes the page's values (`Report`) of what was read, and
is pure; `html` fills the template with them. The file is written piece by piece, so that the
pictures are never all in memory. What the browser may do is fixed in the page itself: no network,
and only this one script and this one style sheet, identified by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import LabelRow, read_failures, read_labels, score_of
from ocrlabel.dataset.parquet_io import whole_file
from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ImageFinder, NoImage
from ocrlabel.labels import readable
from ocrlabel.report import facts
from ocrlabel.report.charts import (
    BANDS,
    MINUTE_S,
    UNKNOWN,
    Band,
    Chart,
    confidence_chart,
    count_chart,
    moments,
    time_chart,
    whole_numbers,
)
from ocrlabel.report.pages import (
    BUDGET_BYTES,
    FailureGroup,
    Pictures,
    Sample,
    Sampled,
    as_label_row,
    failure_view,
    group_failures,
    page_view,
    word_classes,
)
from ocrlabel.wording import percent, usd

MAX_PAGES = 100
_UNSAFE_IN_A_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_report(
    labels: Path,
    failures: Path | None,
    record: Mapping[str, Any] | None,
    output: Path,
    *,
    images: ImageFinder | None = None,
    max_pages: int = MAX_PAGES,
    seed: int = 0,
    max_image_bytes: int = BUDGET_BYTES,
) -> None:
    """Write one self-contained HTML file about a labels table.

    record: run.json, None where there is none. images: where the pages' images are; None makes a
    page of numbers without any text that was read. max_pages: how many pages are shown, drawn by
    `seed` where the table has more. The file stays below max_image_bytes and what the words need.

    Raises ConfigError where the extra is missing, DatasetError for another kind of table.
    """
    need_jinja()
    counts = facts.LabelStatistics(score=score_of(labels))
    sample = Sample(max_pages if images is not None else 0, seed)
    for row in (row.scored for row in read_labels(labels)):
        counts.add(row)
        if images is not None:
            sample.add(row, facts.page_confidence(row))
    groups = group_failures(read_failures(failures)) if failures is not None else []
    shown = sample.rows()
    report = compose(
        counts,
        groups,
        record or {},
        title=_title(labels, record or {}),
        pages=shown,
        with_pages=images is not None,
        seed=seed,
    )
    write_page(report, output, shown, groups, images=images, budget_bytes=max_image_bytes)


def write_page(
    report: Report,
    output: Path,
    pages: Sequence[Sampled],
    groups: Sequence[FailureGroup] = (),
    *,
    images: ImageFinder | None,
    budget_bytes: int = BUDGET_BYTES,
) -> None:
    """Write the file with the pictures of its pages."""
    pictures = Pictures(
        len(pages) + sum(len(group.examples) for group in groups if group.may_be_opened),
        budget_bytes,
    )
    with whole_file(output) as file:
        for piece in html(report, embedded(pages, groups, images, pictures)):
            file.write(piece)


def _title(labels: Path, record: Mapping[str, Any]) -> str:
    dataset = record.get("dataset")
    return facts.visible(dataset if isinstance(dataset, str) and dataset else labels.stem, 200)


def embedded(
    pages: Sequence[Sampled],
    groups: Sequence[FailureGroup],
    images: ImageFinder | None,
    pictures: Pictures,
) -> Iterator[str]:
    """The picture of each page and then of each failed row, as they stand in the viewer's list."""
    for page in pages:
        yield _picture(page.row, images, pictures)
    for group in groups:
        for row in group.examples:
            if group.may_be_opened and images is not None:
                yield _picture(as_label_row(row), images, pictures)
            else:
                yield picture_json("", "")


def _picture(row: LabelRow, images: ImageFinder | None, pictures: Pictures) -> str:
    if images is None:
        pictures.without()
        return picture_json("", "Name the images with --images to see the page itself.")
    try:
        page = images.pixels(row)
    except NoImage as error:
        pictures.without()
        return picture_json("", f"There is no image: {facts.visible(str(error))}.")
    source = pictures.data_uri(page)
    return picture_json(source or "", "" if source else "The report is full: no image here.")


@dataclass(frozen=True, slots=True)
class Report:
    """The whole page but for its pictures. pages: JSON values for the viewer, () for none.

    bands: the kinds that its words are of. sides: the names of two readings that are compared, ()
    for one; beside: they are shown side by side at first, not one over the other.
    """

    title: str
    subtitle: tuple[str, ...] = ()
    state: State | None = None
    notices: tuple[str, ...] = ()
    tiles: tuple[facts.Fact, ...] = ()
    charts: tuple[Chart, ...] = ()
    failures: tuple[FailureLine, ...] = ()
    pages: Sequence[Mapping[str, Any]] = ()
    pages_title: str = "Pages"
    sample: str = ""
    failure_classes: tuple[str, ...] = ()
    word_classes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    raw: str = ""
    raw_note: str = ""
    settings: tuple[facts.Fact, ...] = ()
    run_id: str = ""
    bands: tuple[Band, ...] = (*BANDS, UNKNOWN)
    sides: tuple[str, ...] = ()
    beside: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """How a run ended. kind: "good" or "bad"."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class FailureLine:
    """One class of failures. share: 0..100. all_count: how many failed where not all are shown."""

    name: str
    count: str
    share: float
    retryable: str
    examples: tuple[FailureExample, ...]
    all_count: str = ""


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One failed row, ready to be shown."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compose(
    counts: facts.LabelStatistics,
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
        subtitle=tuple(
            filter(None, (facts.engines_of(counts, record), facts.dates_of(counts, record)))
        ),
        state=state_of(record, failed),
        notices=tuple(facts.notices(counts, record)),
        tiles=tuple(facts.headline(counts, failed, record)),
        charts=tuple(charts_of(counts, record)),
        failures=tuple(_line(group, failed) for group in groups),
        pages=[*views, *failures] if with_pages else [],
        sample=sample_of(counts.pages, pages, seed),
        failure_classes=tuple(facts.visible(group.name, 60) for group in groups),
        word_classes=tuple(word_classes(views)),
        settings=tuple(facts.settings(record)),
        run_id=facts.visible(str(record.get("run_id", "")), 60),
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
    text = f"showing {len(shown):,} of {pages:,} pages: {len(shown) - unsure:,} drawn at random"
    return f"{text} (seed {seed})" + (f" and the {unsure:,} least certain" if unsure else "")


def charts_of(counts: facts.LabelStatistics, record: Mapping[str, Any]) -> list[Chart]:
    """The distributions that there are numbers for."""
    found = []
    known = counts.words - counts.words_without_confidence
    if known:
        sure = sum(counts.confidences[-len(counts.confidences) // 20 :])
        found.append(
            confidence_chart(
                counts.score, counts.confidences, f"{percent(sure / known, 0)} at 0.95 or above"
            )
        )
    if counts.pages:
        words = whole_numbers(counts.words_per_page)
        middle = sorted(counts.words_per_page)[counts.pages // 2]
        found.append(count_chart("Words a page", f"median {middle:,}", words, "words", "pages"))
        sizes = [side for side in counts.long_sides_px if side]
        if sizes:
            middle = sorted(sizes)[len(sizes) // 2]
            bins = whole_numbers(sizes)
            note = f"longer side, median {middle:,} px"
            found.append(count_chart("Page sizes", note, bins, "px", "pages"))
    return found + _over_time(counts, record)


def _over_time(counts: facts.LabelStatistics, record: Mapping[str, Any]) -> list[Chart]:
    times = counts.times_s
    if len(times) < 2 or max(times) <= min(times):
        return []
    # pages per minute of a run of seconds would be an extrapolation: there they are counted
    span_s = max(times) - min(times)
    least_s = MINUTE_S if span_s >= 2 * MINUTE_S else 0.0
    pages = moments(times, [1.0] * len(times), least_s=least_s)
    price = facts.price_of(record)
    spent: list[float] = []
    if counts.paid and price:
        steps = [0.0] * len(pages.counts)
        for at_s, billed in counts.paid:
            steps[int((at_s - pages.start) // pages.width)] += billed * price
        spent = list(accumulate(steps))
    line = f"spent, up to {usd(spent[-1])}" if spent else ""
    return [time_chart(pages, (min(times), max(times)), spent, line)]


def _line(group: FailureGroup, failed: int) -> FailureLine:
    return FailureLine(
        name=facts.visible(group.name, 60),
        count=f"{group.count:,}",
        share=round(100 * group.count / failed, 2),
        retryable=f"{group.retryable:,} worth another try" if group.retryable else "",
        examples=tuple(
            FailureExample(
                facts.visible(readable(row.image_path or row.id), 200), facts.visible(row.message)
            )
            for row in group.examples
        ),
        all_count=f"{group.count:,}" if group.count > len(group.examples) else "",
    )


def html(report: Report, pictures: Iterable[str] = ()) -> Iterator[bytes]:
    """The page, in pieces. pictures: what `picture_json` made for each page, asked for in order."""
    need_jinja()
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415 - comes with it

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_file("report.html.j2"))
    style, script = _file("report.css"), _file("report.js")
    data = {
        "items": report.pages,
        "failures": report.failure_classes,
        "classes": report.word_classes,
        "bands": [[band.kind, band.name] for band in report.bands],
        "sides": report.sides,
    }
    pieces = template.generate(
        report=report,
        version=metadata.version("ocrlabel"),
        # Our own two files, and JSON that script_json made safe: the only things not escaped.
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(script_json(data)),  # noqa: S704 - made safe
        pictures=(Markup(one) for one in pictures),  # noqa: S704 - made safe by picture_json
    )
    for piece in pieces:
        yield piece.encode("utf-8", "replace")


def need_jinja() -> None:
    """Raises ConfigError where the extra is not installed."""
    if find_spec("jinja2") is None:
        raise ConfigError("the report needs jinja2: in the clone, pip install '.[report]'")


def picture_json(source: str, why: str = "") -> str:
    """One picture as the viewer reads it: a data URI, or why there is none."""
    return script_json({"src": source} if source else {"why": why})


def script_json(value: Any) -> str:
    """JSON that nothing inside can break out of a <script> with. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE_IN_A_SCRIPT)


def _file(name: str) -> str:
    return resources.files("ocrlabel.report").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
