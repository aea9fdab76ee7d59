"""Any input that a user may name -> an ImageDataset: its rows by range, and the bytes of each.

A folder, a glob, one image, a CSV, JSONL or parquet table; a table or a prefix in a bucket. Where
a folder, a glob or a prefix has no image but parquet files, they are one table.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from ocrlabel.dataset import listing
from ocrlabel.dataset.input_tables import TEXT_READERS, ParquetRows, ShardedRows, TextRows
from ocrlabel.dataset.parquet_io import flat
from ocrlabel.dataset.roots import (
    BucketRoot,
    FolderRoot,
    Root,
    StoreOpener,
    bucket_root,
    named_folder,
    real_path,
)
from ocrlabel.dataset.rows import ID_COLUMN, Rows
from ocrlabel.errors import DatasetError, Unreadable
from ocrlabel.images.limits import ImageLimits, check_bytes
from ocrlabel.labels import FailureClass, ImageRef
from ocrlabel.storage.base import NotStored

_LONGEST_PATH = 4096
_PARQUET = ".parquet"
_TABLES = frozenset({*TEXT_READERS, _PARQUET})
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://|(?:file|data):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Named:
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
        named: list[Root | Path] = [
            bucket_root(str(root), self.store_opener)
            if str(root).startswith("s3://")
            else named_folder(root, self.cwd)
            for root in self.image_roots
        ]
        places = [*named, *own, real_path(self.cwd)]
        folders = tuple(place for place in places if isinstance(place, Path))
        return [
            FolderRoot(place, folders) if isinstance(place, Path) else place for place in places
        ]


@dataclass(frozen=True, slots=True)
class _Opened:
    """Rows, where their images may be, and what lay beside them and is no image, by ending."""

    rows: Rows
    roots: Sequence[Root]
    skipped: Mapping[str, int] = field(default_factory=dict)


async def open_dataset(
    source: str | Path,
    *,
    cwd: Path,
    image_roots: Sequence[str | Path] = (),
    store_opener: StoreOpener | None = None,
    max_bytes: int = ImageLimits().max_bytes,
    image_column: str | None = None,
    id_column: str | None = None,
) -> ImageDataset:
    """Open an input; a table is read once, for its fingerprint and for ids that are there twice.

    source: a folder, a glob, an image, a table, or s3://bucket/... of a table or of images.
    cwd: what relative paths start from. image_roots: folders and s3://bucket/prefix to which the
    paths in a table may lead, beside the table's folder, its bucket and cwd. store_opener: from
    "s3://bucket" to its store. Raises DatasetError in one sentence, naming the column or the rows.
    """
    named = _Named(cwd, tuple(image_roots), store_opener, image_column, id_column)
    where = str(source)
    opened = (
        await _in_bucket(where, named)
        if where.startswith("s3://")
        else await asyncio.to_thread(_on_disk, where, named)
    )
    try:
        notice = await asyncio.to_thread(_told_apart, opened.rows, where, id_column)
    except BaseException:
        opened.rows.close()
        raise
    if id_column and id_column.lower() == ID_COLUMN:
        id_column = None  # what is taken anyway makes no other input
    notices = (*opened.rows.notices, *([notice] if notice else []))
    return ImageDataset(opened, max_bytes, where, id_column, notices)


def is_table(source: str) -> bool:
    """Whether a name is a table's, by its ending; else it is a folder's or an image's."""
    return PurePosixPath(source).suffix.lower() in _TABLES


