"""A folder, a glob, one file or a prefix in a bucket: every image found is a row."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator

from ocrlabel.errors import DatasetError
from ocrlabel.labels import ImageRef


class ListedRows:
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

    def embedded(self, _ordinal: int, /) -> bytes | None:
        """Nothing: the rows are files."""
        return None

    def number(self) -> bool:
        """Not here: a row is known by its path or its own id."""
        return False

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
