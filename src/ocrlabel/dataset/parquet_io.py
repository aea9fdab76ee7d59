"""Parquet files: opened so that memory is a few pages of each column, read by row number.

Some writers put a million rows into one group. So a group is never held whole: it is read
forwards batch by batch, and a read that goes on where the last one ended costs nothing extra.
pyarrow is imported when a file is opened: aws/ has commands that need none.
"""

from __future__ import annotations

import os
import secrets
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BUFFER_BYTES = 1 << 20
UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, NotImplementedError, ArithmeticError, MemoryError,
)  # fmt: skip
"""What reading a damaged or hostile file ends in: pyarrow's own errors are of these kinds."""


def one_line(error: BaseException) -> str:
    """The first line of an error: pyarrow's go on for several."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def open_parquet(source: Path | BinaryIO) -> pq.ParquetFile:
    """The file, to be read in batches. Raises ArrowInvalid or OSError where it is none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 -- slow to import

    # Buffered, and not ahead: else every row group is read whole, and all of them stay in memory
    # until the last batch was taken.
    return pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)


class Cursor:
    """Reads some columns. Not thread-safe."""

    def __init__(self, file: pq.ParquetFile, columns: list[str], batch_rows: int) -> None:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
        self.rows = sum(sizes)
        self._file, self._columns, self._batch_rows = file, columns, batch_rows
        self._starts = [0, *accumulate(sizes)][:-1]
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch
        self._first = self._stop = 0  # the rows of the batch

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """The rows start to stop - 1, in one or more batches."""
        while start < min(stop, self.rows):
            first, batch = self.around(start)
            piece = batch.slice(start - first, stop - start)
            yield piece
            start += len(piece)

    def around(self, row: int) -> tuple[int, pa.RecordBatch]:
        """The batch that holds a row, and the number of the batch's first row."""
        # groups without rows start where the next one does: the last of them is the right one
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            self._first = self._stop = self._starts[group]
            self._batches = self._file.iter_batches(
                self._batch_rows, row_groups=[group], columns=self._columns
            )
        self._group = -1  # a read that fails ends the iterator: the next one begins anew
        while row >= self._stop:
            self._batch = next(self._batches)
            self._first, self._stop = self._stop, self._stop + len(self._batch)
        self._group = group
        return self._first, self._batch


class Blocks:
    """A cursor that keeps its last batches, for readers that are at several places at once.

    kept: how many, so that finding one takes the same time in the largest table.
    """

    def __init__(self, cursor: Cursor, kept_bytes: int = 64_000_000, kept: int = 64) -> None:
        self._cursor, self._most_bytes, self._most = cursor, kept_bytes, kept
        self._kept: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._kept_bytes = 0

    def around(self, row: int) -> tuple[int, pa.RecordBatch]:
        """The batch that holds a row, and the number of the batch's first row."""
        for first in reversed(self._kept):
            batch = self._kept[first]
            if first <= row < first + len(batch):
                self._kept.move_to_end(first)
                return first, batch
        first, batch = self._cursor.around(row)
        self._kept[first] = batch
        self._kept_bytes += batch.nbytes
        while len(self._kept) > self._most or (
            len(self._kept) > 1 and self._kept_bytes > self._most_bytes
        ):
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return first, batch


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write beside `path` and rename at the end; after an error nothing of it stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".ocrlabel-{secrets.token_hex(6)}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