class ImageDataset:
    """The rows of an input. refs, read and looked may be called from any thread."""

    def __init__(
        self,
        opened: _Opened,
        max_bytes: int,
        where: str,
        id_column: str | None,
        notices: Sequence[str],
    ) -> None:
        self._rows, self._roots, self._max_bytes = opened.rows, opened.roots, max_bytes
        self._where, self._id_column = where, id_column
        self.notices = notices
        """What the reader of a table should know of how it was read."""
        self.skipped = opened.skipped
        """How many files of a folder are no rows, by ending ("hidden", "without an ending")."""
        self._one_at_a_time = Lock()

    @property
    def rows(self) -> int:
        """How many input rows there are, at least one."""
        return self._rows.count

    @property
    def fingerprint(self) -> str:
        """sha256 in hex: of a table's bytes, or of a folder's sorted paths and sizes.

        Other ids make another input: a run that changed them half way would mix both.
        """
        if self._id_column is None:
            return self._rows.fingerprint
        return sha256(f"{self._rows.fingerprint} {self._id_column}".encode()).hexdigest()

    def describe(self) -> str:
        """Where it is, as the user wrote it."""
        ids = "" if self._id_column is None else f" (ids: {self._id_column})"
        return f"{self._where}{ids}"

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
        return self._places(self._rows.path(ref)) if ref.path else []

    def close(self) -> None:
        """Close the table."""
        with self._one_at_a_time:
            self._rows.close()

    def _read(self, ref: ImageRef) -> bytes:
        if ref.embedded:
            with self._one_at_a_time:
                data = self._rows.embedded(ref.ordinal)
            if data is not None:
                check_bytes(len(data), self._max_bytes)
                return data
        path = self._rows.path(ref)
        _refuse_by_name(path)
        refused: Unreadable | None = None
        for root in self._roots:
            try:
                data = root.read(path, self._max_bytes)
            except Unreadable as error:
                if error.failure is not FailureClass.NOT_ALLOWED:
                    raise
                refused = refused or error
                continue
            if data is not None:
                return data
        raise refused or self._absent(path)

    def _places(self, path: str) -> list[str]:
        found = (place for root in self._roots for place in root.places(path))
        return list(dict.fromkeys(found))

    def _absent(self, path: str) -> Unreadable:
        places = self._places(path)
        if not places:
            return Unreadable(
                f"{path} is in no folder and no bucket that was named; add it with --image-root",
                failure=FailureClass.NOT_ALLOWED,
            )
        return Unreadable(
            f"{path} is not there; looked at {', '.join(places)}", failure=FailureClass.NOT_FOUND
        )


def _refuse_by_name(path: str) -> None:
    """Raises Unreadable for what is no path at all, or one that climbs."""
    if not path:
        raise Unreadable("the row has no image, or more than one", failure=FailureClass.NOT_FOUND)
    address = _ADDRESS.match(path)
    if address and (address[1] or "").lower() != "s3":
        raise Unreadable(
            f"{path[:100]} is an address; images are read from folders and buckets only",
            failure=FailureClass.NOT_ALLOWED,
        )
    if len(path) > _LONGEST_PATH:
        raise Unreadable(
            f"{path[:40]}... is no path: {len(path):,} characters", failure=FailureClass.NOT_FOUND
        )
    if ".." in re.split(r"[/\\]", path):
        raise Unreadable(
            f"{path} climbs with '..'; write it relative to a folder named with --image-root",
            failure=FailureClass.NOT_ALLOWED,
        )


async def _in_bucket(url: str, named: _Named) -> _Opened:
    """A table in a bucket, or the images under a prefix of it."""
    source = bucket_root(url, named.store_opener)
    if not is_table(url):
        skipped: Counter[str] = Counter()
        keys, found = await _objects(source, skipped)
        if not found and skipped[_PARQUET]:
            beside = BucketRoot(source.store, source.bucket, source.prefix.strip("/"))
            below = f"{source.prefix}/" if source.prefix else ""

            def opening(key: str) -> BinaryIO:
                return source.store.open(below + key)

            shards = await asyncio.to_thread(_sharded, keys, opening, skipped, named)
            if shards:
                return _Opened(shards, named.roots_with([beside]), skipped)
        return _Opened(listing.ListedRows(found, url), [source], skipped)
    whole = BucketRoot(source.store, source.bucket)
    beside = BucketRoot(source.store, source.bucket, source.prefix.rpartition("/")[0])
    roots = named.roots_with([whole, beside])
    try:
        file = await asyncio.to_thread(source.store.open, source.prefix)
    except NotStored as error:
        raise DatasetError(f"{url}: there is no such object") from error
    return _Opened(await asyncio.to_thread(_table, file, url, named), roots)


def _sharded(
    names: list[str], open_file: Callable[[str], BinaryIO], skipped: Counter[str], named: _Named
) -> Rows | None:
    """The rows of the parquet files among the names; None where they have none."""
    shards = [name for name in names if PurePosixPath(name).suffix.lower() == _PARQUET]
    rows = ShardedRows(shards, open_file, skipped, named.image_column, named.id_column)
    skipped.pop(_PARQUET, None)
    return rows if rows.count else None


