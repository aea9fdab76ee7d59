"""What every kind of input is to the run: rows, read by range as references to images.

Of a table, the columns with the image and the id are found by name; the other scalar columns go
along as one JSON object, so that results can be grouped by them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ocrlabel.errors import DatasetError
from ocrlabel.labels import ImageRef

PATH_COLUMNS = ("image_path", "image", "path", "file_name", "filename", "images")
# Beside a path, bytes are the image only under such a name: they may be a thumbnail, or a hash.
_BYTES_COLUMNS = (*PATH_COLUMNS, "image_bytes", "bytes", "content", "img", "jpg", "jpeg", "png")
ID_COLUMN = "id"
SPLIT_COLUMNS = ("input_split", "split", "subset")
# A folder of this name is a split, as `datasets` takes it; val2017 is COCO's way of writing,
# 1.Training AI-Hub's, training_data FUNSD's.
_SPLIT_FOLDER = re.compile(
    r"(?:\d+[-_. ]+)?(train(?:ing)?|val|valid|validation|dev|test(?:ing)?|eval|evaluation)"
    r"(?:[-_.]?\d+)?(?:[-_. ](?:data|set|images?|imgs?))?",
    re.IGNORECASE,
)
_LONGEST_KEPT = 1_000  # characters of a cell that go into input_row
# Columns that only a result of ours has.
_RESULTS = (
    ("checkpoint", frozenset({"outcome", "key", "attempts"})),
    ("failures table", frozenset({"failure_class", "message", "retryable"})),
    ("labels table", frozenset({"image_sha256", "confidences", "page_confidence"})),
)
_BLOCK_BYTES = 4 << 20


class OurResult(DatasetError):
    """It is what a run wrote, and no dataset."""


class Rows(ABC):
    """The rows of an input. Not thread-safe, and it may block: ImageDataset sees to both.

    fingerprint: sha256 in hex of what makes this input this input. notices: how it was read, where
    that may surprise.
    """

    count: int
    fingerprint: str
    notices: tuple[str, ...] = ()

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """The id of every row, in order."""

    @abstractmethod
    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""

    @abstractmethod
    def close(self) -> None:
        """Give the files back."""

    def embedded(self, ordinal: int, /) -> bytes | None:  # noqa: ARG002 -- most inputs have none
        """The bytes in the row itself; None where it has none."""
        return None

    def number(self) -> bool:
        """From now on the rows' numbers are their ids; False where they are files' names."""
        return False

    def path(self, ref: ImageRef) -> str:
        """The path to look for, where it is not written as in the reference."""
        return ref.path


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table holds what; where: the table, for messages.

    image: the column with the path, or with the bytes. id: None where paths are the ids.
    embedded: rows carry their bytes, so they need no path. numbered: a row's number is its id.
    first_row, split: of a shard, the number of its first row, and the split that its name says.
    """

    where: str
    image: str
    id: str | None
    embedded: bool = False
    numbered: bool = False
    first_row: int = 0
    split: str = ""

    def reference(self, row: Mapping[str, object], ordinal: int) -> ImageRef:
        """One row of the table as a reference."""
        metadata = row.get("metadata")
        source = metadata.get("original_source") if isinstance(metadata, Mapping) else None
        return ImageRef(
            ordinal=self.first_row + ordinal,
            id=self.identity(row, ordinal),
            path=_path_in(row.get(self.image)),
            embedded=self.embedded,
            original_source=str(source or row.get("original_source") or ""),
            input_row=self._extra_columns(row),
        )

    def identity(self, row: Mapping[str, object], ordinal: int) -> str:
        """The id of a row, of which only the columns for id and image are needed.

        A row with nothing there is called by its number; without a path it fails, by itself.
        """
        own_id = row.get(self.id) if self.id else _path_in(row.get(self.image))
        if self.numbered or own_id is None or own_id == "":
            return f"row-{self.first_row + ordinal}"
        return str(own_id)

    def _extra_columns(self, row: Mapping[str, object]) -> str:
        kept = {
            name: _plain(value)
            for name, value in row.items()
            if name != self.image and (self.numbered or name != self.id) and _short(value)
        }
        if self.split and not any(map(is_split, kept)):
            kept["split"] = self.split
        return json.dumps(kept, ensure_ascii=False, default=str, separators=(",", ":"))


