"""The rows of a pushed table, as Arrow batches made from the input and the survey.

Equal input gives equal rows and equal bytes: the number of workers, of tries and of machines has
no part in it, so a run's fingerprint of the table stays what it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ocrlabel.dataset.inputs.sources import Dataset
from ocrlabel.dataset.push.columns import IMAGE, ORIGINAL_PATH, Others, blank, pushed_schema
from ocrlabel.dataset.push.plan import groups
from ocrlabel.dataset.push.survey import Survey
from ocrlabel.dataset.push.target import image_key
from ocrlabel.dataset.tables.schema import PREDECESSOR_VERSION
from ocrlabel.labels import ImageRef

# A slice of a run (25 rows) reads one group's beginning or a part of it; much smaller groups make
# the table's foot, which every worker reads, larger than what they save: 1 kB a group.
PACKED_ROWS_PER_GROUP = 100
PACKED_BYTES_PER_GROUP = 32_000_000
_ROWS_PER_GROUP = 5_000
_ROWS_PER_LOOK = 256
_SPLIT = "train"


@dataclass(frozen=True, slots=True)
class PushRows:
    """What goes into the table. image_prefix: where the images' objects lie; packed: in no object.

    skip_unreadable: rows whose image cannot be read are left out; else they keep their own path.
    """

    dataset: Dataset
    others: Others
    survey: Survey
    image_prefix: str
    packed: bool = False
    skip_unreadable: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pushed_schema(self.others.kept, packed=self.packed)

    @property
    def count(self) -> int:
        """Rows of the table."""
        return self.survey.rows - (self.survey.unreadable if self.skip_unreadable else 0)

    def groups(self) -> Iterator[tuple[int, int]]:
        """The input rows of each row group."""
        if not self.packed:
            return groups(self.survey.sizes, most_rows=_ROWS_PER_GROUP)
        return groups(
            self.survey.sizes, most_rows=PACKED_ROWS_PER_GROUP, most_bytes=PACKED_BYTES_PER_GROUP
        )

    def batch(
        self, start: int, stop: int, images: Sequence[bytes | None] | None = None
    ) -> pa.RecordBatch:
        """The input rows start to stop - 1, which must be asked for in order. Blocks.

        images: the bytes of each, for a packed table; without them they are null.
        """
        refs = self.dataset.refs(start, stop)
        taken = self.others.read(start, stop)
        columns = [self._column(column, refs, taken, images) for column in self.schema]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not self.skip_unreadable:
            return batch
        return batch.filter(pa.array([self.survey.readable(ref.ordinal) for ref in refs]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows without the packed bytes, a few hundred in memory at once. Blocks."""
        for start in range(0, self.survey.rows, _ROWS_PER_LOOK):
            yield self.batch(start, min(start + _ROWS_PER_LOOK, self.survey.rows))

    def _column(
        self,
        column: pa.Field[Any],
        refs: Sequence[ImageRef],
        taken: Mapping[str, pa.Array[Any]],
        images: Sequence[bytes | None] | None,
    ) -> pa.Array[Any]:
        if column.name in taken:
            return taken[column.name]
        if column.name == "image" and self.packed:
            paths = pa.array([self._name(ref) for ref in refs], pa.string())
            data = pa.array(images or [None] * len(refs), pa.binary())
            return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE))
        make = _TEXTS.get(column.name)
        if column.name == "image_path":
            make = self._path
        return blank(column, [make(ref) for ref in refs] if make else None, len(refs))

    def _path(self, ref: ImageRef) -> str:
        """The object's key; the input's own path where there is no object."""
        if self.packed or not self.survey.readable(ref.ordinal):
            return ref.path
        return image_key(self.image_prefix, self.survey.name(ref.ordinal))

    def _name(self, ref: ImageRef) -> str:
        """An image of a packed table is called by its hash, so that the row tells what it holds."""
        return self.survey.name(ref.ordinal) if self.survey.readable(ref.ordinal) else ref.path


_TEXTS: dict[str, Callable[[ImageRef], str]] = {
    "schema_version": lambda _: PREDECESSOR_VERSION,
    "id": lambda ref: ref.id,
    "split": lambda _: _SPLIT,
    "image_filename": lambda ref: ref.filename,
    "metadata": lambda ref: ref.original_source,
    ORIGINAL_PATH: lambda ref: ref.path,
}


def digest_of(rows: PushRows) -> str:
    """sha256 in hex of everything the table says, its images by their hashes. Blocks."""
    digest = hashlib.sha256(_told(rows.schema.names))
    for batch in rows.batches():
        for row in plain(batch):
            digest.update(_told(row))
    return digest.hexdigest()


def plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as Python values, a packed image as its path alone."""
    rows = batch.to_pylist()
    for row in rows:
        if isinstance(row.get("image"), dict):
            row["image"] = row["image"].get("path")
    return rows


def mark(row: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """8 bytes that tell a row from another by these columns."""
    return hashlib.sha256(_told([row.get(name) for name in names])).digest()[:8]


def _told(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )
