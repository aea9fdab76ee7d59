"""Images that lie in a parquet table themselves, as Hugging Face's image columns keep them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.errors import ConfigError

_ROWS_PER_READ = 64


class PackedImages:
    """The images of one table, found by their sha256, whatever the table calls them.

    The table is read through once to see where each image lies; what is remembered of that is in a
    temporary file of SQLite's. Labels come in the table's order, so it is read once more, a few
    rows in memory at a time.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._table = open_parquet(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"--images {path} cannot be read as parquet: {error}") from error
        self._column = _image_column(self._table.schema_arrow, path)
        self._where = sqlite3.connect("")
        self._where.execute("CREATE TABLE found (sha256 TEXT PRIMARY KEY, grp INT, row INT)")
        for group in range(self._table.num_row_groups):
            for number, data in enumerate(self._bytes_of(group)):
                sha256 = hashlib.sha256(data).hexdigest()
                self._where.execute(
                    "INSERT OR IGNORE INTO found VALUES (?, ?, ?)", (sha256, group, number)
                )
        self._group, self._next = -1, 0
        self._ahead: Iterator[bytes] = iter(())

    def candidates(self, row: LabelRow) -> Iterator[bytes]:
        """Return the image with the row's sha256; nothing for rows that have none."""
        found = self._where.execute(
            "SELECT grp, row FROM found WHERE sha256 = ?", (row.image_sha256,)
        ).fetchone()
        if found is None:
            return
        group, number = found
        if group != self._group or number < self._next:
            self._group, self._next, self._ahead = group, 0, self._bytes_of(group)
        for at, data in enumerate(self._ahead, start=self._next):
            self._next = at + 1
            if at == number:
                yield data
                return

    def _bytes_of(self, group: int) -> Iterator[bytes]:
        for batch in self._table.iter_batches(
            batch_size=_ROWS_PER_READ, row_groups=[group], columns=[self._column]
        ):
            for value in batch.column(0).to_pylist():
                yield _bytes(value)


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        value = value.get("bytes")
    return value or b""


def _image_column(schema: pa.Schema, path: Path) -> str:
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return str(field.name)
    for field in schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            return str(field.name)
    raise ConfigError(
        f"--images {path} has no column with image bytes\n  name the folder that holds the images"
    )
