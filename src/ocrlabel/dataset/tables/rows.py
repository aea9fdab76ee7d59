"""One row of the labels table and one of the failures table, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ocrlabel.labels import Failed, ImageRef, Labelled, Page, Word

SPLIT = "pseudo"
WORD_CLASS = "text"
IGNORE = "ignore"
"""The class of a word that nobody should learn from, and no figure counts: do-not-care."""
FROM_ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One page with its words.

    width_px, height_px: of the upright page. classes: one a word, () means all "text". latency_s,
    attempts and billed_pages belong to the whole document and stand on each of its pages. The
    predecessor's tables have nothing after original_source: then engine is "" and labelled_at
    None. source: "engine", or where a correction came from.
    """

    id: str
    image_path: str
    image_filename: str
    width_px: int
    height_px: int
    words: tuple[Word, ...]
    classes: tuple[str, ...] = ()
    split: str = SPLIT
    original_source: str = ""
    page_confidence: float | None = None
    page: int = 1
    page_count: int = 1
    engine: str = ""
    model_version: str = ""
    image_sha256: str = ""
    attempts: int = 0
    latency_s: float = 0.0
    billed_pages: int = 0
    labelled_at: datetime | None = None
    source: str = FROM_ENGINE
    input_row: str = "{}"

    @property
    def as_page(self) -> Page:
        """The same words as an engine gave them."""
        return Page(self.page, self.width_px, self.height_px, self.words, self.page_confidence)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One input row without labels, and why."""

    ordinal: int
    id: str
    image_path: str
    failure_class: str
    message: str
    attempts: int
    retryable: bool
    engine: str
    image_sha256: str
    failed_at: datetime | None


def label_rows(ref: ImageRef, outcome: Labelled) -> list[LabelRow]:
    """A row for every page of the document, in page order."""
    return [
        LabelRow(
            id=ref.id,
            image_path=ref.path,
            image_filename=ref.filename,
            width_px=page.width_px,
            height_px=page.height_px,
            words=page.words,
            classes=(WORD_CLASS,) * len(page.words),
            original_source=ref.original_source,
            page_confidence=page.confidence,
            page=page.number,
            page_count=len(outcome.pages),
            engine=outcome.engine,
            model_version=outcome.model_version,
            image_sha256=outcome.sha256,
            attempts=len(outcome.attempts),
            latency_s=outcome.latency_s,
            billed_pages=outcome.billed_pages,
            labelled_at=_utc(outcome.at_s),
            input_row=ref.input_row,
        )
        for page in sorted(outcome.pages, key=lambda page: page.number)
    ]


def failure_row(ref: ImageRef, failed: Failed) -> FailureRow:
    """The row that says why an input row has no labels."""
    return FailureRow(
        ordinal=ref.ordinal,
        id=ref.id,
        image_path=ref.path,
        failure_class=failed.failure.value,
        message=failed.message,
        attempts=len(failed.attempts),
        retryable=failed.retryable,
        engine=failed.engine,
        image_sha256=failed.sha256,
        failed_at=_utc(failed.at_s),
    )


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, tz=UTC)
