"""Arrow columns -> rows, for our own labels tables and the predecessor's."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa

from ocrlabel.dataset.tables.rows import FROM_ENGINE, SPLIT, WORD_CLASS, FailureRow, LabelRow
from ocrlabel.dataset.tables.schema import LABELS
from ocrlabel.errors import DatasetError
from ocrlabel.labels import Point, Word

# What a column holds where the table has none, or null.
_INSTEAD: dict[str, object] = {
    "split": SPLIT,
    "page": 1,
    "page_count": 1,
    "attempts": 0,
    "latency_s": 0.0,
    "billed_pages": 0,
    "source": FROM_ENGINE,
    "input_row": "{}",
    "width": 0,
    "height": 0,
    "page_confidence": None,
    "labelled_at": None,
}


def label_rows_of(batch: pa.RecordBatch, first_row: int, where: str) -> Iterator[LabelRow]:
    """The rows of one batch; first_row and where are for the message of a DatasetError."""
    columns = {name: _column(batch, name, where) for name in LABELS.names}
    words = _words(columns, len(batch), first_row, where)
    classes = _text_lists(columns["labels"], len(batch))
    sources = _original_sources(columns["metadata"], len(batch))
    scalar = {
        name: _values(columns[name], len(batch), _INSTEAD.get(name, ""))
        for name in LABELS.names
        if not pa.types.is_nested(LABELS.field(name).type)
    }
    for at in range(len(batch)):
        yield LabelRow(
            id=scalar["id"][at],
            image_path=scalar["image_path"][at],
            image_filename=scalar["image_filename"][at],
            width_px=scalar["width"][at],
            height_px=scalar["height"][at],
            words=words[at],
            classes=_fitted(classes[at], len(words[at])),
            split=scalar["split"][at],
            original_source=sources[at],
            page_confidence=scalar["page_confidence"][at],
            page=scalar["page"][at],
            page_count=scalar["page_count"][at],
            engine=scalar["engine"][at],
            model_version=scalar["model_version"][at],
            image_sha256=scalar["image_sha256"][at],
            attempts=scalar["attempts"][at],
            latency_s=scalar["latency_s"][at],
            billed_pages=scalar["billed_pages"][at],
            labelled_at=scalar["labelled_at"][at],
            source=scalar["source"][at],
            input_row=scalar["input_row"][at],
        )


def failure_rows_of(batch: pa.RecordBatch) -> Iterator[FailureRow]:
    """The rows of one batch of a failures table."""
    for row in batch.to_pylist():
        row.pop("schema_version", None)
        yield FailureRow(**row)


def _column(batch: pa.RecordBatch, name: str, where: str) -> Any:
    index = batch.schema.get_field_index(name)
    if index < 0:
        return None
    column = batch.column(index)
    wanted = LABELS.field(name).type
    if column.type == wanted or name == "metadata":
        return column
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DatasetError(
            f"{where}: column {name!r} holds {column.type}, a labels table has {wanted} there"
        ) from error


def _values(column: Any, rows: int, instead: object) -> list[Any]:
    if column is None:
        return [instead] * rows
    values: list[Any] = column.to_pylist()
    return (
        [instead if value is None else value for value in values] if column.null_count else values
    )


def _words(
    columns: dict[str, Any], rows: int, first_row: int, where: str
) -> list[tuple[Word, ...]]:
    polygons = _polygons(columns["polygons"], where)
    texts = _text_lists(columns["texts"], rows)
    known = columns["confidences"]
    scores = [None] * rows if known is None else known.to_pylist()
    found: list[tuple[Word, ...]] = []
    for at, (corners, read, sure) in enumerate(zip(polygons, texts, scores, strict=True)):
        confidences = sure or [None] * len(read)
        if not len(corners) == len(read) == len(confidences):
            raise DatasetError(
                f"{where}: row {first_row + at} has {len(corners)} polygons, {len(read)} texts and "
                f"{len(confidences)} confidences; they must be as many"
            )
        found.append(tuple(map(Word, read, corners, confidences)))
    return found


def _polygons(column: Any, where: str) -> list[list[tuple[Point, ...]]]:
    rows, polygons = _opened(column)
    words, points = _opened(polygons)
    ends, corners = _opened(points)
    if corners.null_count or any(end - start != 2 for start, end in pairwise(ends)):
        raise DatasetError(f"{where}: a point in column 'polygons' is not two numbers")
    flat = _floats(corners)
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    shapes = [tuple(pairs[start:end]) for start, end in pairwise(words)]
    return [shapes[start:end] for start, end in pairwise(rows)]


def _opened(column: Any) -> tuple[list[int], Any]:
    """The ends of each list, from 0, and the values between them."""
    ends: list[int] = column.offsets.to_pylist() or [0]
    start = ends[0]
    return [end - start for end in ends], column.values.slice(start, ends[-1] - start)


def _floats(column: Any) -> list[float]:
    buffer = column.buffers()[1]
    if buffer is None:
        return []
    numbers = array("d")
    start = column.offset * numbers.itemsize
    numbers.frombytes(memoryview(buffer)[start : start + len(column) * numbers.itemsize])
    return numbers.tolist()


def _text_lists(column: Any, rows: int) -> list[list[str]]:
    if column is None:
        return [[]] * rows
    return [[text or "" for text in texts or ()] for texts in column.to_pylist()]


def _fitted(classes: list[str], words: int) -> tuple[str, ...]:
    return tuple(classes) if len(classes) == words else (WORD_CLASS,) * words


def _original_sources(column: Any, rows: int) -> list[str]:
    if column is None or not pa.types.is_struct(column.type):
        return [""] * rows
    return [(entry or {}).get("original_source") or "" for entry in column.to_pylist()]
