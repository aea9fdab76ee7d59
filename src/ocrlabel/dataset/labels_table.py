"""The labels table and the failures table: their columns, their rows, written and read in a stream.

The first eleven columns of the labels table are the predecessor's `OCRStorageItem`, so its readers
go on working; the rest is ours. `read_labels` takes both. A change of the columns is a change of
SCHEMA_VERSION and of the golden file tests/golden/tables.txt.

What a run wants to say about itself (engine, options, run id, ...) goes into the parquet schema
metadata under "ocrlabel.<name>", where every reader ignores it and `table_info` finds it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.characters import writable
from ocrlabel.dataset.checkpoint_table import is_checkpoint, moment, settled_rows
from ocrlabel.dataset.parquet_io import (
    UNREADABLE,
    Column,
    flat,
    one_line,
    open_parquet,
    readable,
    whole_file,
)
from ocrlabel.dataset.rows import split_named
from ocrlabel.errors import DatasetError
from ocrlabel.labels import Failed, ImageRef, Labelled, Page, Point, Word

Table: TypeAlias = Path | BinaryIO

SPLIT = "pseudo"
WORD_CLASS = "text"
IGNORE = "ignore"
"""The class of a word that nobody should learn from, and no figure counts: do-not-care."""
UNCERTAIN = "uncertain"
"""The class of a doubtful word in a table for review, until a person has seen its page."""
FROM_ENGINE = "engine"
CONFIDENCE, P_CORRECT = "confidence", "p_correct"
SCHEMA_VERSION = "v2.0"
PREDECESSOR_VERSION = "v1.0"
_TIME = pa.timestamp("us", tz="UTC")
_POLYGONS = pa.list_(pa.list_(pa.list_(pa.float64())))
_LABELS: dict[str, pa.DataType] = {
    "schema_version": pa.string(),
    "id": pa.string(),
    "split": pa.string(),
    "image_path": pa.string(),
    "image_filename": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "polygons": _POLYGONS,
    "texts": pa.list_(pa.string()),
    "labels": pa.list_(pa.string()),
    "metadata": pa.struct([("original_source", pa.string())]),
    "confidences": pa.list_(pa.float64()),
    "page_confidence": pa.float64(),
    "page": pa.int32(),
    "page_count": pa.int32(),
    "engine": pa.string(),
    "model_version": pa.string(),
    "image_sha256": pa.string(),
    "attempts": pa.int32(),
    "latency_s": pa.float64(),
    "billed_pages": pa.int32(),
    "labelled_at": _TIME,
    "source": pa.string(),
    "input_row": pa.string(),
    "input_split": pa.string(),
    "reviewed_at": _TIME,
    "p_correct": pa.list_(pa.float64()),
}
_FAILURES: dict[str, pa.DataType] = {
    "schema_version": pa.string(),
    "ordinal": pa.int64(),
    "id": pa.string(),
    "image_path": pa.string(),
    "failure_class": pa.string(),
    "message": pa.string(),
    "attempts": pa.int32(),
    "retryable": pa.bool_(),
    "engine": pa.string(),
    "image_sha256": pa.string(),
    "failed_at": _TIME,
}
LABELS = pa.schema(_LABELS)
FAILURES = pa.schema(_FAILURES)
_NEEDED_OF_LABELS = ("id", "image_path", "width", "height", "polygons", "texts")
_COLUMN_OF = {"width_px": "width", "height_px": "height"}  # fields not called like their column
_FIELD_OF = {column: field for field, column in _COLUMN_OF.items()}
_PREFIX = "ocrlabel."
# What the writer holds in memory until a row group is full: some 10 MB of words.
_ROWS_PER_GROUP = 5_000
_WORDS_PER_GROUP = 100_000
# Rows become columns a few at a time: a word takes some 650 bytes as an object, some 110 there.
_ROWS_PER_PACK = 256
_WORDS_PER_PACK = 5_000
_ROWS_PER_READ = 64


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One page with its words.

    width_px, height_px: of the upright page. classes: one a word, () means all "text". latency_s,
    attempts and billed_pages belong to the whole document and stand on each of its pages. The
    predecessor's tables have nothing after original_source: then engine is "" and labelled_at
    None. source: "engine", or where a correction came from. input_split: train, val, test or what
    else the input calls the row's split; "" where it names none.
    reviewed_at: when a person, whom source names where the tool does, saw the whole page, or None.
    p_correct: the probability that a word is right, one a word (None where nobody knows), where
    `ocrlabel filter --calibration` laid it on; else ().
    """

    id: str
    image_path: str
    image_filename: str
    width_px: int
    height_px: int
    words: tuple[Word, ...]
    classes: tuple[str, ...] = ()
    split: str = SPLIT
    original_source: str = ""
    page_confidence: float | None = None
    page: int = 1
    page_count: int = 1
    engine: str = ""
    model_version: str = ""
    image_sha256: str = ""
    attempts: int = 0
    latency_s: float = 0.0
    billed_pages: int = 0
    labelled_at: datetime | None = None
    source: str = FROM_ENGINE
    input_row: str = "{}"
    input_split: str = ""
    reviewed_at: datetime | None = None
    p_correct: tuple[float | None, ...] = ()

    @property
    def scored(self) -> LabelRow:
        """The row with p_correct, where it has it, in the place of what its engine says."""
        if not self.p_correct:
            return self
        scored = zip(self.words, self.p_correct, strict=True)
        words = tuple(Word(word.text, word.polygon, sure) for word, sure in scored)
        return replace(self, words=words, page_confidence=None)

    @property
    def as_page(self) -> Page:
        """The same words as an engine gave them."""
        return Page(self.page, self.width_px, self.height_px, self.words, self.page_confidence)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One input row without labels, and why."""

    ordinal: int
    id: str
    image_path: str
    failure_class: str
    message: str
    attempts: int
    retryable: bool
    engine: str
    image_sha256: str
    failed_at: datetime | None


def label_rows(ref: ImageRef, outcome: Labelled) -> list[LabelRow]:
    """A row for every page of the document, in page order."""
    return [
        LabelRow(
            id=ref.id,
            image_path=ref.path,
            image_filename=ref.filename,
            width_px=page.width_px,
            height_px=page.height_px,
            words=page.words,
            classes=(WORD_CLASS,) * len(page.words),
            original_source=ref.original_source,
            page_confidence=page.confidence,
            page=page.number,
            page_count=len(outcome.pages),
            engine=outcome.engine,
            model_version=outcome.model_version,
            image_sha256=outcome.sha256,
            attempts=len(outcome.attempts),
            latency_s=outcome.latency_s,
            billed_pages=outcome.billed_pages,
            labelled_at=moment(outcome.at_s),
            input_row=ref.input_row,
            input_split=split_named(ref.input_row, ref.path),
        )
        for page in sorted(outcome.pages, key=lambda page: page.number)
    ]


def failure_row(ref: ImageRef, failed: Failed) -> FailureRow:
    """The row that says why an input row has no labels."""
    return FailureRow(
        ordinal=ref.ordinal,
        id=ref.id,
        image_path=ref.path,
        failure_class=failed.failure.value,
        message=failed.message,
        attempts=len(failed.attempts),
        retryable=failed.retryable,
        engine=failed.engine,
        image_sha256=failed.sha256,
        failed_at=moment(failed.at_s),
    )


class _Writer(ExitStack):
    """A parquet file that appears under its name only when the `with` block ends well."""

    def __init__(self, path: Path, schema: pa.Schema, kind: str, info: Mapping[str, str]) -> None:
        super().__init__()
        described = {"table": kind, "schema_version": SCHEMA_VERSION, **info}
        self._path = path
        self._schema = schema.with_metadata({_PREFIX + key: described[key] for key in described})

    def __enter__(self) -> Self:
        self.enter_context(self._opened())
        return self

    @contextmanager
    def _opened(self) -> Iterator[None]:
        with (
            whole_file(self._path) as file,
            pq.ParquetWriter(file, self._schema, compression="zstd") as self._parquet,
        ):
            yield
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
        if self._columns.rows >= _ROWS_PER_GROUP or self._columns.words >= _WORDS_PER_GROUP:
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
    """Writes a failures table, in the same way."""

    def __init__(self, path: Path, info: Mapping[str, str] | None = None) -> None:
        super().__init__(path, FAILURES, "failures", info or {})
        self._rows: list[FailureRow] = []

    def add(self, row: FailureRow) -> None:
        """Write one failed input row."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._flush()

    def add_outcome(self, ref: ImageRef, failed: Failed) -> None:
        """Write one failed input row."""
        self.add(failure_row(ref, failed))

    def _flush(self) -> None:
        if self._rows:
            self._write(_batch(FAILURES, self._rows, {}))
            self._rows = []


