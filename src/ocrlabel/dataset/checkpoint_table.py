"""A checkpoint: a finished batch as a parquet file that a person can read too.

One row per input row, in input order: what became of it, every request, the raw answer; nothing is
lost on the way to the file and back. The file's metadata carries the run id and a summary as JSON,
so that progress can be told from the footers alone, and a digest of the whole file, without which
a flipped bit would change a label and nobody would know.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.characters import writable
from ocrlabel.dataset.parquet_io import UNREADABLE, one_line
from ocrlabel.errors import RunMismatch
from ocrlabel.forms import Form, kept_as
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
_DIGEST_KEY = "ocrlabel.sha256"
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb"ocrlabel\.sha256\x18@([0-9a-f]{64})")
"""The digest as it stands in the footer. It is that of the file with zeros in this place."""
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


@dataclass(frozen=True, slots=True)
class Settled:
    """An input row and what became of it."""

    ref: ImageRef
    outcome: Outcome


def encode_checkpoint(rows: Sequence[Settled], meta: Mapping[str, Any]) -> bytes:
    """The parquet file of one batch; `meta` is JSON-able and comes back from `read_meta`."""
    listed = list(map(_to_row, rows))
    try:
        table = pa.Table.from_pylist(listed, schema=CHECKPOINT_SCHEMA)
    except UnicodeEncodeError:
        table = pa.Table.from_pylist(writable(listed), schema=CHECKPOINT_SCHEMA)
    metadata = {"schema_version": CHECKPOINT_SCHEMA_VERSION, **meta, "digest": "sha256"}
    table = table.replace_schema_metadata(
        {_META: json.dumps(metadata, ensure_ascii=False).encode("utf-8", "replace")}
    )
    out = io.BytesIO()
    with pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_DIGEST_KEY: _NO_DIGEST.decode()})
    data = bytearray(out.getvalue())
    place = [*_DIGEST.finditer(data)][-1].span(1)
    data[slice(*place)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def decode_checkpoint(data: bytes, *, where: str) -> tuple[list[Settled], dict[str, Any]]:
    """Rows and metadata of a checkpoint. Raises RunMismatch: unreadable is never "nothing"."""
    with _opened(data, where) as (file, meta):
        return [_from_row(row) for row in file.read().to_pylist()], meta


def is_checkpoint(schema: pa.Schema) -> bool:
    """Whether a parquet file of this schema is a checkpoint, and no table of labels or failures."""
    return _META in (schema.metadata or {})


def settled_rows(table: Path | BinaryIO, *, where: str) -> Iterator[Settled]:
    """The rows of a checkpoint, 64 in memory at once. Raises RunMismatch for another version's."""
    if isinstance(table, str | Path):
        data = Path(table).read_bytes()
    else:
        table.seek(0)
        data = table.read()
    with _opened(data, where) as (file, _):
        for batch in file.iter_batches(64, use_threads=False):
            yield from map(_from_row, batch.to_pylist())


def read_meta(file: BinaryIO, *, where: str) -> dict[str, Any]:
    """The metadata of a checkpoint, read from its footer alone."""
    with _readable(where):
        return _meta_of(pq.read_schema(file), where)


@dataclass(frozen=True, slots=True)
class Known:
    """A row without its pages. answered: it has a label, or a failure that is for good.

    failure: its class, "" for a label.
    """

    id: str
    key: str
    sha256: str
    answered: bool
    failure: str


def read_known(file: BinaryIO, *, where: str) -> list[Known]:
    """What a checkpoint knows of its rows, from the few columns that say it: not checked."""
    with _readable(where):
        columns = ["id", "key", "image_sha256", "outcome", "retryable", "failure_class"]
        rows = pq.ParquetFile(file).read(columns).to_pylist()
        return [
            Known(
                row["id"],
                row["key"],
                row["image_sha256"],
                bool(row["key"]) and (row["outcome"] == "labelled" or row["retryable"] is False),
                row["failure_class"] or "",
            )
            for row in rows
        ]


def check_whole(data: bytes, *, where: str) -> None:
    """Raise RunMismatch where a checkpoint is not as it was written."""
    with _opened(data, where):
        pass


