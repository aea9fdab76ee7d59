"""The pushed table as a file, and the one that is in the bucket already."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.push.rows import PushRows, mark, plain
from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.errors import ConfigError
from ocrlabel.storage.base import NotStored, ObjectStore

_DIGEST = b"push.rows_sha256"  # not under "ocrlabel.": that is how results are told from inputs
_ROWS_PER_READ = 256
# Pages of packed images end at about 1 MB, so that a reader may stop in the middle of a group.
_VALUES_PER_WRITE = 4
_BYTES_IN_IMAGE = "image.bytes"


class TableWriter:
    """Writes row groups into a file, in a `with` block; equal groups give equal bytes."""

    def __init__(self, path: Path, rows: PushRows, digest: str) -> None:
        schema = rows.schema.with_metadata(_metadata(rows, digest))
        options: dict[str, Any] = {"compression": "zstd"}
        if rows.packed:
            # Images do not compress, and statistics of 10,000 groups would fill the foot.
            leaves = _leaves(schema)
            options = {
                "compression": {
                    leaf: "none" if leaf == _BYTES_IN_IMAGE else "zstd" for leaf in leaves
                },
                "use_dictionary": False,
                "write_statistics": False,
                "write_batch_size": _VALUES_PER_WRITE,
            }
        self._writer = pq.ParquetWriter(path, schema, **options)
        self._schema = schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one row group. Blocks."""
        if len(batch):
            table = pa.Table.from_batches([batch.replace_schema_metadata(self._schema.metadata)])
            self._writer.write_table(table, row_group_size=len(batch))


@dataclass(frozen=True, slots=True)
class There:
    """The table that lies in the bucket. digest: "" where no push wrote it."""

    rows: int
    digest: str


def look(store: ObjectStore, key: str) -> There | None:
    """What lies under the table's key; None for nothing. Reads its foot only. Blocks."""
    try:
        with store.open(key) as file:
            metadata = _opened(file, store, key).metadata
    except NotStored:
        return None
    return There(metadata.num_rows, (metadata.metadata or {}).get(_DIGEST, b"").decode())


def difference(store: ObjectStore, key: str, rows: PushRows) -> str:
    """How the table there differs from these rows, in a sentence; "" if in nothing. Blocks."""
    with store.open(key) as file:
        table = _opened(file, store, key)
        theirs, ours = table.schema_arrow.names, rows.schema.names
        both = [name for name in ours if name in theirs]
        if "id" not in both:
            return f"it has the columns {', '.join(theirs)}"
        there = {mark(row, ["id"]): mark(row, both) for row in _rows_there(table, both)}
        count = table.metadata.num_rows
    only_here = changed = 0
    first = ""
    for batch in rows.batches():
        for row in plain(batch):
            found = there.pop(mark(row, ["id"]), None)
            if found is None:
                only_here += 1
            elif found != mark(row, both):
                changed += 1
            else:
                continue
            first = first or str(row["id"])
    parts = [
        f"{number:,} {what}"
        for number, what in (
            (only_here, "only here"),
            (len(there), "only there"),
            (changed, "with another content"),
        )
        if number
    ]
    columns = [name for name in (*theirs, *ours) if (name in theirs) != (name in ours)]
    if not parts and not columns and count == rows.count:
        return ""
    said = f"{count:,} rows there, {rows.count:,} here"
    said += f": {', '.join(parts)}" if parts else ""
    said += f"; the first that differs is {first!r}" if first else ""
    return said + (f"; columns that only one has: {', '.join(columns)}" if columns else "")


def images_in(table: BinaryIO, wanted: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
    """The packed bytes of these rows of a table, in ascending order. Blocks."""
    file = open_parquet(table)
    rows = iter(wanted)
    row, first = next(rows, None), 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row is not None and row < first + count:
            at = first
            for batch in file.iter_batches(1, row_groups=[group], columns=[_BYTES_IN_IMAGE]):
                if row == at:
                    yield row, batch.column(0)[0].as_py()["bytes"]
                    row = next(rows, None)
                at += 1
                if row is None or row >= first + count:
                    break
        first += count


def _opened(file: BinaryIO, store: ObjectStore, key: str) -> pq.ParquetFile:
    try:
        return open_parquet(file)
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"{store.url}/{key} is there and is no parquet table; move it away first"
        ) from error


def _rows_there(table: pq.ParquetFile, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    leaves = [
        "image.path" if name == "image" and pa.types.is_struct(kind) else name
        for name in names
        for kind in (table.schema_arrow.field(name).type,)
    ]
    for batch in table.iter_batches(_ROWS_PER_READ, columns=leaves):
        yield from plain(batch)


def _metadata(rows: PushRows, digest: str) -> dict[bytes, bytes]:
    features = dict(rows.others.kept.features)
    if rows.packed:
        features["image"] = {"_type": "Image"}
    made = {_DIGEST: digest.encode()}
    if features:
        made[b"huggingface"] = json.dumps({"info": {"features": features}}).encode()
    return made


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns as parquet counts them: `polygons.list.element...`, `image.bytes`."""
    nothing = io.BytesIO()
    pq.ParquetWriter(nothing, schema).close()
    columns = pq.ParquetFile(nothing).schema
    return [columns.column(number).path for number in range(len(columns.names))]