def read_labels(table: Table) -> Iterator[LabelRow]:
    """Every page of a labels table, ours or the predecessor's, 64 in memory at once.

    A checkpoint is the part of the labels table that it will be. Raises DatasetError when it is
    another kind of table.
    """
    where = _name(table)
    with _opened(table) as file:
        if is_checkpoint(file.schema_arrow):
            for one in settled_rows(table, where=where):
                if isinstance(one.outcome, Labelled):
                    yield from label_rows(one.ref, one.outcome)
            return
        _demand(file, _NEEDED_OF_LABELS, where, "labels")
        known = [name for name in file.schema_arrow.names if name in LABELS.names]
        row = 0
        with readable(where, lambda: row):
            for batch in _batches(file, known):
                yield from label_rows_of(batch, row, where)
                row += len(batch)


def read_failures(table: Table) -> Iterator[FailureRow]:
    """Every row of a failures table, or failed one of a checkpoint. Raises DatasetError."""
    with _opened(table) as file:
        if is_checkpoint(file.schema_arrow):
            for one in settled_rows(table, where=_name(table)):
                if isinstance(one.outcome, Failed):
                    yield failure_row(one.ref, one.outcome)
            return
        _demand(file, FAILURES.names, _name(table), "failures")
        number = 0
        with readable(_name(table), lambda: number):
            for batch in _batches(file, FAILURES.names):
                for row in batch.to_pylist():
                    del row["schema_version"]
                    yield FailureRow(**row)
                    number += 1


