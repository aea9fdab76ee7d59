"""Tables and run.json -> the report page: the part that reads and writes files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ocrlabel.dataset.tables.atomic import whole_file
from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.dataset.tables.table import read_failures, read_labels
from ocrlabel.export.base import NoImage
from ocrlabel.report.compose import compose
from ocrlabel.report.failures import FailureGroup, group_failures
from ocrlabel.report.pages import as_label_row
from ocrlabel.report.pictures import BUDGET_BYTES, ImageReader, Pictures
from ocrlabel.report.render import html, need_jinja, picture_json
from ocrlabel.report.sample import Sample, Sampled
from ocrlabel.report.survey import Survey, page_confidence
from ocrlabel.report.text import visible

MAX_PAGES = 100


def write_report(
    labels: Path,
    failures: Path | None,
    record: Mapping[str, Any] | None,
    output: Path,
    *,
    images: ImageReader | None = None,
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
    survey = Survey()
    sample = Sample(max_pages if images is not None else 0, seed)
    for row in read_labels(labels):
        survey.add(row)
        if images is not None:
            sample.add(row, page_confidence(row))
    groups = group_failures(read_failures(failures)) if failures is not None else []
    shown = sample.rows()
    report = compose(
        survey,
        groups,
        record or {},
        title=_title(labels, record or {}),
        pages=shown,
        with_pages=images is not None,
        seed=seed,
    )
    pictures = embedded(shown, groups, images, max_image_bytes) if images is not None else iter(())
    with whole_file(output) as file:
        for piece in html(report, pictures):
            file.write(piece)


def embedded(
    pages: list[Sampled], groups: list[FailureGroup], images: ImageReader, budget_bytes: int
) -> Iterator[str]:
    """The picture of each page and then of each failed row, as they stand in the viewer's list."""
    failed = [(row, group.may_be_opened) for group in groups for row in group.examples]
    pictures = Pictures(len(pages) + sum(opened for _, opened in failed), budget_bytes)
    for page in pages:
        yield _picture(page.row, images, pictures)
    for row, may_be_opened in failed:
        if may_be_opened:
            yield _picture(as_label_row(row), images, pictures)
        else:
            yield picture_json("", "")


def _picture(row: LabelRow, images: ImageReader, pictures: Pictures) -> str:
    try:
        page = images.pixels(row)
    except NoImage as error:
        pictures.without()
        return picture_json("", f"There is no image: {visible(str(error))}.")
    source = pictures.data_uri(page)
    return picture_json(source or "", "" if source else "The report is full: no image here.")


def _title(labels: Path, record: Mapping[str, Any]) -> str:
    dataset = record.get("dataset")
    return visible(dataset if isinstance(dataset, str) and dataset else labels.stem, 200)