def _on_disk(source: str, named: _Named) -> _Opened:
    """A table, a folder, a glob or one image. Blocks."""
    path = named.cwd / Path(source).expanduser()
    skipped: Counter[str] = Counter()
    try:
        if path.is_file() and is_table(source):
            roots = named.roots_with([real_path(path.parent)])
            return _Opened(_table(path.open("rb"), source, named), roots)
        folder, found = _images(path, source, named.cwd, skipped)
        if not found and skipped[_PARQUET]:
            names = _names(path, source, named.cwd)
            rows = _sharded(names, lambda name: (folder / name).open("rb"), skipped, named)
            if rows:
                return _Opened(rows, named.roots_with([folder, real_path(named.cwd)]), skipped)
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error}") from error
    allowed = [root for root in named.roots_with([]) if isinstance(root, FolderRoot)]
    root = FolderRoot(folder, (folder, *(other.folder for other in allowed[:-1])))
    return _Opened(listing.ListedRows(found, source), [root], skipped)


def _table(file: BinaryIO, where: str, named: _Named) -> Rows:
    text = TEXT_READERS.get(PurePosixPath(where).suffix.lower())
    asked = (named.image_column, named.id_column)
    try:
        rows = TextRows(file, where, text, *asked) if text else ParquetRows(file, where, *asked)
    except BaseException:
        file.close()
        raise
    if not rows.count:
        rows.close()
        raise DatasetError(f"{where} has no rows")
    return rows


def _images(
    path: Path, source: str, cwd: Path, skipped: Counter[str]
) -> tuple[Path, list[tuple[str, int]]]:
    """The folder that paths are relative to, and every image with its size."""
    if path.is_dir():
        folder = real_path(path)
        found = list(listing.images_below(folder, skipped))
        if not found and not skipped[_PARQUET]:
            tables = sorted(entry.name for entry in folder.iterdir() if is_table(entry.name))
            remedy = f"; give the table itself: {', '.join(tables[:3])}" if tables else ""
            if skipped[".arrow"]:
                remedy = "; .arrow files are not read: save the dataset with its to_parquet()"
            raise DatasetError(f"{source}: there is no image in this folder{remedy}")
        return folder, found
    if path.exists() or path.is_symlink():
        if not listing.is_row(path):
            raise DatasetError(
                f"{source} is neither an image nor a folder nor a table (csv, jsonl, parquet)"
            )
        return real_path(path.parent), [(path.name, listing.size_of(path))]
    if listing.is_wild(source):
        return listing.images_matching(str(Path(source).expanduser()), cwd, skipped)
    raise DatasetError(f"{source}: there is no such file or folder")


def _names(path: Path, source: str, cwd: Path) -> list[str]:
    """Every file of a folder, hidden ones left out, or of a glob."""
    if not path.is_dir():
        return listing.matching(str(Path(source).expanduser()), cwd)[1]
    below = (str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())
    return [name for name in below if not any(p.startswith(".") for p in Path(name).parts)]


async def _objects(
    source: BucketRoot, skipped: Counter[str]
) -> tuple[list[str], list[tuple[str, int]]]:
    """Every key below the prefix, and the images among them with their sizes."""
    prefix = f"{source.prefix}/" if source.prefix else ""
    keys, found = [], []
    async for stored in source.store.list(prefix):
        key = stored.key.removeprefix(prefix)
        if listing.is_image_key(key, skipped):
            found.append((key, stored.size_bytes))
        elif not any(part.startswith(".") for part in PurePosixPath(key).parts):
            keys.append(key)
    return keys, found


def _told_apart(rows: Rows, where: str, id_column: str | None) -> str:
    """Call the rows by their numbers where two have one id, and say so; "" where all differ."""
    if id_column and isinstance(rows, listing.ListedRows):
        raise DatasetError(
            f"--id-column {id_column}: {where} is no table; the ids of images are their paths\n"
            "  leave it out, or give a table with that column"
        )
    found = first_duplicate(rows.ids)
    if found is None:
        return ""
    first, second, id_ = found
    what = f"rows {first + 1} and {second + 1} are both called {id_!r}"
    if id_column or not rows.number():
        leave_out = "leave out --id-column, and the rows' numbers are their ids"
        remedy = leave_out if id_column else "rename one of the files"
        raise DatasetError(f"{where}: {what}; ids must differ ({remedy})")
    return f"{what}, so each is called by its number (row-0, ...)"


def first_duplicate(read_ids: Callable[[], Iterable[str]]) -> tuple[int, int, str] | None:
    """The numbers (from 0) of two rows with the same id, and the id; None when all differ.

    8 bytes a row in memory, so that two are found among millions. read_ids is called a second
    time if two hashes are equal, to see whether the ids are.
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
    values = flat(hashes, pa.int64())
    in_order = values.take(pc.array_sort_indices(values))
    same = pc.equal(in_order[1:], in_order[:-1])
    return {value for value in in_order[1:].filter(same).to_pylist() if value is not None}
