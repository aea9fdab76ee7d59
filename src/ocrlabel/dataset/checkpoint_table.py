"""A checkpoint: a finished batch as a parquet file that a person can read too.

One row per input row, in input order: what became of it, every request, the raw answer; nothing is
lost on the way to the file and back. The file's metadata carries the run id and a summary as JSON,
so that progress can be told from the footers alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.errors import RunMismatch
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

_META = b"ocrlabel"
CHECKPOINT_SCHEMA_VERSION = "v2.0"
_ATTEMPT = pa.struct(
    [
        pa.field("number", pa.int32()),
        pa.field("lane", pa.string()),
        pa.field("sent_at", pa.timestamp("us", tz="UTC")),
        pa.field("latency_s", pa.float64()),
        pa.field("result", pa.string()),
        pa.field("status", pa.int32()),
        pa.field("message", pa.string()),
        pa.field("billed_pages", pa.int32()),
        pa.field("worker", pa.string()),
        pa.field("pages", pa.int32()),
    ]
)
_PAGE = pa.struct(
    [
        pa.field("number", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("confidence", pa.float64()),
        pa.field("texts", pa.list_(pa.string())),
        pa.field("polygons", pa.list_(pa.list_(pa.list_(pa.float64())))),
        pa.field("confidences", pa.list_(pa.float64())),
    ]
)
_FIELDS: list[pa.Field[Any]] = [
    pa.field("ordinal", pa.int64()),
    pa.field("id", pa.string()),
    pa.field("image_path", pa.string()),
    pa.field("embedded", pa.bool_()),
    pa.field("original_source", pa.string()),
    pa.field("input_row", pa.string()),
    pa.field("outcome", pa.string()),
    pa.field("key", pa.string()),
    pa.field("image_sha256", pa.string()),
    pa.field("engine", pa.string()),
    pa.field("model_version", pa.string()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("latency_s", pa.float64()),
    pa.field("billed_pages", pa.int32()),
    pa.field("copied", pa.bool_()),
    pa.field("failure_class", pa.string()),
    pa.field("message", pa.string()),
    pa.field("retryable", pa.bool_()),
    pa.field("attempts", pa.list_(_ATTEMPT)),
    pa.field("pages", pa.list_(_PAGE)),
    pa.field("raw", pa.binary()),
]
CHECKPOINT_SCHEMA = pa.schema(_FIELDS)


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


@dataclass(frozen=True, slots=True)
class Settled:
    """An input row and what became of it."""

    ref: ImageRef
    outcome: Outcome


def encode_checkpoint(rows: Sequence[Settled], meta: Mapping[str, Any]) -> bytes:
    """The parquet file of one batch; `meta` is JSON-able and comes back from `read_meta`."""
    listed = [to_row(row.ref, row.outcome) for row in rows]
    table = pa.Table.from_pylist(listed, schema=CHECKPOINT_SCHEMA)
    metadata = {"schema_version": CHECKPOINT_SCHEMA_VERSION, **meta}
    table = table.replace_schema_metadata(
        {_META: json.dumps(metadata, ensure_ascii=False).encode()}
    )
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def decode_checkpoint(data: bytes, *, where: str) -> tuple[list[Settled], dict[str, Any]]:
    """Rows and metadata of a checkpoint. Raises RunMismatch: unreadable is never "nothing"."""
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(where, error) from error
    meta = _meta_of(table.schema, where)
    return [Settled(*from_row(row)) for row in table.to_pylist()], meta


def read_meta(file: BinaryIO, *, where: str) -> dict[str, Any]:
    """The metadata of a checkpoint, read from its footer alone."""
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(where, error) from error
    return _meta_of(schema, where)


def read_attempts(file: BinaryIO, *, where: str) -> list[tuple[str, tuple[Attempt, ...]]]:
    """Image keys and what was asked for them, without pages and raw answers."""
    try:
        table = pq.read_table(file, columns=["key", "attempts"])
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(where, error) from error
    return [(row["key"], tuple(map(attempt_from, row["attempts"]))) for row in table.to_pylist()]


def _meta_of(schema: pa.Schema, where: str) -> dict[str, Any]:
    metadata = (schema.metadata or {}).get(_META)
    if metadata is None:
        raise RunMismatch(
            f"{where} was not written by this version of ocrlabel\n"
            "  move it away, or use another --checkpoint-prefix"
        )
    found = json.loads(metadata)
    if found.get("schema_version") != CHECKPOINT_SCHEMA_VERSION:
        raise RunMismatch(
            f"{where} has schema {found.get('schema_version')}, this is"
            f" {CHECKPOINT_SCHEMA_VERSION}\n  finish the run with the version that began it"
        )
    return dict(found)


def _unreadable(where: str, error: Exception) -> RunMismatch:
    return RunMismatch(
        f"{where} cannot be read ({error})\n"
        "  it holds answers that were paid for: bring it back from a backup,"
        " or use --fresh to start again"
    )