def holds_failures_too(table: Table) -> bool:
    """Whether it is a checkpoint, of which `read_failures` reads the failed rows."""
    with _opened(table) as file:
        return is_checkpoint(file.schema_arrow)


def table_info(table: Table) -> dict[str, str]:
    """What the writer of a table said about it; {} for a table that is not ours."""
    with _opened(table) as file:
        metadata = file.schema_arrow.metadata or {}
    texts = {key.decode(): value.decode("utf-8", "replace") for key, value in metadata.items()}
    return {
        key.removeprefix(_PREFIX): value for key, value in texts.items() if key.startswith(_PREFIX)
    }


def score_of(table: Table) -> str:
    """What says how sure a table's words are: "p_correct" where it was laid on, or "confidence"."""
    with _opened(table) as file:
        if P_CORRECT in file.schema_arrow.names:
            for batch in _batches(file, [P_CORRECT]):
                if any(batch.column(0).to_pylist()):
                    return P_CORRECT
    return CONFIDENCE


def is_whole(table: Table) -> bool:
    """Whether every row of it can be read."""
    try:
        with _opened(table) as file:
            for _ in file.iter_batches(_ROWS_PER_READ, use_threads=False):
                pass
    except (DatasetError, pa.ArrowException, OSError):
        return False
    return True


def write_changed(target: Path, rows: Iterable[LabelRow], *, source: Path, changed_by: str) -> None:
    """Write rows that were made of those of `source`, which may be the same file.

    changed_by stands in the table's info as "changed_by": such a table is no longer what the
    engine said, so `--reuse-from` refuses it. "made_of" is the way to the table that a run wrote.
    """
    info = {**table_info(source), "changed_by": changed_by}
    if (origin := origin_of(source)).resolve() != target.resolve():
        info["made_of"] = os.path.relpath(origin, target.parent)
    with LabelsWriter(target, info) as table:
        for row in rows:
            table.add(row)


def origin_of(table: Path) -> Path:
    """The table that a run wrote, of which this one was made; itself where it is that one."""
    return table.parent / table_info(table).get("made_of", table.name)


def _opened(table: Table) -> pq.ParquetFile:
    try:
        return open_parquet(table)
    except FileNotFoundError as error:
        raise DatasetError(f"{_name(table)}: there is no such file") from error
    except UNREADABLE as error:
        raise DatasetError(
            f"{_name(table)} is not a parquet file, or it is cut off or damaged: {one_line(error)}"
        ) from error


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


class LabelColumns:
    """Label rows on their way into one record batch."""

    def __init__(self) -> None:
        self.rows = 0
        self.words = 0
        self._packed: list[pa.RecordBatch] = []
        self._waiting: list[LabelRow] = []
        self._words_waiting = 0

    def add(self, row: LabelRow) -> None:
        """Take one row. Raises ValueError when classes or p_correct are not one a word."""
        if row.classes and len(row.classes) != len(row.words):
            raise ValueError(f"{row.id}: {len(row.classes)} classes for {len(row.words)} words")
        if row.p_correct and len(row.p_correct) != len(row.words):
            raise ValueError(f"{row.id}: {len(row.p_correct)} p_correct for {len(row.words)} words")
        self.rows += 1
        self.words += len(row.words)
        self._waiting.append(row)
        self._words_waiting += len(row.words)
        if len(self._waiting) >= _ROWS_PER_PACK or self._words_waiting >= _WORDS_PER_PACK:
            self._pack()

    def batch(self) -> pa.RecordBatch:
        """Everything taken so far, in the order of LABELS."""
        self._pack()
        stubs_lack_it: Any = pa
        joined: pa.RecordBatch = stubs_lack_it.concat_batches(self._packed)
        return joined

    def _pack(self) -> None:
        self._packed.append(_labels_batch(self._waiting))
        self._waiting, self._words_waiting = [], 0


