"""The columns of a pushed table: the predecessor's eleven, then the input's other columns.

A column of the input that is called like one of the eleven is taken where its type fits. Columns
come from parquet by their types, and from CSV and JSONL by their values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa

from ocrlabel.dataset.input_tables import (
    TEXT_READERS,
    Row,
    TextTableReader,
    as_utf8,
    empty_columns,
    holds_paths,
    image_columns,
)
from ocrlabel.dataset.labels_table import LABELS
from ocrlabel.dataset.parquet_io import Cursor, open_parquet
from ocrlabel.dataset.roots import StoreOpener, bucket_root
from ocrlabel.dataset.rows import choose_columns

_SHAPE = tuple(LABELS.field(number) for number in range(LABELS.get_field_index("metadata") + 1))
ORIGINAL_PATH = "original_path"
"""The path as the input has it: the object's name says nothing to a person."""
_MADE = frozenset({"id", "image_path"})
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Hugging Face's image column."""
_SHAPE_TYPES = {column.name: column.type for column in _SHAPE}
_ROWS_PER_READ = 512
_INT64 = 1 << 63
_MOST_DIGITS = 9
_PLAIN_TYPES = (
    ({"bool"}, pa.bool_()),
    ({"int"}, pa.int64()),
    ({"int", "float"}, pa.float64()),
)
_KINDS: dict[type, str] = {type(None): "null", bool: "bool", int: "int", float: "float"}


def open_extra_columns(
    source: str, *, cwd: Path, store_opener: StoreOpener | None, image_column: str | None
) -> ExtraColumns:
    """Open the table that was opened as a dataset before; a folder has no other columns. Blocks."""
    ending = PurePosixPath(source).suffix.lower()
    if ending != ".parquet" and ending not in TEXT_READERS:
        return ExtraColumns()
    if source.startswith("s3://"):
        root = bucket_root(source, store_opener)
        file = root.store.open(root.prefix)
    else:
        path = cwd / Path(source).expanduser()
        if not path.is_file():
            return ExtraColumns()  # a folder, or a glob, whose name ends like a table's
        file = path.open("rb")
    try:
        if ending == ".parquet":
            return ParquetExtraColumns(file, source, image_column)
        return TextExtraColumns(file, source, TEXT_READERS[ending], image_column)
    except BaseException:
        file.close()
        raise


@dataclass(frozen=True, slots=True)
class KeptColumns:
    """What is taken from the input. left_out: names of columns that are not, in its order.

    features: what Hugging Face's `datasets` wrote of the kept columns, such as class names.
    """

    columns: tuple[pa.Field[Any], ...] = ()
    left_out: tuple[str, ...] = ()
    features: Mapping[str, Any] = field(default_factory=dict)


class ExtraColumns:
    """The input's columns beside the image's: here none. Not thread-safe; it blocks."""

    kept = KeptColumns()

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:  # noqa: ARG002 -- of none
        """The kept columns of the rows start to stop - 1: where the last read ended, or from 0."""
        return {}

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()


class ParquetExtraColumns(ExtraColumns):
    """Columns of a parquet table, with their own types; bytes are left out, they are images."""

    def __init__(self, file: BinaryIO, where: str, image_column: str | None) -> None:
        super().__init__(file)
        table = open_parquet(file)
        schema = table.schema_arrow
        images = image_columns(schema)
        image = choose_columns(
            schema.names,
            where,
            image_column=image_column,
            of_bytes=images,
            of_nothing=empty_columns(schema),
        ).image
        types = {
            column.name: kept_type(column.name, column.type)
            for column in schema
            if column.name not in {image, "image", *_MADE, *images}
        }
        self.kept = KeptColumns(
            tuple(pa.field(name, kind) for name, kind in types.items() if kind is not None),
            tuple(
                name
                for name in schema.names
                if name not in {image, *_MADE} and types.get(name) is None
            ),
            _features(schema, types),
        )
        names = [column.name for column in self.kept.columns]
        self._cursor = Cursor(table, names, _ROWS_PER_READ) if names else None

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:
        """The kept columns of the rows start to stop - 1."""
        if self._cursor is None:
            return {}
        rows = pa.Table.from_batches(list(self._cursor.read(start, stop)))
        return {
            column.name: pa.concat_arrays(rows.column(column.name).cast(column.type).chunks)
            for column in self.kept.columns
        }


def _features(schema: pa.Schema, types: Mapping[str, object]) -> Mapping[str, Any]:
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        found = json.loads(text)["info"]["features"]
        return {name: found[name] for name in found if types.get(name) is not None}
    except (ValueError, KeyError, TypeError):  # not as `datasets` writes it: then it says nothing
        return {}


class TextExtraColumns(ExtraColumns):
    """Columns of CSV and JSONL; the table is read through once to see what is in them.

    What is not of one kind everywhere, or is no plain value, is kept as JSON text.
    """

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        reader: type[TextTableReader],
        image_column: str | None,
    ) -> None:
        file, _ = as_utf8(file, where)
        super().__init__(file)
        self._reader = reader(file, where)
        names = self._reader.names()
        image = choose_columns(names, where, image_column=image_column).image
        kinds: dict[str, set[str]] = {}
        for _, row in self._reader.rows(None):
            for name, value in row.items():
                if name and name not in {image, "image", "metadata", *_MADE}:
                    kinds.setdefault(name, set()).add(_kind(name, value))
        types = {name: _type_of(name, found - {"null"}) for name, found in kinds.items()}
        self.kept = KeptColumns(
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


def _kind(name: str, value: object) -> str:
    """What a cell holds: null, bool, int, digits, blank, text, float, texts, polygons, other."""
    if isinstance(value, str):
        short = value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
        return "digits" if short else ("text" if value else "blank")
    if isinstance(value, list) and name in {"texts", "labels"}:
        return "texts" if all(isinstance(text, str) for text in value) else "other"
    if isinstance(value, list):  # lists are kept in the shape's own columns alone
        return "polygons" if name == "polygons" and _is_polygons(value) else "other"
    if type(value) is int and not -_INT64 <= value < _INT64:
        return "other"
    return _KINDS.get(type(value), "other")


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
    plain = (kind for names, kind in _PLAIN_TYPES if kinds and kinds <= names)
    return kept_type(name, next(plain, pa.string()))


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


def pushed_schema(kept: KeptColumns, *, embedded: bool) -> pa.Schema:
    """The pushed table's columns: the shape, the extra ones, the images where they are embedded."""
    taken = {column.name: column for column in kept.columns}
    columns = [taken.pop(column.name, column) for column in _SHAPE]
    if ORIGINAL_PATH not in taken:
        columns.append(pa.field(ORIGINAL_PATH, pa.string()))
    columns += taken.values()
    if embedded:
        columns.append(pa.field("image", IMAGE))
    return pa.schema(columns)


def kept_type(name: str, kind: pa.DataType) -> pa.DataType | None:
    """The type under which a column of the input is kept; None where it cannot be."""
    wanted = _SHAPE_TYPES.get(name)
    if wanted is None:
        return kind
    if name == "metadata":
        at = kind.get_field_index("original_source") if pa.types.is_struct(kind) else -1
        return kind if at >= 0 and pa.types.is_string(kind.field(at).type) else None
    return wanted if _fits(kind, wanted) else None


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return is_list and _fits(kind.field(0).type, wanted.field(0).type)
    if pa.types.is_string(wanted):
        return not pa.types.is_nested(kind) and holds_paths(kind)
    if pa.types.is_int64(wanted):
        return pa.types.is_integer(kind) and not pa.types.is_uint64(kind)
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
