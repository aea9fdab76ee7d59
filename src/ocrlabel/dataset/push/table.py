"""The pushed table as a file, and the one that is in the bucket already."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.input_tables import Reader, Row, holds_bytes
from ocrlabel.dataset.labels_table import LABELS, PREDECESSOR_VERSION
from ocrlabel.dataset.parquet_io import Cursor, open_parquet
from ocrlabel.dataset.push.upload import Survey, groups, image_key
from ocrlabel.dataset.roots import StoreOpener, bucket_root
from ocrlabel.dataset.rows import choose_columns
from ocrlabel.dataset.sources import READERS, Dataset
from ocrlabel.errors import ConfigError
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import NotStored, ObjectStore

_DIGEST = b"push.rows_sha256"  # not under "ocrlabel.": that is how results are told from inputs
_ROWS_PER_READ = 256
# Pages of packed images end at about 1 MB, so that a reader may stop in the middle of a group.
_VALUES_PER_WRITE = 4
_BYTES_IN_IMAGE = "image.bytes"
# A slice of a run (25 rows) reads one group's beginning or a part of it; much smaller groups make
# the table's foot, which every worker reads, larger than what they save: 1 kB a group.
PACKED_ROWS_PER_GROUP = 100
PACKED_BYTES_PER_GROUP = 32_000_000
_ROWS_PER_GROUP = 5_000
_ROWS_PER_LOOK = 256
_SPLIT = "train"
SHAPE = tuple(LABELS.field(number) for number in range(LABELS.get_field_index("metadata") + 1))
ORIGINAL_PATH = "original_path"
MADE = frozenset({"id", "image_path"})
_SHAPE_TYPES = {column.name: column.type for column in SHAPE}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_EXTRA_ROWS_PER_READ = 512
_INT64 = 1 << 63
_MOST_DIGITS = 9
_KINDS: dict[type, str] = {type(None): "null", bool: "bool", int: "int", float: "float"}


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


_TEXTS: dict[str, Callable[[ImageRef], str]] = {
    "schema_version": lambda _: PREDECESSOR_VERSION,
    "id": lambda ref: ref.id,
    "split": lambda _: _SPLIT,
    "image_filename": lambda ref: ref.filename,
    "metadata": lambda ref: ref.original_source,
    ORIGINAL_PATH: lambda ref: ref.path,
}


def digest_of(rows: PushRows) -> str:
    """sha256 in hex of everything the table says, its images by their hashes. Blocks."""
    digest = hashlib.sha256(_told(rows.schema.names))
    for batch in rows.batches():
        for row in plain(batch):
            digest.update(_told(row))
    return digest.hexdigest()


def plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as Python values, a packed image as its path alone."""
    rows = batch.to_pylist()
    for row in rows:
        if isinstance(row.get("image"), dict):
            row["image"] = row["image"].get("path")
    return rows


