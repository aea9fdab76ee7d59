"""Which column of a table holds what."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ocrlabel.errors import DatasetError
from ocrlabel.labels import ImageRef

PATH_COLUMNS = ("image_path", "image", "path", "file_name", "filename")
ID_COLUMN = "id"
_LONGEST_KEPT = 1_000  # characters of a cell that go into input_row
# Columns that only a result of ours has.
_RESULTS = (
    ("checkpoint", frozenset({"outcome", "key", "attempts"})),
    ("failures table", frozenset({"failure_class", "message", "retryable"})),
    ("labels table", frozenset({"image_sha256", "confidences", "page_confidence"})),
)
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Columns:
    """image: the column with the path, or with the bytes. id: None where paths are the ids."""

    image: str
    id: str | None


def choose_columns(
    names: Sequence[str],
    where: str,
    *,
    image_column: str | None = None,
    id_column: str | None = None,
    first: Sequence[str] = (),
) -> Columns:
    """Find the columns by their names, any case. first: image columns that the types gave away.

    Raises DatasetError that names the missing column.
    """
    _refuse_results(names, where)
    for name in names:
        if name and names.count(name) > 1:
            raise DatasetError(f"{where} has two columns {name!r}; rename one of them")
    for asked in (image_column, id_column):
        if asked is not None and asked not in names:
            raise DatasetError(f"{where} has no column {asked!r}; it has {', '.join(names)}")
    by_lower = {name.lower(): name for name in reversed(names)}
    image = image_column or next(
        (by_lower[name] for name in (*map(str.lower, first), *PATH_COLUMNS) if name in by_lower),
        None,
    )
    if image is None:
        raise DatasetError(
            f"{where} has no column with images: none of {', '.join(PATH_COLUMNS)} is among "
            f"{', '.join(names)}; name yours with --image-column"
        )
    return Columns(image, id_column or by_lower.get(ID_COLUMN))


def reference(
    row: Mapping[str, object],
    ordinal: int,
    columns: Columns,
    where: str,
    *,
    embedded: bool = False,
    numbered: bool = False,
) -> ImageRef:
    """One row of a table as a reference.

    embedded: the row carries its bytes, so it needs no path. numbered: its number is its id.
    Raises DatasetError for a row without an id.
    """
    path = path_of(row.get(columns.image))
    own_id = identity(row, ordinal, columns, where, embedded=embedded, numbered=numbered)
    metadata = row.get("metadata")
    source = metadata.get("original_source") if isinstance(metadata, Mapping) else None
    return ImageRef(
        ordinal=ordinal,
        id=own_id,
        path=path,
        embedded=embedded,
        original_source=str(source or row.get("original_source") or ""),
        input_row=_others(row, (columns.image, columns.id)),
    )


def identity(
    row: Mapping[str, object],
    ordinal: int,
    columns: Columns,
    where: str,
    *,
    embedded: bool = False,
    numbered: bool = False,
) -> str:
    """The id of a row, of which only the columns for id and image are needed."""
    path = path_of(row.get(columns.image))
    own_id: object = row.get(columns.id) if columns.id else path
    if numbered or (embedded and not columns.id and not path):
        return f"row-{ordinal}"
    if own_id is None or own_id == "":
        missing = columns.id or columns.image
        raise DatasetError(f"{where}: row {ordinal + 1} has nothing in column {missing!r}")
    return str(own_id)


def path_of(cell: object) -> str:
    """The path in a cell: text, or a Hugging Face image with its path; "" for none."""
    if isinstance(cell, Mapping):
        cell = cell.get("path")
    return cell if isinstance(cell, str) else ""


def _others(row: Mapping[str, object], taken: Iterable[str | None]) -> str:
    kept = {
        name: _plain(value) for name, value in row.items() if name not in taken and _short(value)
    }
    return json.dumps(kept, ensure_ascii=False, default=str, separators=(",", ":"))


def _short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_KEPT
    return not isinstance(value, Mapping | list | bytes)


def _plain(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_results(names: Sequence[str], where: str) -> None:
    for kind, columns in _RESULTS:
        if columns <= set(names):
            raise DatasetError(
                f"{where} is the {kind} of a run (it has a column {min(columns)!r}); "
                "give the dataset itself"
            )


class Rows(Protocol):
    """The rows of an input. Not thread-safe, and it may block: Dataset sees to both."""

    @property
    def count(self) -> int:
        """How many rows."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 in hex of what makes this input this input."""
        ...

    def ids(self) -> Iterator[str]:
        """The id of every row, in order."""
        ...

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        ...

    def embedded(self, ordinal: int, /) -> bytes | None:
        """The bytes in the row itself; None where it has none."""
        ...

    def number(self) -> bool:
        """From now on the rows' numbers are their ids; False where ids must come from the input."""
        ...

    def path(self, ref: ImageRef) -> str:
        """The path to look for, where it is not written as in the reference."""
        ...

    def close(self) -> None:
        """Give the files back."""
        ...


def hash_of(file: BinaryIO) -> str:
    """sha256 in hex of all its bytes, a few MB in memory at a time."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()
