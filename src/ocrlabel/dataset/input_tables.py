"""Tables as inputs: CSV, TSV and JSONL, and parquet.

A text table is read by ranges of lines, with only the place of each row in memory. A parquet table
is the predecessor's, a Hugging Face one with images inside, or any with paths: references come
from its small columns, and bytes are read only when an image is.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import re
import tempfile
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.characters import writable
from ocrlabel.dataset.parquet_io import (
    UNREADABLE,
    Blocks,
    Cursor,
    chunks_of,
    one_line,
    open_parquet,
    readable,
)
from ocrlabel.dataset.rows import (
    Columns,
    OurResult,
    Rows,
    choose_columns,
    hash_of,
    is_split,
    no_split,
    split_named,
    the_one,
)
from ocrlabel.errors import DatasetError, Unreadable
from ocrlabel.labels import ImageRef
from ocrlabel.options import SLICE_ROWS

Row: TypeAlias = Mapping[str, object]
csv.field_size_limit(2**30)  # on its own it refuses a cell of 131,072 characters
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
_NAMES_FROM_ROWS = 100
_NONE = "\x1f"  # ASCII's unit separator, which divides nothing in a table of paths
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_BLOCK_BYTES = 1 << 20
_ROWS_PER_READ = 512
_ROWS_PER_ID_READ = 4096
_BYTES_PER_READ = 32_000_000
# Where the Hub says its splits, whatever they are called; our own export too.
_HUB_SHARD = re.compile(r"(?:.*/)?data/(\w+(?:\.\w+)*)-\d{5}(?:-of-\d{5})?(?:-\w+)?\.parquet")
_OPEN_SHARDS = 4  # each may keep 64 MB of images
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
        reader: type[TextTableReader],
        image_column: str | None,
        id_column: str | None,
    ) -> None:
        self.fingerprint = hash_of(file)
        self._file, self.notices = as_utf8(file, where)
        self._reader = reader(self._file, where)
        names = self._reader.names()
        self._columns = choose_columns(names, where, image_column=image_column, id_column=id_column)
        self._places = array("Q", (place for place, _ in self._reader.rows(None)))
        self.count = len(self._places)

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
        image_column: str | None = None,
        id_column: str | None = None,
        *,
        first_row: int = 0,
        split: str = "",
        fingerprint: str = "",
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
        if any(key.startswith(_OUR_METADATA) for key in schema.metadata or {}):
            raise OurResult(f"{where} is the result of a run, not a dataset; give the dataset")
        self._columns = choose_columns(
            schema.names,
            where,
            image_column=image_column,
            id_column=id_column,
            of_bytes=image_columns(schema),
            of_nothing=empty_columns(schema),
        )
        self.count = self._table.metadata.num_rows
        self._refuse_other_types(schema.field(self._columns.image))
        self._blocks = self._image_blocks(schema)
        self._columns = replace(
            self._columns, embedded=self._blocks is not None, first_row=first_row, split=split
        )
        small = self._small_columns(schema)
        self._refuse_other_ids(schema, small, id_column)
        for field in schema:
            if is_split(field.name) and field.name not in {self._columns.image, *small}:
                raise no_split(where, field.name, field.type)
        self._rows = self._cursor(small, _ROWS_PER_READ)
        self.fingerprint = fingerprint or hash_of(file)

    def ids(self) -> Iterator[str]:
        """The id of every row."""
        needed = self._table.schema_arrow.field(self._columns.id or self._columns.image)
        names = self._small_columns([needed])
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
                return bytes_in(batch.column(0)[ordinal - first].as_py())
        except DatasetError as error:
            raise Unreadable(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        self._file.close()

    def _refuse_other_types(self, image: pa.Field[Any]) -> None:
        if not holds_bytes(image.type) and not holds_paths(image.type):
            raise DatasetError(
                f"{self._where}: column {image.name!r} holds {image.type}, which is neither a path"
                " nor the bytes of an image file; name another column with --image-column"
            )

    def _refuse_other_ids(self, schema: pa.Schema, small: list[str], asked: str | None) -> None:
        name = self._columns.id
        if name in {None, self._columns.image, *small}:
            return
        if asked:
            raise DatasetError(
                f"{self._where}: column {asked!r} holds {schema.field(asked).type}, and ids are"
                " texts or numbers; name another column with --id-column, or leave it out"
            )
        self._columns = replace(self._columns, id=None)

    def _small_columns(self, fields: Iterable[pa.Field[Any]]) -> list[str]:
        """The small columns: text, numbers, dates, an image's path, the predecessor's source."""
        names: list[str] = []
        for field in fields:
            if field.name == self._columns.image:
                path = leaf_of(self._table, field.name, "path")
                names += [path] if path else [] if holds_bytes(field.type) else [field.name]
            elif field.name == "metadata" and pa.types.is_struct(field.type):
                names.append("metadata.original_source")
            elif not pa.types.is_nested(field.type) and not holds_bytes(field.type):
                names.append(field.name)
        return names

    def _cursor(self, names: list[str], batch_rows: int) -> Cursor:
        return Cursor(self._table, names, batch_rows, self._chunks, self._file)

    def _image_blocks(self, schema: pa.Schema) -> Blocks | None:
        name = self._columns.image
        kind = schema.field(name).type
        if not holds_bytes(kind):
            return None
        leaf = leaf_of(self._table, name, "bytes") or name
        stored = sum(chunk.size_bytes for chunk in self._chunks if chunk.path == leaf)
        per_row = max(stored // max(self.count, 1), 1)
        return Blocks(self._cursor([leaf], max(1, min(SLICE_ROWS, _BYTES_PER_READ // per_row))))


class ShardedRows(Rows):
    """Parquet files as one dataset, in the order of their names; a few of them open at once.

    open_file: from a name to the file. skipped: counts those that are results of a run.
    """

    def __init__(
        self,
        names: Iterable[str],
        open_file: Callable[[str], BinaryIO],
        skipped: Counter[str],
        image_column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        self._open_file, self._asked = open_file, (image_column, id_column)
        self._shards: list[tuple[str, int, str]] = []  # name, first row, fingerprint
        self._open: OrderedDict[int, ParquetRows] = OrderedDict()
        self._is_numbered = False
        self.count = 0
        digest = hashlib.sha256()
        for name in sorted(names, key=os.fsencode):
            try:
                with closing(self._opened(name, self.count)) as rows:
                    shard, rows_there = (name, self.count, rows.fingerprint), rows.count
            except OurResult:
                skipped["of a run"] += 1
                continue
            if rows_there:
                self._shards.append(shard)
            self.count += rows_there
            digest.update(os.fsencode(name) + f"\0{shard[2]}\0".encode())
        self.fingerprint = digest.hexdigest()

    def ids(self) -> Iterator[str]:
        """The id of every row."""
        for number in range(len(self._shards)):
            yield from self._shard(number).ids()

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        found: list[ImageRef] = []
        for number, (_, first, _) in enumerate(self._shards):
            end = self._shards[number + 1][1] if number + 1 < len(self._shards) else self.count
            if max(start, first) < min(stop, end):
                rows = self._shard(number)
                found += rows.refs(max(start, first) - first, min(stop, end) - first)
        return found

    def embedded(self, ordinal: int, /) -> bytes | None:
        """The bytes in the row; None where it has none. Raises Unreadable for a damaged one."""
        number = bisect_right(self._shards, ordinal, key=itemgetter(1)) - 1
        return self._shard(number).embedded(ordinal - self._shards[number][1])

    def number(self) -> bool:
        """Rows of two shards may share an id."""
        self._is_numbered = True
        self.close()
        return True

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _shard(self, number: int) -> ParquetRows:
        if number not in self._open:
            while len(self._open) >= _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._opened(*self._shards[number])
        self._open.move_to_end(number)
        return self._open[number]

    def _opened(self, name: str, first_row: int, fingerprint: str = "") -> ParquetRows:
        file = self._open_file(name)
        split = split_named("{}", f"{re.split('[-_.]', PurePosixPath(name).name)[0]}/")
        split = split_named("{}", name) or split
        if hub := _HUB_SHARD.fullmatch(name):
            split = hub[1]
        try:
            rows = ParquetRows(
                file,
                name,
                *self._asked,
                first_row=first_row,
                split=split,
                fingerprint=fingerprint,
            )
        except BaseException:
            file.close()
            raise
        if self._is_numbered:
            rows.number()
        return rows


def _numbered(cursor: Cursor, start: int, stop: int) -> Iterator[tuple[int, Row]]:
    rows = (row for batch in cursor.read(start, stop) for row in batch.to_pylist())
    return enumerate(rows, start)


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold images, those with one a row before lists."""
    found = [field for field in schema if holds_bytes(field.type)]
    return [field.name for field in sorted(found, key=lambda field: _is_list(field.type))]


