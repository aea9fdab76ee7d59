"""Two rows with one id, found among millions in 8 bytes a row."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc


def first_duplicate(read_ids: Callable[[], Iterable[str]]) -> tuple[int, int, str] | None:
    """The numbers (from 0) of two rows with the same id, and the id; None when all differ.

    read_ids is called a second time if two hashes are equal, to see whether the ids are.
    """
    hashes = array("q", map(hash, read_ids()))
    doubled = _doubled(hashes)
    if not doubled:
        return None
    seen: dict[str, int] = {}
    for row, (hashed, id_) in enumerate(zip(hashes, read_ids(), strict=True)):
        if hashed in doubled:
            if id_ in seen:
                return seen[id_], row, id_
            seen[id_] = row
    return None


def _doubled(hashes: array[int]) -> set[int]:
    values = pa.Array.from_buffers(pa.int64(), len(hashes), [None, pa.py_buffer(hashes)])
    in_order = values.take(pc.array_sort_indices(values))
    same = pc.equal(in_order[1:], in_order[:-1])
    return {value for value in in_order[1:].filter(same).to_pylist() if value is not None}