def read_attempts(data: bytes, *, where: str) -> list[tuple[str, tuple[Attempt, ...]]]:
    """Image keys and what was asked for them, without pages and raw answers."""
    with _opened(data, where) as (file, _):
        rows = file.read(["key", "attempts"]).to_pylist()
        return [(row["key"], _attempts_from(row["attempts"])) for row in rows]


@contextmanager
def _opened(data: bytes, where: str) -> Iterator[tuple[pq.ParquetFile, dict[str, Any]]]:
    """The opened file and its metadata, once every byte is known to be as it was written.

    A file of an earlier version has no digest, and its metadata names none.
    """
    with _readable(where):
        found = [*_DIGEST.finditer(data)]
        if found:
            start, stop = found[-1].span(1)
            written = hashlib.sha256(data[:start] + _NO_DIGEST + data[stop:]).hexdigest()
            if written.encode() != found[-1][1]:
                raise ValueError("its digest differs: it is not as it was written")
        file = pq.ParquetFile(io.BytesIO(data))
        meta = _meta_of(file.schema_arrow, where)
        if "digest" in meta and not found:
            raise ValueError("its digest is gone: it is not as it was written")
        yield file, meta


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


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise RunMismatch(
            f"{where} cannot be read ({one_line(error)})\n"
            "  it holds answers that were paid for: bring it back from a backup; without one, move"
            " it away: while the run is not finished, the same command makes it again from the"
            " journal; after that another --output with --reuse-from and the labels table pays"
            " only for the rest"
        ) from error


def _page_to(page: Page) -> dict[str, Any]:
    return {
        "number": page.number,
        "width": page.width_px,
        "height": page.height_px,
        "confidence": page.confidence,
        "texts": [word.text for word in page.words],
        "polygons": [word.polygon for word in page.words],
        "confidences": [word.confidence for word in page.words],
    }


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


def moment(at_s: float) -> datetime:
    """The time, in UTC, of so many seconds since 1970."""
    return datetime.fromtimestamp(at_s, UTC)


_AT = (moment, datetime.timestamp)
_REF = Form(
    kept_as("ordinal", "id", "embedded", "original_source", "input_row") | {"image_path": "path"}
)
_ATTEMPTS = Form(
    kept_as(*(field.name for field in _ATTEMPT)) | {"sent_at": "sent_at_s"},
    {"sent_at_s": _AT, "result": (str, AttemptResult)},
)


def _attempts_from(rows: list[dict[str, Any]]) -> tuple[Attempt, ...]:
    return tuple(Attempt(**_ATTEMPTS.read(row)) for row in rows)


_EVERY = Form(
    kept_as("key", "engine", "copied", "attempts") | {"image_sha256": "sha256", "at": "at_s"},
    {
        "at_s": _AT,
        "attempts": (lambda made: [_ATTEMPTS.write(one) for one in made], _attempts_from),
    },
)
_FAILED = Form(
    kept_as("message", "retryable") | {"failure_class": "failure"},
    {"failure": (str, FailureClass)},
)
_LABELLED = Form(
    kept_as("model_version", "latency_s", "billed_pages", "pages", "raw"),
    {
        "pages": (
            lambda pages: [_page_to(page) for page in pages],
            lambda rows: tuple(_page_from(row) for row in rows),
        ),
        "raw": (lambda raw: raw or None, lambda raw: raw or b""),
    },
)


def _to_row(settled: Settled) -> dict[str, Any]:
    outcome = settled.outcome
    row = _REF.write(settled.ref) | _EVERY.write(outcome)
    if isinstance(outcome, Failed):
        return row | {"outcome": "failed"} | _FAILED.write(outcome)
    return row | {"outcome": "labelled"} | _LABELLED.write(outcome)


def _from_row(row: dict[str, Any]) -> Settled:
    ref = ImageRef(**_REF.read(row))
    both = {"ordinal": ref.ordinal, "id": ref.id, **_EVERY.read(row)}
    if row["outcome"] == "failed":
        return Settled(ref, Failed(**both, **_FAILED.read(row)))
    return Settled(ref, Labelled(**both, **_LABELLED.read(row)))
