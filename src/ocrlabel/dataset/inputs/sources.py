"""Any input that a user may name -> a Dataset: its rows by range, and the bytes of each.

A folder, a glob, one image, a CSV, JSONL or parquet table; a table or a prefix in a bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from ocrlabel.dataset.inputs.base import Rows
from ocrlabel.dataset.inputs.finder import Finder
from ocrlabel.dataset.inputs.opening import Named, in_bucket, on_disk
from ocrlabel.dataset.inputs.roots import StoreOpener
from ocrlabel.dataset.pixels.limits import Limits, check_bytes
from ocrlabel.errors import DatasetError
from ocrlabel.labels import ImageRef

__all__ = ["Dataset", "StoreOpener", "open_dataset"]


async def open_dataset(
    source: str | Path,
    *,
    cwd: Path,
    image_roots: Sequence[str | Path] = (),
    store_opener: StoreOpener | None = None,
    max_bytes: int = Limits().max_bytes,
    image_column: str | None = None,
    id_column: str | None = None,
) -> Dataset:
    """Open an input; a table is read once, for its fingerprint and for ids that are there twice.

    source: a folder, a glob, an image, a table, or s3://bucket/... of a table or of images.
    cwd: what relative paths start from. image_roots: folders and s3://bucket/prefix to which the
    paths in a table may lead, beside the table's folder, its bucket and cwd. store_opener: from
    "s3://bucket" to its store. Raises DatasetError in one sentence, naming the column or the rows.
    """
    named = Named(cwd, tuple(image_roots), store_opener, image_column, id_column)
    where = str(source)
    opened = (
        await in_bucket(where, named)
        if where.startswith("s3://")
        else await asyncio.to_thread(on_disk, where, named)
    )
    try:
        await asyncio.to_thread(_tell_apart, opened.rows, where)
    except BaseException:
        opened.rows.close()
        raise
    return Dataset(opened.rows, Finder(opened.roots, max_bytes), where, opened.skipped)


class Dataset:
    """The rows of an input. refs, read and looked may be called from any thread."""

    def __init__(self, rows: Rows, finder: Finder, where: str, skipped: Mapping[str, int]) -> None:
        self._rows, self._finder, self._where = rows, finder, where
        self.skipped = skipped
        """How many files of a folder are no rows, by ending ("hidden", "without an ending")."""
        self._one_at_a_time = Lock()

    @property
    def rows(self) -> int:
        """How many input rows there are, at least one."""
        return self._rows.count

    @property
    def fingerprint(self) -> str:
        """sha256 in hex: of a table's bytes, or of a folder's sorted paths and sizes."""
        return self._rows.fingerprint

    def describe(self) -> str:
        """Where it is, as the user wrote it."""
        return self._where

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The references of the rows start to stop - 1. Blocks; reads the table, not the images."""
        with self._one_at_a_time:
            return self._rows.refs(start, stop)

    async def read(self, ref: ImageRef) -> bytes:
        """The image's bytes.

        Raises Unreadable: NOT_FOUND, NOT_ALLOWED, EMPTY, TOO_LARGE; StoreUnavailable when a
        bucket does not answer.
        """
        return await asyncio.to_thread(self._read, ref)

    def looked(self, ref: ImageRef) -> list[str]:
        """Where the image is looked for, in order; [] for a row without a path."""
        return self._finder.places(self._rows.path(ref)) if ref.path else []

    def close(self) -> None:
        """Close the table."""
        with self._one_at_a_time:
            self._rows.close()

    def _read(self, ref: ImageRef) -> bytes:
        if ref.embedded:
            with self._one_at_a_time:
                data = self._rows.embedded(ref.ordinal)
            if data is not None:
                check_bytes(len(data), self._finder.max_bytes)
                return data
        return self._finder.read(self._rows.path(ref))


def _tell_apart(rows: Rows, where: str) -> None:
    # pyarrow is imported for the sorting of a million hashes
    from ocrlabel.dataset.inputs.unique import first_duplicate  # noqa: PLC0415 -- slow to import

    found = first_duplicate(rows.ids)
    if found is None or rows.number():
        return
    first, second, id_ = found
    raise DatasetError(
        f"{where}: rows {first + 1} and {second + 1} are both called {id_!r}; ids must differ "
        "(name another column with --id-column)"
    )
