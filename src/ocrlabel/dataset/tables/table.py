"""The labels and the failures table as files: written in a stream, read in a stream.

What a run wants to say about itself (engine, options, run id, ...) goes into the parquet schema
metadata under "ocrlabel.<name>", where every reader ignores it and `table_info` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.tables.atomic import whole_file
from ocrlabel.dataset.tables.decode import failure_rows_of, label_rows_of
from ocrlabel.dataset.tables.encode import LabelColumns, failures_batch
from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.dataset.tables.rows import FailureRow, LabelRow, failure_row, label_rows
from ocrlabel.dataset.tables.schema import FAILURES, LABELS, NEEDED_OF_LABELS, SCHEMA_VERSION
from ocrlabel.errors import DatasetError
from ocrlabel.labels import Failed, ImageRef, Labelled

__all__ = [
    "FailureRow",
    "FailuresWriter",
    "LabelRow",
    "LabelsWriter",
    "failure_row",
    "label_rows",
    "read_failures",
    "read_labels",
    "rewrite_labels",
    "table_info",
]

Table: TypeAlias = Path | BinaryIO

# What the writer holds in memory until a row group is full: some 10 MB of words.
ROWS_PER_GROUP = 5_000
WORDS_PER_GROUP = 100_000
_ROWS_PER_READ = 64
_PREFIX = "ocrlabel."


class _Writer:
    """A parquet file that appears under its name only when the `with` block ends well."""

    def __init__(self, path: Path, schema: pa.Schema, kind: str, info: Mapping[str, str]) -> None:
        told = {"table": kind, "schema_version": SCHEMA_VERSION, **info}
        self._path = path
        self._schema = schema.with_metadata({_PREFIX + key: told[key] for key in told})
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            file = opening.enter_context(whole_file(self._path))
            self._parquet = opening.enter_context(
                pq.ParquetWriter(file, self._schema, compression="zstd")
            )
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, traceback)
            return
        with self._open:
            self._flush()

    def _write(self, batch: pa.RecordBatch) -> None:
        self._parquet.write_batch(batch.replace_schema_metadata(self._schema.metadata))

    def _flush(self) -> None:
        raise NotImplementedError


class LabelsWriter(_Writer):
    """Writes a labels table: `with LabelsWriter(path, info) as table: table.add(row)`."""

    def __init__(self, path: Path, info: Mapping[str, str] | None = None) -> None:
        super().__init__(path, LABELS, "labels", info or {})
        self._columns = LabelColumns()

    def add(self, row: LabelRow) -> None:
        """Write one page."""
        self._columns.add(row)
        if self._columns.rows >= ROWS_PER_GROUP or self._columns.words >= WORDS_PER_GROUP:
            self._flush()

    def add_outcome(self, ref: ImageRef, outcome: Labelled) -> None:
        """Write every page of one document."""
        for row in label_rows(ref, outcome):
            self.add(row)

    def _flush(self) -> None:
        if self._columns.rows:
            self._write(self._columns.batch())
            self._columns = LabelColumns()


class FailuresWriter(_Writer):
    """Writes a failures table, likewise."""

    def __init__(self, path: Path, info: Mapping[str, str] | None = None) -> None:
        super().__init__(path, FAILURES, "failures", info or {})
        self._rows: list[FailureRow] = []

    def add(self, row: FailureRow) -> None:
        """Write one failed input row."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def add_outcome(self, ref: ImageRef, failed: Failed) -> None:
        """Write one failed input row."""
        self.add(failure_row(ref, failed))

    def _flush(self) -> None:
        if self._rows:
            self._write(failures_batch(self._rows))
            self._rows = []


def read_labels(table: Table) -> Iterator[LabelRow]:
    """Every page of a labels table, ours or the predecessor's, 64 in memory at once.

    Raises DatasetError when it is another kind of table.
    """
    where = _name(table)
    with _opened(table) as file:
        _demand(file, NEEDED_OF_LABELS, where, "labels")
        known = [name for name in file.schema_arrow.names if name in LABELS.names]
        row = 0
        for batch in _batches(file, known):
            yield from label_rows_of(batch, row, where)
            row += len(batch)


def read_failures(table: Table) -> Iterator[FailureRow]:
    """Every row of a failures table. Raises DatasetError when it is another kind of table."""
    with _opened(table) as file:
        _demand(file, FAILURES.names, _name(table), "failures")
        for batch in _batches(file, FAILURES.names):
            yield from failure_rows_of(batch)


def table_info(table: Table) -> dict[str, str]:
    """What the writer of a table said about it; {} for a table that is not ours."""
    with _opened(table) as file:
        metadata = file.schema_arrow.metadata or {}
    texts = {key.decode(): value.decode("utf-8", "replace") for key, value in metadata.items()}
    return {
        key.removeprefix(_PREFIX): value for key, value in texts.items() if key.startswith(_PREFIX)
    }


def rewrite_labels(
    source: Path,
    target: Path,
    change: Callable[[LabelRow], LabelRow | None],
    *,
    changed_by: str,
) -> int:
    """Copy a labels table row by row through `change` (None leaves a row out); rows written.

    changed_by stands in the table's info as "changed_by": such a table is no longer what the
    engine said, so `--reuse-from` refuses it. source and target may be the same file.
    """
    written = 0
    with LabelsWriter(target, {**table_info(source), "changed_by": changed_by}) as table:
        for row in read_labels(source):
            changed = change(row)
            if changed is not None:
                table.add(changed)
                written += 1
    return written


def _opened(table: Table) -> pq.ParquetFile:
    try:
        return open_parquet(table)
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{_name(table)} is not a parquet file, or it is cut off") from error
    except FileNotFoundError as error:
        raise DatasetError(f"{_name(table)}: there is no such file") from error
    except OSError as error:
        raise DatasetError(f"{_name(table)} cannot be read: {error}") from error


def _batches(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    # pyarrow's own threads would win no time, and each keeps memory of its own: 30 MB together
    return file.iter_batches(_ROWS_PER_READ, columns=columns, use_threads=False)


def _demand(
    file: pq.ParquetFile, needed: tuple[str, ...] | list[str], where: str, kind: str
) -> None:
    for name in needed:
        if name not in file.schema_arrow.names:
            raise DatasetError(f"{where} is not a {kind} table: it has no column {name!r}")


def _name(table: Table) -> str:
    is_path = isinstance(table, str | Path)
    return str(table) if is_path else str(getattr(table, "name", "the table"))
