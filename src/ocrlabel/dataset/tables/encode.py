"""Rows -> Arrow columns. Numbers go into flat buffers: nested Python lists cost ten times more."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from ocrlabel.dataset.tables.rows import WORD_CLASS, FailureRow, LabelRow
from ocrlabel.dataset.tables.schema import FAILURES, LABELS, SCHEMA_VERSION

Column: TypeAlias = Any
"""An Arrow array. Its stubs want an element type at every step, which says nothing here."""

_KINDS: dict[str, Column] = {"q": pa.int64(), "i": pa.int32(), "d": pa.float64()}

_ROWS_PER_PACK = 256
_WORDS_PER_PACK = 5_000


class LabelColumns:
    """Label rows on their way into one record batch.

    A few at a time become columns: a word takes some 650 bytes as an object, some 110 there.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.words = 0
        self._packed: list[pa.RecordBatch] = []
        self._waiting: list[LabelRow] = []
        self._words_waiting = 0

    def add(self, row: LabelRow) -> None:
        """Take one row. Raises ValueError when classes are given and not one a word."""
        if row.classes and len(row.classes) != len(row.words):
            raise ValueError(f"{row.id}: {len(row.classes)} classes for {len(row.words)} words")
        self.rows += 1
        self.words += len(row.words)
        self._waiting.append(row)
        self._words_waiting += len(row.words)
        if len(self._waiting) >= _ROWS_PER_PACK or self._words_waiting >= _WORDS_PER_PACK:
            self._pack()

    def batch(self) -> pa.RecordBatch:
        """Everything taken so far, in the order of LABELS."""
        self._pack()
        return _joined(self._packed)

    def _pack(self) -> None:
        self._packed.append(_labels_batch(self._waiting))
        self._waiting, self._words_waiting = [], 0


def failures_batch(rows: Sequence[FailureRow]) -> pa.RecordBatch:
    """Failure rows as one record batch, in the order of FAILURES."""
    columns: dict[str, Column] = {
        "schema_version": _strings([SCHEMA_VERSION] * len(rows)),
        "ordinal": _numbers("q", [row.ordinal for row in rows]),
        "id": _strings([row.id for row in rows]),
        "image_path": _strings([row.image_path for row in rows]),
        "failure_class": _strings([row.failure_class for row in rows]),
        "message": _strings([row.message for row in rows]),
        "attempts": _numbers("i", [row.attempts for row in rows]),
        "retryable": pa.array([row.retryable for row in rows], pa.bool_()),
        "engine": _strings([row.engine for row in rows]),
        "image_sha256": _strings([row.image_sha256 for row in rows]),
        "failed_at": pa.array([row.failed_at for row in rows], FAILURES.field("failed_at").type),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in FAILURES.names], schema=FAILURES)


def _labels_batch(rows: Sequence[LabelRow]) -> pa.RecordBatch:
    words = [word for row in rows for word in row.words]
    ends = _ends(len(row.words) for row in rows)
    metadata = pa.StructArray.from_arrays(
        [_strings([row.original_source for row in rows])], names=["original_source"]
    )
    columns: dict[str, Column] = {
        "schema_version": _strings([SCHEMA_VERSION] * len(rows)),
        "id": _strings([row.id for row in rows]),
        "split": _strings([row.split for row in rows]),
        "image_path": _strings([row.image_path for row in rows]),
        "image_filename": _strings([row.image_filename for row in rows]),
        "width": _numbers("q", [row.width_px for row in rows]),
        "height": _numbers("q", [row.height_px for row in rows]),
        "polygons": _lists(ends, _polygons(words_of=rows)),
        "texts": _lists(ends, _strings([word.text for word in words])),
        "labels": _lists(ends, _strings([name for row in rows for name in _classes(row)])),
        "metadata": metadata,
        "confidences": _lists(ends, pa.array([word.confidence for word in words], pa.float64())),
        "page_confidence": pa.array([row.page_confidence for row in rows], pa.float64()),
        "page": _numbers("i", [row.page for row in rows]),
        "page_count": _numbers("i", [row.page_count for row in rows]),
        "engine": _strings([row.engine for row in rows]),
        "model_version": _strings([row.model_version for row in rows]),
        "image_sha256": _strings([row.image_sha256 for row in rows]),
        "attempts": _numbers("i", [row.attempts for row in rows]),
        "latency_s": _numbers("d", [row.latency_s for row in rows]),
        "billed_pages": _numbers("i", [row.billed_pages for row in rows]),
        "labelled_at": pa.array(
            [row.labelled_at for row in rows], LABELS.field("labelled_at").type
        ),
        "source": _strings([row.source for row in rows]),
        "input_row": _strings([row.input_row for row in rows]),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in LABELS.names], schema=LABELS)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    stubs_lack_it: Any = pa
    joined: pa.RecordBatch = stubs_lack_it.concat_batches(batches)
    return joined


def _classes(row: LabelRow) -> tuple[str, ...]:
    return row.classes or (WORD_CLASS,) * len(row.words)


def _polygons(*, words_of: Sequence[LabelRow]) -> Column:
    corners = array("d")
    points = array("i", [0])
    for row in words_of:
        for word in row.words:
            for point in word.polygon:
                corners.extend(point)
            points.append(len(corners) // 2)
    pairs = pa.ListArray.from_arrays(
        _flat(array("i", range(0, len(corners) + 1, 2))), _flat(corners)
    )
    return pa.ListArray.from_arrays(_flat(points), pairs)


def _ends(lengths: Iterable[int]) -> array[int]:
    ends = array("i", [0])
    for length in lengths:
        ends.append(ends[-1] + length)
    return ends


def _lists(ends: array[int], values: Column) -> Column:
    return pa.ListArray.from_arrays(_flat(ends), values)


def _strings(values: list[str]) -> Column:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        # Half a surrogate pair, as a JSON answer may hold; UTF-8 has no place for it.
        return pa.array([value.encode("utf-8", "replace").decode() for value in values])


def _numbers(code: str, values: list[int] | list[float]) -> Column:
    return _flat(array(code, values))


def _flat(values: array[Any]) -> Column:
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(_KINDS[values.typecode], len(values), buffers)
