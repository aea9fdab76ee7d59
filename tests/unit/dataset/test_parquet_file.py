"""What is held in memory of a parquet file does not grow with the rows that were read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.parquet_io import open_parquet

GROUPS, ROWS = 30, 1_000


def test_of_a_table_of_thirty_row_groups_a_few_are_held_at_once(tmp_path):
    path = tmp_path / "table.parquet"
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()}), compression="none") as writer:
        for group in range(GROUPS):
            texts = [f"{group}-{row}".ljust(400) for row in range(ROWS)]
            writer.write_batch(pa.record_batch({"text": texts}))
    before = pa.total_allocated_bytes()
    held: list[int] = []
    with open_parquet(path) as table:
        for batch in table.iter_batches(100, use_threads=False):
            held.append(pa.total_allocated_bytes() - before)
            assert len(batch) == 100
    assert len(held) == GROUPS * ROWS // 100
    assert max(held) < path.stat().st_size / 4
