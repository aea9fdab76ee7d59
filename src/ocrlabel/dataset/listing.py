"""A folder, a glob, one file or a prefix in a bucket: every image that is found is a row.

What is an image is decided by the ending, or by content where the ending says nothing.
"""

from __future__ import annotations

import glob
import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from ocrlabel.dataset.rows import Rows
from ocrlabel.errors import DatasetError
from ocrlabel.images.identify import HEAD_BYTES, sniff
from ocrlabel.labels import ImageRef
from ocrlabel.storage.base import MAY_PASS

# What calls itself an image is a row, also when it cannot be read: then it fails, and is seen.
IMAGE_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        "avif", "bmp", "dib", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg",
        "jxl", "pdf", "png", "psd", "svg", "tif", "tiff", "webp",
    )
)  # fmt: skip
# Companions that no image is called by; not opened, there may be one beside every image.
_OTHER_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        "csv", "db", "html", "ini", "json", "jsonl", "lock", "log", "md", "ndjson", "parquet",
        "py", "toml", "tsv", "txt", "xml", "yaml", "yml", "zip",
    )
)  # fmt: skip
_WILD = frozenset("*?[")
HIDDEN, NO_ENDING = "hidden", "without an ending"
LINKED = "linked folder (not followed)"


def images_below(folder: Path, skipped: Counter[str]) -> Iterator[tuple[str, int]]:
    """(path relative to the folder, size in bytes) of every image, hidden ones left out.

    skipped: counts what is left out, by ending; a hidden folder counts once, with all in it.
    Links to folders are not followed; links to files are rows, and are judged when they are read.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.name.startswith("."):
                    skipped[HIDDEN] += 1
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif is_row(folder / name):
                    yield name, size_of(folder / name)
                else:
                    skipped[LINKED if entry.is_dir() else _ending(entry.name)] += 1


def images_matching(
    pattern: str, cwd: Path, skipped: Counter[str]
) -> tuple[Path, list[tuple[str, int]]]:
    """The folder before the first wildcard, and the images that match, relative to it."""
    folder, names = matching(pattern, cwd)
    found = []
    for name in set(names):
        path = folder / name
        if is_row(path):
            found.append((name, size_of(path)))
        elif not path.is_dir():
            skipped[_ending(name)] += 1
    return folder, found


def matching(pattern: str, cwd: Path) -> tuple[Path, list[str]]:
    """The folder before the first wildcard, and all that matches, relative to it."""
    parts = PurePosixPath(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if is_wild(part))
    folder = Path(os.path.realpath(cwd / PurePosixPath(*parts[:fixed])))
    names = glob.glob(  # noqa: PTH207 -- Path.glob shows hidden files, and follows links to folders
        str(PurePosixPath(*parts[fixed:])), root_dir=folder, recursive=True
    )
    return folder, names


def is_wild(pattern: str) -> bool:
    """Whether it is a pattern and not a name."""
    return not _WILD.isdisjoint(pattern)


def is_row(path: Path) -> bool:
    """Whether a file is taken as an image; nothing but a regular file is ever opened."""
    ending = path.suffix.lower()
    if ending in _OTHER_ENDINGS or path.is_dir():
        return False
    if ending in IMAGE_ENDINGS:
        return path.is_file() or path.is_symlink()
    return path.is_file() and _looks_like_an_image(path)


def size_of(path: Path) -> int:
    """Its size in bytes."""
    try:
        return path.stat().st_size
    except OSError as error:  # a link to nothing
        if error.errno in MAY_PASS:
            raise
        return 0


def is_image_key(key: str, skipped: Counter[str]) -> bool:
    """The same for objects, by their names alone: looking into each would cost a request."""
    path = PurePosixPath(key)
    if any(part.startswith(".") for part in path.parts):
        skipped[HIDDEN] += 1
    elif path.suffix and path.suffix.lower() not in IMAGE_ENDINGS:
        skipped[_ending(key)] += 1
    else:
        return True
    return False


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or NO_ENDING


def _looks_like_an_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError as error:
        if error.errno in MAY_PASS:
            raise
        return False


class ListedRows(Rows):
    """Paths and sizes, sorted by path. 1 million of them take as much memory as their text."""

    def __init__(self, found: Iterable[tuple[str, int]], where: str) -> None:
        names = bytearray()
        self._ends = array("Q", [0])
        digest = hashlib.sha256()
        for path, size_bytes in sorted(found, key=lambda entry: os.fsencode(entry[0])):
            names += os.fsencode(path)
            self._ends.append(len(names))
            digest.update(os.fsencode(path) + b"\0%d\0" % size_bytes)
        self._names = bytes(names)
        self.count = len(self._ends) - 1
        self.fingerprint = digest.hexdigest()
        if not self.count:
            raise DatasetError(f"{where}: there is no image in it")

    def ids(self) -> Iterator[str]:
        """Each path, as it is written; that names every file once and for ever."""
        return (_readable(self._stored(row)) for row in range(self.count))

    def refs(self, start: int, stop: int) -> list[ImageRef]:
        """The rows start to stop - 1."""
        rows = range(start, min(stop, self.count))
        names = [(row, _readable(self._stored(row))) for row in rows]
        return [ImageRef(ordinal=row, id=name, path=name) for row, name in names]

    def path(self, ref: ImageRef) -> str:
        """The file's own name, also where it is no valid UTF-8."""
        return os.fsdecode(self._stored(ref.ordinal))

    def close(self) -> None:
        """Nothing is open."""

    def _stored(self, row: int) -> bytes:
        return self._names[self._ends[row] : self._ends[row + 1]]


def _readable(name: bytes) -> str:
    # Names of old archives (CP949, Latin-1) are shown with \xNN: tables hold UTF-8 only.
    return name.decode("utf-8", "backslashreplace")
