"""The pushed table: its rows, made from the input and the inventory; its file; the one in place.

Equal input gives equal rows and equal bytes: the number of workers, of tries and of machines has
no part in it, so a run's fingerprint of the table stays what it was.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.labels_table import PREDECESSOR_VERSION
from ocrlabel.dataset.parquet_io import Cursor, open_parquet
from ocrlabel.dataset.push.extra_columns import IMAGE, ORIGINAL_PATH, ExtraColumns, pushed_schema
from ocrlabel.dataset.push.target import image_key
from ocrlabel.dataset.push.upload import ImageInventory
from ocrlabel.dataset.rows import split_named
from ocrlabel.dataset.sources import ImageDataset
from ocrlabel.errors import ConfigError
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import NotStored, ObjectStore

_DIGEST = b"push.rows_sha256"  # not under "ocrlabel.": that is how results are told from inputs
_SPLIT = "train"
_ROWS_PER_GROUP = 5_000
# With embedded images. A slice of a run (25 rows) reads one group's beginning or a part of it; much
# smaller groups make the table's foot, which every worker reads, larger than what they save: 1 kB
# a group.
_EMBEDDED_ROWS_PER_GROUP = 100
_EMBEDDED_BYTES_PER_GROUP = 32_000_000
# Pages of embedded images end at about 1 MB, so that a reader may stop in the middle of a group.
_VALUES_PER_WRITE = 4
_BYTES_IN_IMAGE = "image.bytes"
_ROWS_PER_READ = 256


_TEXTS: dict[str, Callable[[ImageRef], str]] = {
    "schema_version": lambda _: PREDECESSOR_VERSION,
    "id": lambda ref: ref.id,
    "split": lambda ref: split_named(ref.input_row, ref.path) or _SPLIT,
    "image_filename": lambda ref: ref.filename,
    "metadata": lambda ref: ref.original_source,
    ORIGINAL_PATH: lambda ref: ref.path,
}


@dataclass(frozen=True, slots=True)
class PushRows:
    """What goes into the table. image_prefix: where the images' objects lie, if not embedded.

    skip_unreadable: rows whose image cannot be read are left out; else they keep their own path.
    """

    dataset: ImageDataset
    extra: ExtraColumns
    inventory: ImageInventory
    image_prefix: str
    embedded: bool = False
    skip_unreadable: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pushed_schema(self.extra.kept, embedded=self.embedded)

    @property
    def count(self) -> int:
        """Rows of the table."""
        return self.inventory.rows - (self.inventory.unreadable if self.skip_unreadable else 0)

    def groups(self) -> Iterator[tuple[int, int]]:
        """The input rows of each row group."""
        most_rows = _EMBEDDED_ROWS_PER_GROUP if self.embedded else _ROWS_PER_GROUP
        most_bytes = _EMBEDDED_BYTES_PER_GROUP if self.embedded else None
        return row_groups(self.inventory.sizes, most_rows=most_rows, most_bytes=most_bytes)

    def batch(
        self, start: int, stop: int, images: Sequence[bytes | None] | None = None
    ) -> pa.RecordBatch:
        """The input rows start to stop - 1, which must be asked for in order. Blocks.

        images: the bytes of each, for a table with embedded images; without them they are null.
        """
        refs = self.dataset.refs(start, stop)
        taken = self.extra.read(start, stop)
        columns = [self._column(column, refs, taken, images) for column in self.schema]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not self.skip_unreadable:
            return batch
        return batch.filter(pa.array([self.inventory.readable(ref.ordinal) for ref in refs]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows without the embedded bytes, a few hundred in memory at once. Blocks."""
        for start in range(0, self.inventory.rows, _ROWS_PER_READ):
            yield self.batch(start, min(start + _ROWS_PER_READ, self.inventory.rows))

    def _column(
        self,
        column: pa.Field[Any],
        refs: Sequence[ImageRef],
        taken: Mapping[str, pa.Array[Any]],
        images: Sequence[bytes | None] | None,
    ) -> pa.Array[Any]:
        if column.name in taken:
            return taken[column.name]
        if column.name == "image" and self.embedded:
            paths = pa.array([self._name(ref) for ref in refs], pa.string())
            data = pa.array(images or [None] * len(refs), pa.binary())
            return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE))
        make = _TEXTS.get(column.name)
        if column.name == "image_path":
            make = self._path
        return _blank(column, [make(ref) for ref in refs] if make else None, len(refs))

    def _path(self, ref: ImageRef) -> str:
        """The object's key; the input's own path where there is no object."""
        if self.embedded or not self.inventory.readable(ref.ordinal):
            return ref.path
        return image_key(self.image_prefix, self.inventory.name(ref.ordinal))

    def _name(self, ref: ImageRef) -> str:
        """An embedded image is called by its hash, so that the row tells what it holds."""
        return (
            self.inventory.name(ref.ordinal) if self.inventory.readable(ref.ordinal) else ref.path
        )


