"""A parquet table: the predecessor's, a Hugging Face one with images inside, or any with paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.inputs.base import hash_of
from ocrlabel.dataset.inputs.columns import Columns, choose_columns, identity, reference
from ocrlabel.dataset.tables.cursor import Blocks, Cursor
from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.errors import DatasetError
from ocrlabel.labels import ImageRef

_ROWS_PER_READ = 512
_ROWS_PER_ID_READ = 4096
_IMAGES_PER_READ = 25  # rows of a slice, which are read one after the other
_BYTES_PER_READ = 32_000_000
_OUR_METADATA = b"ocrlabel"


class ParquetRows:
    """References come from the small columns; the bytes are read only when an image is."""

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
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{where} is not a parquet file, or it is cut off") from error
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
        self._blocks = _image_blocks(self._table, schema, self._columns)
        self._by_number = False
        self._rows = Cursor(self._table, _small_columns(schema, self._columns), _ROWS_PER_READ)
        self.fingerprint = hash_of(file)

    def ids(self) -> Iterator[str]:
        """The id of every row; raises DatasetError for a row without one."""
        needed = self._table.schema_arrow.field(self._columns.id or self._columns.image)
        names = _small_columns([needed], self._columns)
        ordinal = 0
        for batch in Cursor(self._table, names, _ROWS_PER_ID_READ).read(0, self.count):
            for row in batch.to_pylist():
                yield identity(
                    row,
                    ordinal,
                    self._columns,
                    self._where,
                    embedded=self._blocks is not None,
                    numbered=self._by_number,
                )
                ordinal += 1

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        found: list[ImageRef] = []
        for batch in self._rows.read(start, stop):
            for row in batch.to_pylist():
                found.append(
                    reference(
                        row,
                        start + len(found),
                        self._columns,
                        self._where,
                        embedded=self._blocks is not None,
                        numbered=self._by_number,
                    )
                )
        return found

    def embedded(self, ordinal: int, /) -> bytes | None:
        """The bytes in the row; None where it has none."""
        if self._blocks is None:
            return None
        first, batch = self._blocks.around(ordinal)
        cell: Any = batch.column(0)[ordinal - first].as_py()
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        return data if isinstance(data, bytes) else None

    def number(self) -> bool:
        """Images inside need no path, so paths that are there twice can be left aside."""
        self._by_number = self._blocks is not None and self._columns.id is None
        return self._by_number

    def path(self, ref: ImageRef) -> str:
        """As it is written."""
        return ref.path

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        self._file.close()


def _image_blocks(table: pq.ParquetFile, schema: pa.Schema, columns: Columns) -> Blocks | None:
    kind = schema.field(columns.image).type
    if not holds_bytes(kind):
        return None
    leaf = f"{columns.image}.bytes" if pa.types.is_struct(kind) else columns.image
    metadata = table.metadata
    stored = sum(
        metadata.row_group(group).column(column).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
        if metadata.schema.column(column).path == leaf
    )
    per_row = max(stored // metadata.num_rows, 1)
    rows = max(1, min(_IMAGES_PER_READ, _BYTES_PER_READ // per_row))
    return Blocks(Cursor(table, [leaf], rows))


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