def empty_columns(schema: pa.Schema) -> list[str]:
    """The columns whose type says that they hold nothing."""
    return [field.name for field in schema if pa.types.is_null(_inner(field.type))]


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds images: bytes, Hugging Face's struct, or lists of one."""
    inner = _inner(kind)
    if pa.types.is_struct(inner):
        at = inner.get_field_index("bytes")
        return at >= 0 and holds_bytes(inner.field(at).type)
    is_bytes = pa.types.is_binary(inner) or pa.types.is_large_binary(inner)
    return is_bytes or pa.types.is_binary_view(inner)


def holds_paths(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, or Hugging Face's struct with a path."""
    inner = _inner(kind)
    if pa.types.is_struct(inner):
        at = inner.get_field_index("path")
        return at >= 0 and holds_paths(inner.field(at).type)
    is_text = pa.types.is_string(inner) or pa.types.is_large_string(inner)
    return is_text or pa.types.is_string_view(inner) or pa.types.is_null(inner)


def _inner(kind: Any) -> Any:
    """What a type says of one value: behind lists, dictionaries and extensions."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif _is_list(kind) or pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) and hasattr(kind, "value_type")


def leaf_of(table: pq.ParquetFile, column: str, part: str) -> str:
    """The path in the file of one field of a nested column, or of its only one; "" for none."""
    leaves = [table.schema.column(n).path for n in range(len(table.schema))]
    if column in leaves:  # not nested; another may be called "image.path"
        return column if part == "bytes" else ""
    inside = [leaf for leaf in leaves if leaf.startswith(f"{column}.")]
    named = [leaf for leaf in inside if leaf.endswith(f".{part}")]
    return next(iter(named or (inside if len(inside) == 1 and part == "bytes" else ())), "")


def bytes_in(cell: object) -> bytes | None:
    """The bytes in a cell of a column of images; None where it has none, or several."""
    cell = the_one(cell)
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data if isinstance(data, bytes) else None


class TextTableReader(ABC):
    """How one kind of text table is read, for one reader at a time.

    _at: the place in bytes behind the last line.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self._at = 0

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The columns. Raises DatasetError."""

    @abstractmethod
    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each row with its place in bytes, from a place on, or from the first row (None)."""

    def _lines(self, at: int) -> Iterator[str]:
        self._file.seek(at)
        self._at = at
        while line := self._file.readline():
            text = line.removeprefix(_BOM) if self._at == 0 else line
            try:
                decoded = text.decode()
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{self._line(self._at)} is not UTF-8; save the file as UTF-8"
                ) from error
            self._at += len(line)
            yield decoded

    def _line(self, place: int) -> str:
        """The line at this place, as an editor counts it. Reads all before it: for an error."""
        self._file.seek(0)
        number, left = 1, place
        while block := self._file.read(min(left, _BLOCK_BYTES)):
            number += block.count(b"\n")
            left -= len(block)
        return f"{self._where}, line {number}"


