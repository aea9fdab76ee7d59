"""What a user named -> the rows of it, and the places where their images may be."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ocrlabel.dataset.inputs.listed_rows import ListedRows
from ocrlabel.dataset.inputs.listing import (
    images_below,
    images_matching,
    is_image_key,
    is_row,
    is_wild,
    size_of,
)
from ocrlabel.dataset.inputs.roots import (
    BucketRoot,
    FolderRoot,
    Root,
    StoreOpener,
    bucket_root,
    named_folder,
)
from ocrlabel.dataset.inputs.text_rows import CsvReader, JsonlReader, Reader, TextRows
from ocrlabel.errors import DatasetError
from ocrlabel.storage.base import NotStored

if TYPE_CHECKING:
    from ocrlabel.dataset.inputs.base import Rows

READERS: dict[str, Callable[[BinaryIO, str], Reader]] = {
    ".csv": CsvReader,
    ".tsv": CsvReader,
    ".jsonl": JsonlReader,
    ".ndjson": JsonlReader,
}
_TABLES = frozenset({*READERS, ".parquet"})


@dataclass(frozen=True, slots=True)
class Named:
    """What was named beside the source itself."""

    cwd: Path
    image_roots: Sequence[str | Path] = ()
    store_opener: StoreOpener | None = None
    image_column: str | None = None
    id_column: str | None = None

    def roots_with(self, own: Sequence[Root | Path]) -> list[Root]:
        """The image roots in the order given, the source's own places, the working directory.

        A link in one folder may lead into any of them.
        """
        places = [self._opened(root) for root in self.image_roots] + [*own, _real(self.cwd)]
        folders = tuple(place for place in places if isinstance(place, Path))
        return [
            FolderRoot(place, folders) if isinstance(place, Path) else place for place in places
        ]

    def _opened(self, root: str | Path) -> Root | Path:
        if str(root).startswith("s3://"):
            return bucket_root(str(root), self.store_opener)
        return named_folder(root, self.cwd)


@dataclass(frozen=True, slots=True)
class Opened:
    """Rows, where their images may be, and what lay beside them and is no image, by ending."""

    rows: Rows
    roots: Sequence[Root]
    skipped: Mapping[str, int] = field(default_factory=dict)


async def in_bucket(url: str, named: Named) -> Opened:
    """A table in a bucket, or the images under a prefix of it."""
    source = bucket_root(url, named.store_opener)
    if not is_table(url):
        skipped: Counter[str] = Counter()
        return Opened(await _objects(source, url, skipped), [source], skipped)
    whole = BucketRoot(source.store, source.bucket)
    beside = BucketRoot(source.store, source.bucket, source.prefix.rpartition("/")[0])
    roots = named.roots_with([whole, beside])
    rows = await asyncio.to_thread(lambda: _table(_object(source, url), url, named))
    return Opened(rows, roots)


def on_disk(source: str, named: Named) -> Opened:
    """A table, a folder, a glob or one image. Blocks."""
    path = named.cwd / Path(source).expanduser()
    skipped: Counter[str] = Counter()
    try:
        if path.is_file() and is_table(source):
            roots = named.roots_with([_real(path.parent)])
            return Opened(_table(path.open("rb"), source, named), roots)
        folder, found = _images(path, source, named.cwd, skipped)
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error}") from error
    allowed = [root for root in named.roots_with([]) if isinstance(root, FolderRoot)]
    root = FolderRoot(folder, (folder, *(other.folder for other in allowed[:-1])))
    return Opened(ListedRows(found, source), [root], skipped)


def is_table(source: str) -> bool:
    """Whether a name is a table's, by its ending; else it is a folder's or an image's."""
    return PurePosixPath(source).suffix.lower() in _TABLES


def _table(file: BinaryIO, where: str, named: Named) -> Rows:
    ending = PurePosixPath(where).suffix.lower()
    asked = {"image_column": named.image_column, "id_column": named.id_column}
    try:
        if ending in READERS:
            return TextRows(file, where, READERS[ending], **asked)
        from ocrlabel.dataset.inputs.parquet_rows import (  # noqa: PLC0415 -- pyarrow.parquet is slow
            ParquetRows,
        )

        return ParquetRows(file, where, **asked)
    except BaseException:
        file.close()
        raise


def _images(
    path: Path, source: str, cwd: Path, skipped: Counter[str]
) -> tuple[Path, list[tuple[str, int]]]:
    """The folder that paths are relative to, and every image with its size."""
    if path.is_dir():
        folder = _real(path)
        found = list(images_below(folder, skipped))
        if not found:
            tables = sorted(entry.name for entry in folder.iterdir() if is_table(entry.name))
            raise DatasetError(
                f"{source}: there is no image in this folder"
                + (f"; give the table itself: {', '.join(tables[:3])}" if tables else "")
            )
        return folder, found
    if path.exists() or path.is_symlink():
        if not is_row(path):
            raise DatasetError(
                f"{source} is neither an image nor a folder nor a table (csv, jsonl, parquet)"
            )
        return _real(path.parent), [(path.name, size_of(path))]
    if is_wild(source):
        return images_matching(str(Path(source).expanduser()), cwd, skipped)
    raise DatasetError(f"{source}: there is no such file or folder")


def _object(source: BucketRoot, url: str) -> BinaryIO:
    try:
        return source.store.open(source.prefix)
    except NotStored as error:
        raise DatasetError(f"{url}: there is no such object") from error


async def _objects(source: BucketRoot, url: str, skipped: Counter[str]) -> ListedRows:
    prefix = f"{source.prefix}/" if source.prefix else ""
    found = [
        (stored.key.removeprefix(prefix), stored.size_bytes)
        async for stored in source.store.list(prefix)
        if is_image_key(stored.key.removeprefix(prefix), skipped)
    ]
    return ListedRows(found, url)


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))
