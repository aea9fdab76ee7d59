"""Open a parquet file so that memory is a few pages of each column, whatever the file's size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BUFFER_BYTES = 1 << 20


def open_parquet(source: Path | BinaryIO) -> pq.ParquetFile:
    """The file, to be read in batches. Raises ArrowInvalid or OSError where it is none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 -- slow to import; aws/ has commands without it

    # Buffered, and not ahead: else every row group is read whole, and all of them stay in memory
    # until the last batch was taken.
    return pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