def mark(row: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """8 bytes that tell a row from another by these columns."""
    return hashlib.sha256(_told([row.get(name) for name in names])).digest()[:8]


def _told(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


"""The predecessor's `OCRStorageItem`, which is also what the first columns of a result are."""
"""The path as the input has it: the object's name says nothing to a person."""
"""Columns that every push makes itself, whatever the input has under these names."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is taken from the input. left_out: names of columns that are not, in its order.

    features: what Hugging Face's `datasets` wrote of the kept columns, such as class names.
    """

    columns: tuple[pa.Field[Any], ...] = ()
    left_out: tuple[str, ...] = ()
    features: Mapping[str, Any] = field(default_factory=dict)


class Others(Protocol):
    """The input's columns beside the image's. Not thread-safe; it blocks."""

    @property
    def kept(self) -> Kept:
        """Which there are."""
        ...

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:
        """The kept columns of the rows start to stop - 1: where the last read ended, or from 0."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


@dataclass(frozen=True, slots=True)
class PushRows:
    """What goes into the table. image_prefix: where the images' objects lie; packed: in no object.

    skip_unreadable: rows whose image cannot be read are left out; else they keep their own path.
    """

    dataset: Dataset
    others: Others
    survey: Survey
    image_prefix: str
    packed: bool = False
    skip_unreadable: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pushed_schema(self.others.kept, packed=self.packed)

    @property
    def count(self) -> int:
        """Rows of the table."""
        return self.survey.rows - (self.survey.unreadable if self.skip_unreadable else 0)

    def groups(self) -> Iterator[tuple[int, int]]:
        """The input rows of each row group."""
        if not self.packed:
            return groups(self.survey.sizes, most_rows=_ROWS_PER_GROUP)
        return groups(
            self.survey.sizes, most_rows=PACKED_ROWS_PER_GROUP, most_bytes=PACKED_BYTES_PER_GROUP
        )

    def batch(
        self, start: int, stop: int, images: Sequence[bytes | None] | None = None
    ) -> pa.RecordBatch:
        """The input rows start to stop - 1, which must be asked for in order. Blocks.

        images: the bytes of each, for a packed table; without them they are null.
        """
        refs = self.dataset.refs(start, stop)
        taken = self.others.read(start, stop)
        columns = [self._column(column, refs, taken, images) for column in self.schema]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not self.skip_unreadable:
            return batch
        return batch.filter(pa.array([self.survey.readable(ref.ordinal) for ref in refs]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows without the packed bytes, a few hundred in memory at once. Blocks."""
        for start in range(0, self.survey.rows, _ROWS_PER_LOOK):
            yield self.batch(start, min(start + _ROWS_PER_LOOK, self.survey.rows))

    def _column(
        self,
        column: pa.Field[Any],
        refs: Sequence[ImageRef],
        taken: Mapping[str, pa.Array[Any]],
        images: Sequence[bytes | None] | None,
    ) -> pa.Array[Any]:
        if column.name in taken:
            return taken[column.name]
        if column.name == "image" and self.packed:
            paths = pa.array([self._name(ref) for ref in refs], pa.string())
            data = pa.array(images or [None] * len(refs), pa.binary())
            return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE))
        make = _TEXTS.get(column.name)
        if column.name == "image_path":
            make = self._path
        return blank(column, [make(ref) for ref in refs] if make else None, len(refs))

    def _path(self, ref: ImageRef) -> str:
        """The object's key; the input's own path where there is no object."""
        if self.packed or not self.survey.readable(ref.ordinal):
            return ref.path
        return image_key(self.image_prefix, self.survey.name(ref.ordinal))

    def _name(self, ref: ImageRef) -> str:
        """An image of a packed table is called by its hash, so that the row tells what it holds."""
        return self.survey.name(ref.ordinal) if self.survey.readable(ref.ordinal) else ref.path


class NoOthers:
    """Of a folder: files have no columns."""

    kept = Kept()

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:  # noqa: ARG002 -- the protocol's
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing is open."""


def pushed_schema(kept: Kept, *, packed: bool) -> pa.Schema:
    """The pushed table's columns: the shape, the others, and the images where they are packed."""
    taken = {column.name: column for column in kept.columns}
    columns = [taken.pop(column.name, column) for column in SHAPE]
    if ORIGINAL_PATH not in taken:
        columns.append(pa.field(ORIGINAL_PATH, pa.string()))
    columns += taken.values()
    if packed:
        columns.append(pa.field("image", IMAGE))
    return pa.schema(columns)


"""Hugging Face's image column."""


def kept_type(name: str, kind: pa.DataType) -> pa.DataType | None:
    """The type under which a column of the input is kept; None where it cannot be."""
    wanted = _SHAPE_TYPES.get(name)
    if wanted is None:
        return kind
    if name == "metadata":
        return kind if _names_source(kind) else None
    return wanted if _fits(kind, wanted) else None