def _labels_batch(rows: Sequence[LabelRow]) -> pa.RecordBatch:
    words = [word for row in rows for word in row.words]
    ends = array("i", [0])
    for row in rows:
        ends.append(ends[-1] + len(row.words))
    classes = [name for row in rows for name in row.classes or (WORD_CLASS,) * len(row.words)]
    made = {
        "polygons": _lists(ends, _encode_polygons(words)),
        "texts": _lists(ends, _strings([word.text for word in words])),
        "labels": _lists(ends, _strings(classes)),
        "metadata": pa.StructArray.from_arrays(
            [_strings([row.original_source for row in rows])], names=["original_source"]
        ),
        "confidences": _lists(ends, pa.array([word.confidence for word in words], pa.float64())),
        P_CORRECT: pa.array([row.p_correct or None for row in rows], LABELS.field(P_CORRECT).type),
    }
    return _batch(LABELS, rows, made)


def _batch(schema: pa.Schema, rows: Sequence[object], made: Mapping[str, Column]) -> pa.RecordBatch:
    """made: the columns that are not simply a field of each row."""
    columns = []
    for name in schema.names:
        kind = schema.field(name).type
        if name in made:
            columns.append(made[name])
        elif name == "schema_version":
            columns.append(_strings([SCHEMA_VERSION] * len(rows)))
        else:
            values = list(map(attrgetter(_FIELD_OF.get(name, name)), rows))
            columns.append(_strings(values) if kind == pa.string() else pa.array(values, kind))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _encode_polygons(words: Iterable[Word]) -> Column:
    # Numbers go into flat buffers: nested Python lists cost ten times more.
    corners = array("d")
    points = array("i", [0])
    for word in words:
        for point in word.polygon:
            corners.extend(point)
        points.append(len(corners) // 2)
    pairs = _lists(array("i", range(0, len(corners) + 1, 2)), flat(corners, pa.float64()))
    return _lists(points, pairs)


def _lists(ends: array[int], values: Column) -> Column:
    return pa.ListArray.from_arrays(flat(ends, pa.int32()), values)


def _strings(values: list[str]) -> Column:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array(writable(values), pa.string())


def label_rows_of(batch: pa.RecordBatch, first_row: int, where: str) -> Iterator[LabelRow]:
    """The rows of one batch; first_row and where are for the message of a DatasetError."""
    columns = {name: _column(batch, name, where) for name in LABELS.names}
    words = _words(columns, len(batch), first_row, where)
    classes = _text_lists(columns["labels"], len(batch))
    made: dict[str, Sequence[Any]] = {
        "words": words,
        "classes": [
            tuple(names) if len(names) == len(page) else (WORD_CLASS,) * len(page)
            for names, page in zip(classes, words, strict=True)
        ],
        "original_source": [
            (entry or {}).get("original_source") or ""
            for entry in _values(columns["metadata"], len(batch), None)
        ],
        P_CORRECT: [
            tuple(known) if len(known) == len(page) else ()
            for known, page in zip(_values(columns[P_CORRECT], len(batch), ()), words, strict=True)
        ],
    }
    for field in (field for field in fields(LabelRow) if field.name not in made):
        # what stands where the table has no such column, or null
        none = 0 if field.name in _COLUMN_OF else ""
        instead = none if field.default is MISSING else field.default
        column = _COLUMN_OF.get(field.name, field.name)
        made[field.name] = _values(columns[column], len(batch), instead)
    if columns["input_split"] is None:  # of an earlier version
        known = zip(made["split"], made["input_row"], made["image_path"], strict=True)
        made["input_split"] = [
            split_named(row, path) if split == SPLIT else "" for split, row, path in known
        ]
    in_order = [made[field.name] for field in fields(LabelRow)]
    return (LabelRow(*values) for values in zip(*in_order, strict=True))


def _column(batch: pa.RecordBatch, name: str, where: str) -> Any:
    index = batch.schema.get_field_index(name)
    if index < 0:
        return None
    column = batch.column(index)
    wanted = LABELS.field(name).type
    if name == "metadata":
        return column if pa.types.is_struct(column.type) else None
    if column.type == wanted:
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
    polygons = _decode_polygons(columns["polygons"], where)
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


def _decode_polygons(column: Any, where: str) -> list[list[tuple[Point, ...]]]:
    rows, polygons = _unnested(column)
    words, points = _unnested(polygons)
    ends, corners = _unnested(points)
    if corners.null_count or ends != list(range(0, 2 * len(ends), 2)):
        raise DatasetError(f"{where}: a point in column 'polygons' is not two numbers")
    flat = _floats(corners)
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    shapes = [tuple(pairs[start:end]) for start, end in pairwise(words)]
    return [shapes[start:end] for start, end in pairwise(rows)]


def _unnested(column: Any) -> tuple[list[int], Any]:
    """The ends of each list, from 0, and the values between them."""
    ends: list[int] = column.offsets.to_pylist() or [0]
    start = ends[0]
    inside = column.values.slice(start, ends[-1] - start)
    return [end - start for end in ends] if start else ends, inside


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