class CsvReader(TextTableReader):
    """Comma, semicolon, tab or bar, by Excel's `sep=` or by what the header has.

    Quoted cells may hold line ends. With one column nothing divides: a path may hold a comma.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__(file, where)
        self._first = 0
        header = next((line for line in self._lines(0) if line.strip()), "")
        if told := _SEPARATOR.fullmatch(header):
            self._first = self._at
        header = re.sub(r'"[^"]*"', "", header)
        likely = max(_DELIMITERS, key=header.count)
        self._delimiter = told[1] if told else likely if likely in header else _NONE
        self._names: list[str] = []

    def names(self) -> Sequence[str]:
        """The header's cells."""
        rows = self._cells(self._first)
        _, self._names = next(rows, (0, []))
        self._first = self._at
        if not self._names:
            raise DatasetError(f"{self._where} is empty: it has no header")
        return self._names

    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each row; cells that a short row lacks are "", empty lines are none."""
        for place, cells in self._cells(self._first if at is None else at):
            padded = cells + [""] * (len(self._names) - len(cells))
            if any(padded[len(self._names) :]):
                raise DatasetError(
                    f"{self._line(place)} has {len(cells)} cells, the header"
                    f" {len(self._names)}; put quotes around a cell that holds {self._delimiter!r}"
                )
            yield place, dict(zip(self._names, padded, strict=False))

    def _cells(self, at: int) -> Iterator[tuple[int, list[str]]]:
        rows = csv.reader(self._lines(at), delimiter=self._delimiter, strict=True)
        place = at
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                remedy = (
                    "put quotes around a cell that holds a line break"
                    if "new-line" in str(error)
                    else "a quote that begins a cell must end it, and inside it a quote is written"
                    ' twice ("")'
                )
                raise DatasetError(f"{self._line(place)}: {error}; {remedy}") from error
            if cells:
                yield place, cells
            place = self._at


def as_utf8(file: BinaryIO, where: str) -> tuple[BinaryIO, tuple[str, ...]]:
    """The text in UTF-8 with line feeds, written anew where it is not, and what was done.

    Korean Excel saves CSV as CP949, its "Unicode text" is UTF-16; a Mac's ends lines with CR.
    """
    encoding, codec = _encoding(file)
    if not codec and not _ends_lines_with_cr(file):
        return file, ()
    file.seek(0)
    text = io.TextIOWrapper(file, codec or "utf-8")
    again = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the rows
    try:
        while block := text.read(_BLOCK_BYTES):
            again.write(block.encode())
    except UnicodeError as error:
        again.close()
        raise DatasetError(f"{where} is no {encoding}: {error}; save it as UTF-8") from error
    finally:
        text.detach()
    file.close()
    return again, (f"read as {encoding}",) if codec else ()


def _encoding(file: BinaryIO) -> tuple[str, str]:
    """How the text is encoded, by name and as a codec; "" for UTF-8, also a damaged one."""
    file.seek(0)
    head = file.read(4)
    if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return "UTF-16", "utf-16"
    if len(head) > 1 and 0 in head[:2] and head[:2] != b"\0\0":
        return "UTF-16", "utf-16-be" if head[0] == 0 else "utf-16-le"
    file.seek(0)
    kinds: Counter[str] = Counter()
    for line in iter(file.readline, b""):
        if not line.isascii():
            kinds[next((kind for kind in ("utf-8", "cp949") if _decodes(line, kind)), "")] += 1
    korean = not kinds[""] and kinds["cp949"] > kinds["utf-8"]
    return ("CP949, Korean Excel's", "cp949") if korean else ("UTF-8", "")


def _decodes(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _ends_lines_with_cr(file: BinaryIO) -> bool:
    """By the first line end; a cell in quotes may hold others."""
    file.seek(0)
    found = re.search(rb"\r\n?|\n", file.read(_BLOCK_BYTES))
    return found is not None and found[0] == b"\r"


class JsonlReader(TextTableReader):
    """One JSON object a line."""

    def names(self) -> Sequence[str]:
        """The names in the first objects: one may lack some."""
        rows = [row for _, row in islice(self.rows(None), _NAMES_FROM_ROWS)]
        if not rows:
            raise DatasetError(f"{self._where} has no rows")
        return list(dict.fromkeys(name for row in rows for name in row))

    def rows(self, at: int | None) -> Iterator[tuple[int, Row]]:
        """Each object; empty lines are none."""
        place = at or 0
        for line in self._lines(place):
            if line.strip():
                yield place, self._object(line, place)
            place = self._at

    def _object(self, line: str, place: int) -> Row:
        row = json_object(line, lambda: self._line(place))
        for name, cell in row.items():
            if isinstance(cell, dict | list) and is_split(name):
                raise no_split(self._line(place), name, json.dumps(cell)[:80])
        return writable(row) if "\\u" in line else row


def json_object(line: str, where: Callable[[], str]) -> dict[str, Any]:
    """The object that a line is. where: what a DatasetError calls the line."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{where()}, column {error.colno} is not JSON: {error.msg}") from error
    except ValueError as error:
        raise DatasetError(f"{where()} cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{where()} is not a JSON object")
    return row


TEXT_READERS: dict[str, type[TextTableReader]] = {
    ".csv": CsvReader,
    ".tsv": CsvReader,
    ".jsonl": JsonlReader,
    ".ndjson": JsonlReader,
}
