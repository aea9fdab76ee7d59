"""Tables as inputs: CSV, TSV and JSONL, and parquet.

A text table is read by ranges of lines, with only the place of each row in memory. A parquet table
is the predecessor's, a Hugging Face one with images inside, or any with paths: references come
from its small columns, and bytes are read only when an image is.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, BinaryIO, Protocol, TypeAlias

import pyarrow as pa

from ocrlabel.dataset.parquet_io import (
    UNREADABLE,
    Blocks,
    Cursor,
    chunks_of,
    one_line,
    open_parquet,
    readable,
)
from ocrlabel.dataset.rows import Columns, Rows, choose_columns, hash_of
from ocrlabel.errors import DatasetError, Unreadable
from ocrlabel.labels import ImageRef
from ocrlabel.options import SLICE_ROWS

Row: TypeAlias = Mapping[str, object]
_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 20
_ROWS_PER_READ = 512
_ROWS_PER_ID_READ = 4096
_BYTES_PER_READ = 32_000_000
_OUR_METADATA = b"ocrlabel"


class _TableRows(Rows):
    """Rows with columns, of which one may be their id."""

    _columns: Columns

    def number(self) -> bool:
        """Rows may share an image, or an id in another split."""
        self._columns = replace(self._columns, numbered=True)
        return True


class TextRows(_TableRows):
    """The rows of a text table."""

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        reader: Callable[[BinaryIO, str], TextTableReader],
        *,
        image_column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        self._file = file
        self.fingerprint = hash_of(file)
        self._reader = reader(file, where)
        names = self._reader.names()
        self._columns = choose_columns(names, where, image_column=image_column, id_column=id_column)
        self._places = array("Q", (place for place, _ in self._reader.rows(None)))
        self.count = len(self._places)
        if not self.count:
            raise DatasetError(f"{where} has no rows")

    def ids(self) -> Iterator[str]:
        """The id of every row."""
        return (ref.id for ref in self._from(0, None))

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        stop = min(stop, self.count)
        if start >= stop:
            return []
        return list(islice(self._from(start, self._places[start]), stop - start))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _from(self, start: int, place: int | None) -> Iterator[ImageRef]:
        for ordinal, (_, row) in enumerate(self._reader.rows(place), start):
            yield self._columns.reference(row, ordinal)


class ParquetRows(_TableRows):
    """The rows of a parquet table, with images inside or with paths."""

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        *,
        image_column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        self._file, self._where = file, where
        try:
            self._table = open_parquet(file)
            self._chunks = chunks_of(file)
        except UNREADABLE as error:
            raise DatasetError(
                f"{where} is not a parquet file, or it is cut off or damaged: {one_line(error)}"
            ) from error
        schema = self._table.schema_arrow
        _refuse_ours(schema, where)
        self._columns = choose_columns(
            schema.names,
            where,
            image_column=image_column,
            id_column=id_column,
            first=[field.name for field in schema if holds_bytes(field.type)],
        )
        self.count = self._table.metadata.num_rows
        if not self.count:
            raise DatasetError(f"{where} has no rows")
        self._blocks = self._image_blocks(schema)
        self._columns = replace(self._columns, embedded=self._blocks is not None)
        small = _small_columns(schema, self._columns)
        self._rows = self._cursor(small, _ROWS_PER_READ)
        self.fingerprint = hash_of(file)

    def ids(self) -> Iterator[str]:
        """The id of every row."""
        needed = self._table.schema_arrow.field(self._columns.id or self._columns.image)
        names = _small_columns([needed], self._columns)
        cursor = self._cursor(names, _ROWS_PER_ID_READ)
        ordinal = -1
        with readable(self._where, lambda: ordinal + 1):
            for ordinal, row in _numbered(cursor, 0, self.count):
                yield self._columns.identity(row, ordinal)
        if ordinal + 1 != self.count:
            raise DatasetError(f"{self._where} claims {self.count:,} rows and has {ordinal + 1:,}")

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        with readable(self._where, lambda: start):
            rows = _numbered(self._rows, start, stop)
            return [self._columns.reference(row, ordinal) for ordinal, row in rows]

    def embedded(self, ordinal: int, /) -> bytes | None:
        """The bytes in the row; None where it has none. Raises Unreadable for a damaged one."""
        if self._blocks is None:
            return None
        try:
            with readable(self._where, lambda: ordinal):
                first, batch = self._blocks.around(ordinal)
                cell: Any = batch.column(0)[ordinal - first].as_py()
        except DatasetError as error:
            raise Unreadable(str(error)) from error
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        return data if isinstance(data, bytes) else None

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        self._file.close()

    def _cursor(self, names: list[str], batch_rows: int) -> Cursor:
        return Cursor(self._table, names, batch_rows, self._chunks, self._file)

    def _image_blocks(self, schema: pa.Schema) -> Blocks | None:
        name = self._columns.image
        kind = schema.field(name).type
        if not holds_bytes(kind):
            return None
        leaf = f"{name}.bytes" if pa.types.is_struct(kind) else name
        stored = sum(chunk.size_bytes for chunk in self._chunks if chunk.path == leaf)
        per_row = max(stored // self.count, 1)
        return Blocks(self._cursor([leaf], max(1, min(SLICE_ROWS, _BYTES_PER_READ // per_row))))


def _numbered(cursor: Cursor, start: int, stop: int) -> Iterator[tuple[int, Row]]:
    rows = (row for batch in cursor.read(start, stop) for row in batch.to_pylist())
    return enumerate(rows, start)


def _small_columns(fields: Iterable[pa.Field[Any]], columns: Columns) -> list[str]:
    """The small columns: text, numbers, dates, an image's path, the predecessor's source."""
    names: list[str] = []
    for field in fields:
        if field.name == columns.image and pa.types.is_struct(field.type):
            inside = [field.type.field(n).name for n in range(field.type.num_fields)]
            names += [f"{field.name}.path"] if "path" in inside else []
        elif field.name == "metadata" and pa.types.is_struct(field.type):
            names.append("metadata.original_source")
        elif not pa.types.is_nested(field.type) and not holds_bytes(field.type):
            names.append(field.name)
    return names


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds images: bytes, or Hugging Face's struct of them."""
    if pa.types.is_struct(kind):
        fields = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        return "bytes" in fields and holds_bytes(fields["bytes"])
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _refuse_ours(schema: pa.Schema, where: str) -> None:
    for key in schema.metadata or {}:
        if key.startswith(_OUR_METADATA):
            raise DatasetError(f"{where} is the result of a run, not a dataset; give the dataset")


