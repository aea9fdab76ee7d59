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
from ocrlabel.report import charts as charting
from ocrlabel.report import facts
from ocrlabel.report import pages as viewer
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
    max_image_bytes: int = viewer.BUDGET_BYTES,
) -> None:
    """Write one self-contained HTML file about a labels table.

    record: run.json, None where there is none. images: where the pages' images are; None makes a
    page of numbers without any text that was read. max_pages: how many pages are shown, drawn by
    `seed` where the table has more. The file stays below max_image_bytes and what the words need.

    Raises ConfigError where the extra is missing, DatasetError for another kind of table.
    """
    need_jinja()
    counts = facts.LabelStatistics(score=score_of(labels))
    sample = viewer.Sample(max_pages if images is not None else 0, seed)
    for row in (row.scored for row in read_labels(labels)):
        counts.add(row)
        if images is not None:
            sample.add(row, facts.page_confidence(row))
    groups = viewer.group_failures(read_failures(failures)) if failures is not None else []
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
    pages: Sequence[viewer.Sampled],
    groups: Sequence[viewer.FailureGroup] = (),
    *,
    images: ImageFinder | None,
    budget_bytes: int = viewer.BUDGET_BYTES,
) -> None:
    """Write the file with the pictures of its pages."""
    pictures = viewer.Pictures(
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
    pages: Sequence[viewer.Sampled],
    groups: Sequence[viewer.FailureGroup],
    images: ImageFinder | None,
    pictures: viewer.Pictures,
) -> Iterator[str]:
    """The picture of each page and then of each failed row, as they stand in the viewer's list."""
    for page in pages:
        yield _picture(page.row, images, pictures)
    for group in groups:
        for row in group.examples:
            if group.may_be_opened and images is not None:
                yield _picture(viewer.as_label_row(row), images, pictures)
            else:
                yield script_json({"why": ""})


def _picture(row: LabelRow, images: ImageFinder | None, pictures: viewer.Pictures) -> str:
    """One picture as the viewer reads it: a data URI, or why there is none."""
    if images is None:
        pictures.without()
        return script_json({"why": "Name the images with --images to see the page itself."})
    try:
        page = images.pixels(row)
    except NoImage as error:
        pictures.without()
        return script_json({"why": f"There is no image: {facts.visible(str(error))}."})
    if source := pictures.data_uri(page):
        return script_json({"src": source})
    return script_json({"why": "The report is full: no image here."})


@dataclass(frozen=True, slots=True)
class Report:
    """The whole page but for its pictures. pages: JSON values for the viewer, () for none.

    bands: the kinds that its words are of. sides: the names of two readings that are compared, ()
    for one; beside: they are shown side by side at first, not one over the other.
    """

    title: str
    subtitle: tuple[str, ...] = ()
    state: str = ""
    notices: tuple[str, ...] = ()
    tiles: tuple[facts.Fact, ...] = ()
    charts: tuple[charting.Chart, ...] = ()
    failures: Sequence[viewer.FailureGroup] = ()
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
    bands: tuple[charting.Band, ...] = (*charting.BANDS, charting.UNKNOWN)
    sides: tuple[str, ...] = ()
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compose(
    counts: facts.LabelStatistics,
    groups: Sequence[viewer.FailureGroup],
    record: Mapping[str, Any],
    *,
    title: str,
    pages: Sequence[viewer.Sampled],
    with_pages: bool,
    seed: int,
) -> Report:
    """The report on a whole table. with_pages: False leaves everything out that was read."""
    failed = sum(group.count for group in groups)
    views = [viewer.page_view(page) for page in pages] if with_pages else []
    failures = [viewer.failure_view(row) for group in groups for row in group.examples]
    return Report(
        title=title,
        subtitle=tuple(
            filter(None, (facts.engines_of(counts, record), facts.dates_of(counts, record)))
        ),
        state=state_of(record, failed),
        notices=tuple(facts.notices(counts, record)),
        tiles=tuple(facts.headline(counts, failed, record)),
        charts=tuple(charts_of(counts, record)),
        failures=groups,
        pages=[*views, *failures] if with_pages else [],
        sample=sample_of(counts.pages, pages, seed),
        failure_classes=tuple(facts.visible(group.name, 60) for group in groups),
        word_classes=tuple(viewer.word_classes(views)),
        settings=tuple(facts.settings(record)),
        run_id=facts.visible(str(record.get("run_id", "")), 60),
    )


