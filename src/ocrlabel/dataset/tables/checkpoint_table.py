"""A finished batch as a parquet file that a person can read too: outcomes, raw answers, attempts.

One row per input row, in input order. The file's metadata carries the run id and a summary as
JSON, so that progress can be told from the footers alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.tables.checkpoint_rows import attempt_from, from_row, to_row
from ocrlabel.dataset.tables.checkpoint_schema import CHECKPOINT_SCHEMA, CHECKPOINT_SCHEMA_VERSION
from ocrlabel.errors import RunMismatch
from ocrlabel.labels import Attempt, ImageRef, Outcome

_META = b"ocrlabel"


@dataclass(frozen=True, slots=True)
class Settled:
    """An input row and what became of it."""

    ref: ImageRef
    outcome: Outcome


def encode_checkpoint(rows: Sequence[Settled], meta: Mapping[str, Any]) -> bytes:
    """The parquet file of one batch; `meta` is JSON-able and comes back from `read_meta`."""
    listed = [to_row(row.ref, row.outcome) for row in rows]
    table = pa.Table.from_pylist(listed, schema=CHECKPOINT_SCHEMA)
    noted = {"schema_version": CHECKPOINT_SCHEMA_VERSION, **meta}
    table = table.replace_schema_metadata({_META: json.dumps(noted, ensure_ascii=False).encode()})
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
    noted = (schema.metadata or {}).get(_META)
    if noted is None:
        raise RunMismatch(
            f"{where} was not written by this version of ocrlabel\n"
            "  move it away, or use another --checkpoint-prefix"
        )
    found = json.loads(noted)
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