def row_groups(
    sizes: Sequence[int], *, most_rows: int, most_bytes: int | None = None
) -> Iterator[tuple[int, int]]:
    """(start, stop) of row groups: at most so many rows, or bytes of images if more than one."""
    start = held = 0
    for row, size_bytes in enumerate(sizes):
        full = row - start == most_rows or (most_bytes and held + size_bytes > most_bytes)
        if row > start and full:
            yield start, row
            start, held = row, 0
        held += size_bytes
    if start < len(sizes):
        yield start, len(sizes)


def _blank(column: pa.Field[Any], texts: Sequence[str] | None, rows: int) -> pa.Array[Any]:
    """A column of the shape that the input does not have: its texts, or zeros, or empty lists."""
    kind = column.type
    if pa.types.is_struct(kind):
        values: Sequence[object] = [{kind.field(0).name: text} for text in texts or [""] * rows]
    elif pa.types.is_string(kind):
        values = texts or [""] * rows
    else:
        values = [[] if pa.types.is_list(kind) else 0] * rows
    made: pa.Array[Any] = pa.array(values, kind)
    return made


def digest_of(rows: PushRows) -> str:
    """sha256 in hex of everything the table says, its images by their hashes. Blocks."""
    digest = hashlib.sha256(_as_json(rows.schema.names))
    for batch in rows.batches():
        for row in _plain_rows(batch):
            digest.update(_as_json(row))
    return digest.hexdigest()


def _plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as Python values, an embedded image as its path alone."""
    rows = batch.to_pylist()
    for row in rows:
        if isinstance(row.get("image"), dict):
            row["image"] = row["image"].get("path")
    return rows


def _row_hash(row: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """8 bytes that tell a row from another by these columns."""
    return hashlib.sha256(_as_json([row.get(name) for name in names])).digest()[:8]


def _as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


@contextmanager
def table_writer(
    path: Path, rows: PushRows, digest: str
) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """What writes a row group into a file, and blocks; equal groups give equal bytes."""
    schema = rows.schema.with_metadata(_metadata(rows, digest))
    options: dict[str, Any] = {"compression": "zstd"}
    if rows.embedded:
        # Images do not compress, and statistics of 10,000 groups would fill the foot.
        leaves = _leaves(schema)
        options = {
            "compression": {leaf: "none" if leaf == _BYTES_IN_IMAGE else "zstd" for leaf in leaves},
            "use_dictionary": False,
            "write_statistics": False,
            "write_batch_size": _VALUES_PER_WRITE,
        }
    with closing(pq.ParquetWriter(path, schema, **options)) as writer:

        def write(batch: pa.RecordBatch) -> None:
            if len(batch):
                table = pa.Table.from_batches([batch.replace_schema_metadata(schema.metadata)])
                writer.write_table(table, row_group_size=len(batch))

        yield write


def _metadata(rows: PushRows, digest: str) -> dict[bytes, bytes]:
    features = dict(rows.extra.kept.features)
    if rows.embedded:
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


def digest_in_bucket(store: ObjectStore, key: str) -> str | None:
    """The `digest_of` the table there, "" where no push wrote it; None for no table. Blocks.

    Reads the table's foot only.
    """
    try:
        with store.open(key) as file:
            return (_open(file, store, key).metadata.metadata or {}).get(_DIGEST, b"").decode()
    except NotStored:
        return None


def difference(store: ObjectStore, key: str, rows: PushRows) -> str:
    """How the table there differs from these rows, in a sentence; "" if in nothing. Blocks."""
    with store.open(key) as file:
        table = _open(file, store, key)
        theirs, ours = table.schema_arrow.names, rows.schema.names
        both = [name for name in ours if name in theirs]
        if "id" not in both:
            return f"it has the columns {', '.join(theirs)}"
        there = {_row_hash(row, ["id"]): _row_hash(row, both) for row in _rows_there(table, both)}
        count = table.metadata.num_rows
    only_here = changed = 0
    first = ""
    for batch in rows.batches():
        for row in _plain_rows(batch):
            found = there.pop(_row_hash(row, ["id"]), None)
            if found is None:
                only_here += 1
            elif found != _row_hash(row, both):
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
    summary = f"{count:,} rows there, {rows.count:,} here"
    summary += f": {', '.join(parts)}" if parts else ""
    summary += f"; the first that differs is {first!r}" if first else ""
    return summary + (f"; columns that only one has: {', '.join(columns)}" if columns else "")


def images_in(table: BinaryIO, wanted: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
    """The embedded bytes of these rows of a table, in ascending order. Blocks."""
    cursor = Cursor(open_parquet(table), [_BYTES_IN_IMAGE], 1)
    for row in wanted:
        if row < cursor.rows:
            first, batch = cursor.around(row)
            yield row, batch.column(0)[row - first].as_py()["bytes"]


def _open(file: BinaryIO, store: ObjectStore, key: str) -> pq.ParquetFile:
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
        yield from _plain_rows(batch)
