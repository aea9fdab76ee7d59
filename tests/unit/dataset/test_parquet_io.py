"""Rows of a parquet file by number, also after its store has failed in the middle of a read."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset.parquet_io import Blocks, Cursor, open_parquet
from ocrlabel.errors import StoreUnavailable

ROWS = 20_000


class Flaky(io.RawIOBase):
    """A file in a store that does not answer while `gone`."""

    gone = False

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, *where):
        return self._data.seek(*where)

    def tell(self):
        return self._data.tell()

    def readinto(self, into):
        if self.gone:
            raise StoreUnavailable("the input does not answer")
        return self._data.readinto(into)


@pytest.fixture
def opened():
    data = io.BytesIO()
    texts = [f"{n} {'x' * 50}" for n in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "text": texts}), data, row_group_size=5000)
    file = Flaky(data.getvalue())
    with pq.ParquetFile(io.BufferedReader(file, 1024)) as table:
        yield file, Cursor(table, ["id", "text"], 1000)


def ids(cursor, start, stop):
    return [row["id"] for batch in cursor.read(start, stop) for row in batch.to_pylist()]


@pytest.mark.parametrize("start", [4990, 6000, 19_998])
def test_a_read_that_failed_can_be_done_again(opened, start):
    file, cursor = opened
    assert ids(cursor, 10_000, 10_003) == [10_000, 10_001, 10_002]
    file.gone = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            ids(cursor, start, start + 2)
    file.gone = False
    assert ids(cursor, start, start + 2) == [start, start + 1]
    assert ids(cursor, 0, 1) == [0]


class Counted(Cursor):
    """Counts what is read again."""

    reads = 0

    def around(self, row):
        self.reads += 1
        return super().around(row)


def test_the_last_blocks_are_kept_and_no_more_however_large_the_table():
    data = io.BytesIO()
    pq.write_table(pa.table({"id": range(ROWS)}), data)
    with pq.ParquetFile(data) as table:
        cursor = Counted(table, ["id"], 10)
        blocks = Blocks(cursor)
        for row in range(0, ROWS, 10):
            blocks.around(row)
        assert cursor.reads == ROWS // 10
        for row in range(ROWS - 640, ROWS):
            first, batch = blocks.around(row)
            assert batch.to_pylist()[row - first] == {"id": row}
        assert cursor.reads == ROWS // 10
        blocks.around(ROWS - 650)
        assert cursor.reads == ROWS // 10 + 1


# memory: it does not grow with the rows that were read

GROUPS, ROWS_PER_GROUP = 30, 1_000


def test_of_a_table_of_thirty_row_groups_a_few_are_held_at_once(tmp_path):
    path = tmp_path / "table.parquet"
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()}), compression="none") as writer:
        for group in range(GROUPS):
            texts = [f"{group}-{row}".ljust(400) for row in range(ROWS_PER_GROUP)]
            writer.write_batch(pa.record_batch({"text": texts}))
    before = pa.total_allocated_bytes()
    held: list[int] = []
    with open_parquet(path) as table:
        for batch in table.iter_batches(100, use_threads=False):
            held.append(pa.total_allocated_bytes() - before)
            assert len(batch) == 100
    assert len(held) == GROUPS * ROWS_PER_GROUP // 100
    assert max(held) < path.stat().st_size / 4