def state_of(record: Mapping[str, Any], failed: int) -> str:
    """The pill beside the title; "" where nobody wrote down how the run ended."""
    if record.get("complete") is None:
        return ""
    if not record["complete"]:
        return "not complete"
    return f"complete, {failed:,} failed" if failed else "complete"


def sample_of(pages: int, shown: Sequence[viewer.Sampled], seed: int) -> str:
    """Which of the pages are shown."""
    if len(shown) >= pages:
        return f"all {pages:,} pages" if pages != 1 else "the only page"
    unsure = sum(page.unsure for page in shown)
    text = f"showing {len(shown):,} of {pages:,} pages: {len(shown) - unsure:,} drawn at random"
    return f"{text} (seed {seed})" + (f" and the {unsure:,} least certain" if unsure else "")


def charts_of(counts: facts.LabelStatistics, record: Mapping[str, Any]) -> list[charting.Chart]:
    """The distributions that there are numbers for."""
    found = []
    known = counts.words - counts.words_without_confidence
    if known:
        sure = sum(counts.confidences[-len(counts.confidences) // 20 :])
        found.append(
            charting.confidence_chart(
                counts.score, counts.confidences, f"{percent(sure / known, 0)} at 0.95 or above"
            )
        )
    if counts.pages:
        words = charting.whole_numbers(counts.words_per_page)
        middle = sorted(counts.words_per_page)[counts.pages // 2]
        found.append(charting.count_chart("Words a page", f"median {middle:,}", words, "words"))
        sizes = [side for side in counts.long_sides_px if side]
        if sizes:
            middle = sorted(sizes)[len(sizes) // 2]
            bins = charting.whole_numbers(sizes)
            note = f"longer side, median {middle:,} px"
            found.append(charting.count_chart("Page sizes", note, bins, "px"))
    return found + _over_time(counts, record)


def _over_time(counts: facts.LabelStatistics, record: Mapping[str, Any]) -> list[charting.Chart]:
    times = counts.times_s
    if len(times) < 2 or max(times) <= min(times):
        return []
    # pages per minute of a run of seconds would be an extrapolation: there they are counted
    span_s = max(times) - min(times)
    least_s = charting.MINUTE_S if span_s >= 2 * charting.MINUTE_S else 0.0
    pages = charting.moments(times, [1.0] * len(times), least_s=least_s)
    price = facts.price_of(record)
    spent: list[float] = []
    if counts.paid and price:
        steps = [0.0] * len(pages.counts)
        for at_s, billed in counts.paid:
            steps[int((at_s - pages.start) // pages.width)] += billed * price
        spent = list(accumulate(steps))
    line = f"spent, up to {usd(spent[-1])}" if spent else ""
    return [charting.time_chart(pages, (min(times), max(times)), spent, line)]


def html(report: Report, pictures: Iterable[str] = ()) -> Iterator[bytes]:
    """The page, in pieces. pictures: JSON of what each page shows, asked for in order."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415 - comes with it

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"visible": facts.visible, "readable": readable, "number": "{:,}".format}
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
        pictures=(Markup(one) for one in pictures),  # noqa: S704 - made safe by script_json
    )
    for piece in pieces:
        yield piece.encode("utf-8", "replace")


def need_jinja() -> None:
    """Raises ConfigError where the extra is not installed."""
    if find_spec("jinja2") is None:
        raise ConfigError("the report needs jinja2: in the clone, pip install '.[report]'")


def script_json(value: Any) -> str:
    """JSON that nothing inside can break out of a <script> with. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE_IN_A_SCRIPT)


def _file(name: str) -> str:
    return resources.files("ocrlabel.report").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
