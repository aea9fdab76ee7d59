"""A row of a checkpoint from an outcome, and back: nothing is lost on the way.

The keys are the columns of `checkpoint_schema`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Outcome,
    Page,
    Word,
)


def to_row(ref: ImageRef, outcome: Outcome) -> dict[str, Any]:
    """The row of an input row and what became of it."""
    row: dict[str, Any] = {
        "ordinal": ref.ordinal,
        "id": ref.id,
        "image_path": ref.path,
        "embedded": ref.embedded,
        "original_source": ref.original_source,
        "input_row": ref.input_row,
        "key": outcome.key,
        "image_sha256": outcome.sha256,
        "engine": outcome.engine,
        "at": _moment(outcome.at_s),
        "copied": outcome.copied,
        "attempts": [_attempt_row(attempt) for attempt in outcome.attempts],
    }
    if isinstance(outcome, Failed):
        return row | {
            "outcome": "failed",
            "failure_class": outcome.failure.value,
            "message": outcome.message,
            "retryable": outcome.retryable,
        }
    return row | {
        "outcome": "labelled",
        "model_version": outcome.model_version,
        "latency_s": outcome.latency_s,
        "billed_pages": outcome.billed_pages,
        "pages": [_page_row(page) for page in outcome.pages],
        "raw": outcome.raw or None,
    }


def from_row(row: dict[str, Any]) -> tuple[ImageRef, Outcome]:
    """The input row and its outcome, as they were."""
    ref = ImageRef(
        ordinal=row["ordinal"],
        id=row["id"],
        path=row["image_path"],
        embedded=row["embedded"],
        original_source=row["original_source"],
        input_row=row["input_row"],
    )
    attempts = tuple(attempt_from(one) for one in row["attempts"])
    if row["outcome"] == "failed":
        return ref, Failed(
            ordinal=ref.ordinal,
            id=ref.id,
            failure=FailureClass(row["failure_class"]),
            message=row["message"],
            at_s=row["at"].timestamp(),
            key=row["key"],
            sha256=row["image_sha256"],
            engine=row["engine"],
            attempts=attempts,
            retryable=row["retryable"],
            copied=row["copied"],
        )
    return ref, Labelled(
        ordinal=ref.ordinal,
        id=ref.id,
        key=row["key"],
        sha256=row["image_sha256"],
        pages=tuple(_page_from(page) for page in row["pages"]),
        engine=row["engine"],
        model_version=row["model_version"],
        at_s=row["at"].timestamp(),
        attempts=attempts,
        latency_s=row["latency_s"],
        billed_pages=row["billed_pages"],
        raw=row["raw"] or b"",
        copied=row["copied"],
    )


def _attempt_row(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "lane": attempt.lane,
        "sent_at": _moment(attempt.sent_at_s),
        "latency_s": attempt.latency_s,
        "result": attempt.result.value,
        "status": attempt.status,
        "message": attempt.message,
        "billed_pages": attempt.billed_pages,
        "worker": attempt.worker,
        "pages": attempt.pages,
    }


def _page_row(page: Page) -> dict[str, Any]:
    return {
        "number": page.number,
        "width": page.width_px,
        "height": page.height_px,
        "confidence": page.confidence,
        "texts": [word.text for word in page.words],
        "polygons": [word.polygon for word in page.words],
        "confidences": [word.confidence for word in page.words],
    }


def attempt_from(row: dict[str, Any]) -> Attempt:
    """One request of a row, as it was."""
    return Attempt(
        number=row["number"],
        lane=row["lane"],
        sent_at_s=row["sent_at"].timestamp(),
        latency_s=row["latency_s"],
        result=AttemptResult(row["result"]),
        status=row["status"],
        message=row["message"],
        billed_pages=row["billed_pages"],
        worker=row["worker"],
        pages=row["pages"],
    )


def _page_from(row: dict[str, Any]) -> Page:
    words = zip(row["texts"], row["polygons"], row["confidences"], strict=True)
    return Page(
        number=row["number"],
        width_px=row["width"],
        height_px=row["height"],
        words=tuple(
            Word(text, tuple((x, y) for x, y in polygon), confidence)
            for text, polygon, confidence in words
        ),
        confidence=row["confidence"],
    )


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
