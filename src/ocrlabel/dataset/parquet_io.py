"""Parquet files: opened so that memory is a few pages of each column, read by row number.

Some writers put a million rows into one group. So a group is never held whole: it is read
forwards batch by batch, and a read that goes on where the last one ended costs nothing extra.
pyarrow is imported when a file is opened: aws/ has commands that need none.
"""

from __future__ import annotations

import os
import secrets
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from ocrlabel.errors import DatasetError, StoreUnavailable
from ocrlabel.storage.base import MAY_PASS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Column: TypeAlias = Any
"""An Arrow array. Its stubs want an element type at every step, which says nothing here."""
_BUFFER_BYTES = 1 << 20
_MOST_BYTES = 64_000_000
_MOST_VALUES = 10_000_000
_MOST_TIMES = 200
"""What is larger than the two before it may not swell by more than this when it is read."""
_SMALL_BYTES = 1 << 18
_DECODED_BYTES = 64_000_000
_MOST_KEPT = 64  # batches, so that finding one takes the same time in the largest table
UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, NotImplementedError, ArithmeticError, MemoryError,
    RecursionError,
)  # fmt: skip
"""What reading a damaged or hostile file ends in: pyarrow's own errors are of these kinds."""


def flat(values: array[Any], kind: Any) -> Column:
    """Numbers as an Arrow array of this type, which shares their memory."""
    import pyarrow as pa  # noqa: PLC0415 -- slow to import

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def one_line(error: BaseException) -> str:
    """The first line of an error: pyarrow's go on for several."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def open_parquet(source: Path | BinaryIO) -> pq.ParquetFile:
    """The file, to be read in batches. Raises ArrowInvalid or OSError where it is none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 -- slow to import

    # Buffered, and not ahead: else every row group is read whole, and all of them stay in memory
    # until the last batch was taken.
    file = pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    if isinstance(source, str | Path):
        stored_bytes = Path(source).stat().st_size
    else:
        stored_bytes = source.seek(0, os.SEEK_END)
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        _refuse_a_bomb(
            f"row group {number + 1}", stored_bytes, group.total_byte_size, group.num_rows
        )
    return file


def _refuse_a_bomb(what: str, stored_bytes: int, size_bytes: int, values: int) -> None:
    """Raise OSError where few bytes claim to be very many, or very many values."""
    swells = size_bytes > max(_MOST_BYTES, _MOST_TIMES * stored_bytes)
    if swells or values > max(_MOST_VALUES, _MOST_TIMES * stored_bytes):
        raise OSError(
            f"{what}: {stored_bytes:,} bytes claim to be {values:,} values of {size_bytes:,} bytes"
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of one row group, as the footer tells of it. dictionary_at: None for none."""

    path: str
    values: int
    size_bytes: int
    stored_bytes: int
    dictionary_at: int | None


def chunks_of(file: BinaryIO) -> list[Chunk]:
    """Every column of every row group. Raises one of UNREADABLE, also for few that claim much.

    Read here: pyarrow ends the process over a column whose description is damaged.
    """
    end = file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(end - length)
    footer = _Thrift(file.read(length)).struct()
    found = []
    for number, group in enumerate(footer[4]):
        for column in group[1]:
            meta = column[3]
            path = b".".join(meta[3]).decode()
            chunk = Chunk(path, meta[5], meta[6], meta[7], meta.get(11))
            what = f"row group {number + 1}, column {path!r}"
            _refuse_a_bomb(what, chunk.stored_bytes, chunk.size_bytes, chunk.values)
            found.append(chunk)
    return found


class _Thrift:
    """Thrift's compact protocol: a struct as values by field number."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind in {1, 2} else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in {4, 5, 6}:
            return self._signed()
        if kind == 12:
            return self.struct()
        if kind in {9, 10}:
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(count)]
        size = {1: 1, 2: 1, 3: 1, 7: 8}.get(kind) or self._varint()
        if kind not in {1, 2, 3, 7, 8} or self._at + size > len(self._data):
            raise ValueError("the footer is damaged")
        self._at += size
        return self._data[self._at - size : self._at]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def rows_at_once(
    chunks: Iterable[Chunk], file: BinaryIO | None, columns: Sequence[str], wanted: int
) -> int:
    """How many rows may be decoded together.

    A value that stands once in a dictionary may be that of every row, so the largest dictionaries
    of the columns, taken so many times, must still fit into memory.
    """
    largest: Counter[str] = Counter()
    for chunk in chunks:
        if chunk.dictionary_at and chunk.path in columns:
            largest[chunk.path] = max(largest[chunk.path], _dictionary_bytes(chunk, file))
    return max(1, min(wanted, _DECODED_BYTES // max(1, largest.total())))


def _dictionary_bytes(chunk: Chunk, file: BinaryIO | None) -> int:
    """The size of a chunk's dictionary, or the most that it can be where its head is not at hand.

    A page begins with its type and its size.
    """
    if chunk.size_bytes <= _SMALL_BYTES:
        return chunk.size_bytes
    try:
        head = os.pread(file.fileno(), 64, chunk.dictionary_at or 0) if file else b""
        size: int = _Thrift(head + bytes(64)).struct()[2]
    except UNREADABLE:  # in a bucket: a request for every head is too many
        swells = chunk.size_bytes > _MOST_TIMES * chunk.stored_bytes
        return chunk.size_bytes if swells else _SMALL_BYTES
    return max(0, min(chunk.size_bytes, size))


class Cursor:
    """Reads some columns, up to batch_rows together. Not thread-safe."""

    def __init__(
        self,
        file: pq.ParquetFile,
        columns: list[str],
        batch_rows: int,
        chunks: Sequence[Chunk] = (),
        source: BinaryIO | None = None,
    ) -> None:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
        self.rows = sum(sizes)
        self._file, self._columns = file, columns
        self._batch_rows = rows_at_once(chunks, source, columns, batch_rows)
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
            following = next(self._batches, None)
            if following is None:
                raise ValueError(f"row group {group + 1} has fewer rows than it claims")
            self._batch = following
            self._first, self._stop = self._stop, self._stop + len(self._batch)
        self._group = group
        return self._first, self._batch


class Blocks:
    """A cursor that keeps its last batches, for readers that are at several places at once."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
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
        while len(self._kept) > _MOST_KEPT or (
            len(self._kept) > 1 and self._kept_bytes > _DECODED_BYTES
        ):
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return first, batch


@contextmanager
def readable(where: str, row: Callable[[], int]) -> Iterator[None]:
    """Raise DatasetError, with the number of the row (from 0) that was next, for a damaged file."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno in MAY_PASS:
            raise StoreUnavailable(f"{where} cannot be read now: {error.strerror}") from error
        raise DatasetError(
            f"{where}: row {row() + 1}, or one soon after it, cannot be read: {one_line(error)}"
        ) from error


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