def _names_source(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    at = kind.get_field_index("original_source")
    return at >= 0 and pa.types.is_string(kind.field(at).type)


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return is_list and _fits(kind.field(0).type, wanted.field(0).type)
    if pa.types.is_string(wanted):
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_int64(wanted):
        return pa.types.is_integer(kind) and not pa.types.is_uint64(kind)
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def blank(column: pa.Field[Any], texts: Sequence[str] | None, rows: int) -> pa.Array[Any]:
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


def open_others(
    source: str, *, cwd: Path, store_opener: StoreOpener | None, image_column: str | None
) -> Others:
    """Open the table that was opened as a dataset before; a folder has no other columns. Blocks."""
    ending = PurePosixPath(source).suffix.lower()
    if ending != ".parquet" and ending not in READERS:
        return NoOthers()
    if source.startswith("s3://"):
        root = bucket_root(source, store_opener)
        file = root.store.open(root.prefix)
    else:
        path = cwd / Path(source).expanduser()
        if not path.is_file():
            return NoOthers()  # a folder, or a glob, whose name ends like a table's
        file = path.open("rb")
    try:
        if ending == ".parquet":
            return ParquetOthers(file, source, image_column)
        return TextOthers(file, source, READERS[ending], image_column)
    except BaseException:
        file.close()
        raise


class ParquetOthers:
    """Columns of a parquet table, with their own types; bytes are left out, they are images."""

    def __init__(self, file: BinaryIO, where: str, image_column: str | None) -> None:
        self._file = file
        table = open_parquet(file)
        schema = table.schema_arrow
        images = [column.name for column in schema if holds_bytes(column.type)]
        image = choose_columns(schema.names, where, image_column=image_column, first=images).image
        types = {
            column.name: kept_type(column.name, column.type)
            for column in schema
            if column.name not in {image, "image", *MADE, *images}
        }
        self.kept = Kept(
            tuple(pa.field(name, kind) for name, kind in types.items() if kind is not None),
            tuple(
                name
                for name in schema.names
                if name not in {image, *MADE} and types.get(name) is None
            ),
            _features(schema, types),
        )
        names = [column.name for column in self.kept.columns]
        self._cursor = Cursor(table, names, _EXTRA_ROWS_PER_READ) if names else None

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:
        """The kept columns of the rows start to stop - 1."""
        if self._cursor is None:
            return {}
        rows = pa.Table.from_batches(list(self._cursor.read(start, stop)))
        return {
            column.name: _whole(rows.column(column.name).cast(column.type))
            for column in self.kept.columns
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _whole(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return pa.concat_arrays(column.chunks)


def _features(schema: pa.Schema, types: Mapping[str, object]) -> Mapping[str, Any]:
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        found = json.loads(text)["info"]["features"]
        return {name: found[name] for name in found if types.get(name) is not None}
    except (ValueError, KeyError, TypeError):  # not as `datasets` writes it: then it says nothing
        return {}


class TextOthers:
    """Columns of CSV and JSONL; the table is read through once to see what is in them.

    What is not of one kind everywhere, or is no plain value, is kept as JSON text.
    """

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        reader: Callable[[BinaryIO, str], Reader],
        image_column: str | None,
    ) -> None:
        self._file, self._reader = file, reader(file, where)
        names = self._reader.names()
        image = choose_columns(names, where, image_column=image_column).image
        kinds: dict[str, set[str]] = {}
        for _, row in self._reader.rows(None):
            for name, value in row.items():
                if name and name not in {image, "image", "metadata", *MADE}:
                    kinds.setdefault(name, set()).add(_kind(name, value))
        types = {name: _type_of(name, found - {"null"}) for name, found in kinds.items()}
        self.kept = Kept(
            tuple(pa.field(name, kind) for name, kind in types.items() if kind is not None),
            tuple(name for name, kind in types.items() if kind is None),
        )
        self._at, self._rows = 0, self._reader.rows(None)

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:
        """The kept columns of the rows start to stop - 1."""
        if start != self._at:
            if start:
                raise ValueError(f"rows are read in order: {self._at} comes next, not {start}")
            self._rows = self._reader.rows(None)
        rows = [row for _, row in islice(self._rows, stop - start)]
        self._at = start + len(rows)
        return {
            column.name: pa.array(_values(rows, column), column.type)
            for column in self.kept.columns
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _kind(name: str, value: object) -> str:
    """What a cell holds: null, bool, int, digits, blank, text, float, texts, polygons, other."""
    if isinstance(value, str):
        short = value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
        return "digits" if short else ("text" if value else "blank")
    if isinstance(value, list):
        return _kind_of_list(name, value)
    if type(value) is int and not -_INT64 <= value < _INT64:
        return "other"
    return _KINDS.get(type(value), "other")


def _kind_of_list(name: str, value: list[Any]) -> str:
    """Lists are kept in the shape's own columns; elsewhere they become JSON text."""
    if name in {"texts", "labels"} and all(isinstance(text, str) for text in value):
        return "texts"
    return "polygons" if name == "polygons" and _is_polygons(value) else "other"


def _is_polygons(value: list[Any]) -> bool:
    return all(
        isinstance(polygon, list)
        and all(
            isinstance(point, list) and all(type(number) in {int, float} for number in point)
            for point in polygon
        )
        for polygon in value
    )


def _type_of(name: str, kinds: set[str]) -> pa.DataType | None:
    """The type of a column; None where one of the shape's columns holds something else."""
    if name in {"width", "height"} and kinds <= {"digits", "blank"}:
        return pa.int64()
    if kinds <= {"texts"} and kinds:
        return pa.list_(pa.string())
    if kinds == {"polygons"}:
        return pa.list_(pa.list_(pa.list_(pa.float64())))
    return kept_type(name, _plain_type(kinds))


def _plain_type(kinds: set[str]) -> pa.DataType:
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds == {"int"}:
        return pa.int64()
    if kinds and kinds <= {"int", "float"}:
        return pa.float64()
    return pa.string()


def _values(rows: list[Row], column: pa.Field[Any]) -> Iterator[object]:
    for row in rows:
        value = row.get(column.name)
        if pa.types.is_string(column.type) and value is not None and not isinstance(value, str):
            yield json.dumps(value, ensure_ascii=False)
        elif pa.types.is_int64(column.type) and isinstance(value, str):
            yield int(value) if value else None
        elif pa.types.is_floating(column.type) and isinstance(value, int):
            yield float(value)
        else:
            yield value