class TextTableReader(Protocol):
    """How one kind of text table is read."""

    def names(self) -> Sequence[str]:
        """The columns. Raises DatasetError."""
        ...

    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each row with its place in bytes, from a place on, or from the first row (None)."""
        ...


class CsvReader:
    """Comma, semicolon or tab, by what the header has; quoted cells may hold line ends."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._lines = _Lines(file, where)
        self._where = where
        header = next(iter(self._lines.read(0)), "")
        self._delimiter = max(",;\t", key=header.count)
        self._first = 0
        self._names: list[str] = []

    def names(self) -> Sequence[str]:
        """The header's cells."""
        rows = self._cells(0)
        _, self._names = next(rows, (0, []))
        self._first = self._lines.at
        if not self._names:
            raise DatasetError(f"{self._where} is empty: it has no header")
        return self._names

    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each row; cells that a short row lacks are "", empty lines are none."""
        for place, cells in self._cells(self._first if at is None else at):
            padded = cells + [""] * (len(self._names) - len(cells))
            yield place, dict(zip(self._names, padded, strict=False))

    def _cells(self, at: int) -> Iterator[tuple[int, list[str]]]:
        rows = csv.reader(self._lines.read(at), delimiter=self._delimiter)
        place = at
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise DatasetError(f"{self._lines.name(place)}: {error}") from error
            if cells:
                yield place, cells
            place = self._lines.at


class JsonlReader:
    """One JSON object a line."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._lines = _Lines(file, where)
        self._where = where

    def names(self) -> Sequence[str]:
        """The names in the first object."""
        _, row = next(self.rows(None), (0, {}))
        if not row:
            raise DatasetError(f"{self._where} has no rows")
        return list(row)

    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each object; empty lines are none."""
        place = at or 0
        for line in self._lines.read(place):
            if line.strip():
                yield place, self._object(line, place)
            place = self._lines.at

    def _object(self, line: str, place: int) -> Row:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{self._lines.name(place)}, column {error.colno} is not JSON: {error.msg}"
            ) from error
        except ValueError as error:
            raise DatasetError(f"{self._lines.name(place)} cannot be read: {error}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{self._lines.name(place)} is not a JSON object")
        return row


class _Lines:
    """Lines of UTF-8 text, for one reader at a time; `at` is the place behind the last line."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self.at = 0

    def read(self, at: int) -> Iterator[str]:
        self._file.seek(at)
        self.at = at
        while line := self._file.readline():
            text = line.removeprefix(_BOM) if self.at == 0 else line
            try:
                decoded = text.decode()
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{self.name(self.at)} is not UTF-8; save the file as UTF-8"
                ) from error
            self.at += len(line)
            yield decoded

    def name(self, place: int) -> str:
        """The line at this place, as an editor counts it. Reads all before it: for an error."""
        self._file.seek(0)
        number, left = 1, place
        while block := self._file.read(min(left, _BLOCK_BYTES)):
            number += block.count(b"\n")
            left -= len(block)
        return f"{self._where}, line {number}"


TEXT_READERS: dict[str, Callable[[BinaryIO, str], TextTableReader]] = {
    ".csv": CsvReader,
    ".tsv": CsvReader,
    ".jsonl": JsonlReader,
    ".ndjson": JsonlReader,
}