def choose_columns(
    names: Sequence[str],
    where: str,
    *,
    image_column: str | None = None,
    id_column: str | None = None,
    of_bytes: Sequence[str] = (),
    of_nothing: Sequence[str] = (),
) -> Columns:
    """Find the columns by their names, any case. of_bytes, of_nothing: what their types say.

    Raises DatasetError that names the missing column.
    """
    _refuse_results(names, where, images_inside=bool(of_bytes))
    for name in names:
        if name and names.count(name) > 1:
            raise DatasetError(f"{where} has two columns {name!r}; rename one of them")
    for asked in (image_column, id_column):
        if asked is not None and asked not in names:
            raise DatasetError(f"{where} has no column {asked!r}; it has {', '.join(names)}")
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    holding = [name.lower() for name in of_bytes]
    called_so = [name for name in holding if name in _BYTES_COLUMNS]
    wanted = [name for name in (*called_so, *PATH_COLUMNS, *holding) if name in by_lower]
    found = [by_lower[name] for name in wanted]
    image = image_column or next(
        iter([name for name in found if name not in of_nothing] or found), ""
    )
    if not image:
        raise DatasetError(
            f"{where} has no column with images: none of {', '.join(PATH_COLUMNS)} is among "
            f"{', '.join(names)}; name yours with --image-column"
        )
    return Columns(where, image, id_column or by_lower.get(ID_COLUMN))


def split_named(input_row: str, path: str) -> str:
    """The split that the user put a row in, by a column or else by a folder; "" for none."""
    try:
        row = json.loads(input_row)
    except ValueError:
        row = {}
    cells = (
        {name.strip().lower(): value for name, value in row.items()}
        if isinstance(row, dict)
        else {}
    )
    for name in SPLIT_COLUMNS:
        value = cells.get(name)
        # pandas has 0.0 for 0 where another row has none
        named = f"{value:g}" if isinstance(value, float) and math.isfinite(value) else value
        if isinstance(named, str | int) and str(named).strip():
            return str(named).strip()
    if path.startswith("/") or "://" in path:
        return ""  # what lies above the dataset says nothing about it
    folders = map(_SPLIT_FOLDER.fullmatch, re.split(r"[/\\]", path)[:-1])
    return next((found[1] for found in folders if found), "")


def is_split(name: str) -> bool:
    """Whether a column is called as a split is."""
    return name.strip().lower() in SPLIT_COLUMNS


def no_split(where: str, name: str, held: object) -> DatasetError:
    """What is raised for a column that is called as a split and holds what can be none."""
    return DatasetError(
        f"{where}: column {name!r} holds {held}, and a split is a text or a number;"
        " write it as one, or call the column otherwise"
    )


def hash_of(file: BinaryIO) -> str:
    """sha256 in hex of all its bytes, a few MB in memory at a time."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _refuse_results(names: Sequence[str], where: str, *, images_inside: bool) -> None:
    for kind, columns in _RESULTS:
        if images_inside and kind == "labels table":
            continue  # our own export for Hugging Face is a dataset
        if columns <= set(names):
            raise OurResult(
                f"{where} is the {kind} of a run (it has a column {min(columns)!r}); "
                "give the dataset itself"
            )


def _path_in(cell: object) -> str:
    """The path in a cell: text, or a Hugging Face image with its path; "" for none."""
    cell = the_one(cell)
    if isinstance(cell, Mapping):
        cell = cell.get("path")
    return cell if isinstance(cell, str) else ""


def the_one(cell: object) -> object:
    """What a cell holds, also where that is a list of one; None for more."""
    while isinstance(cell, list):
        cell = cell[0] if len(cell) == 1 else None
    return cell


def _short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_KEPT
    return not isinstance(value, Mapping | list | bytes)


def _plain(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
