"""The columns of a pushed table: the predecessor's eleven, then the input's others.

A column of the input that is called like one of the eleven is taken where its type fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from ocrlabel.dataset.tables.schema import LABELS

SHAPE = tuple(LABELS.field(number) for number in range(LABELS.get_field_index("metadata") + 1))
"""The predecessor's `OCRStorageItem`, which is also what the first columns of a result are."""

ORIGINAL_PATH = "original_path"
"""The path as the input has it: the object's name says nothing to a person."""

MADE = frozenset({"id", "image_path"})
"""Columns that every push makes itself, whatever the input has under these names."""

_SHAPE_TYPES = {column.name: column.type for column in SHAPE}


@dataclass(frozen=True, slots=True)
class Kept:
    """What is taken from the input. left_out: names of columns that are not, in its order.

    features: what Hugging Face's `datasets` wrote of the kept columns, such as class names.
    """

    columns: tuple[pa.Field[Any], ...] = ()
    left_out: tuple[str, ...] = ()
    features: Mapping[str, Any] = field(default_factory=dict)


class Others(Protocol):
    """The input's columns beside the image's. Not thread-safe; it blocks."""

    @property
    def kept(self) -> Kept:
        """Which there are."""
        ...

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:
        """The kept columns of the rows start to stop - 1: where the last read ended, or from 0."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class NoOthers:
    """Of a folder: files have no columns."""

    kept = Kept()

    def read(self, start: int, stop: int) -> Mapping[str, pa.Array[Any]]:  # noqa: ARG002 -- the protocol's
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing is open."""


def pushed_schema(kept: Kept, *, packed: bool) -> pa.Schema:
    """The pushed table's columns: the shape, the others, and the images where they are packed."""
    taken = {column.name: column for column in kept.columns}
    columns = [taken.pop(column.name, column) for column in SHAPE]
    if ORIGINAL_PATH not in taken:
        columns.append(pa.field(ORIGINAL_PATH, pa.string()))
    columns += taken.values()
    if packed:
        columns.append(pa.field("image", IMAGE))
    return pa.schema(columns)


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Hugging Face's image column."""


def kept_type(name: str, kind: pa.DataType) -> pa.DataType | None:
    """The type under which a column of the input is kept; None where it cannot be."""
    wanted = _SHAPE_TYPES.get(name)
    if wanted is None:
        return kind
    if name == "metadata":
        return kind if _names_source(kind) else None
    return wanted if _fits(kind, wanted) else None


def _names_source(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    at = kind.get_field_index("original_source")
    return at >= 0 and pa.types.is_string(kind.field(at).type)


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return is_list and _fits(kind.field(0).type, wanted.field(0).type)
    if pa.types.is_string(wanted):
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_int64(wanted):
        return pa.types.is_integer(kind) and not pa.types.is_uint64(kind)
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def blank(column: pa.Field[Any], texts: Sequence[str] | None, rows: int) -> pa.Array[Any]:
    """A column of the shape that the input does not have: its texts, or zeros, or empty lists."""
    kind = column.type
    if pa.types.is_struct(kind):
        values: Sequence[object] = [{kind.field(0).name: text} for text in texts or [""] * rows]
    elif pa.types.is_string(kind):
        values = texts or [""] * rows
    else:
        values = [[] if pa.types.is_list(kind) else 0] * rows
    made: pa.Array[Any] = pa.array(values, kind)
    return made
