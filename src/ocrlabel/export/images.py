"""The image of a labelled page, found in the folders and tables that the user named only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.base import ImageFile, NoImage
from ocrlabel.export.upright import OpenDocument

if TYPE_CHECKING:
    from PIL import Image


class Place(Protocol):
    """Somewhere images are kept."""

    def candidates(self, row: LabelRow) -> Iterator[bytes]:
        """Return what may be the row's image, the likeliest first."""
        ...


class Images:
    """The images of a labels table, found in one or more places.

    Where the table knows the image's sha256 only those bytes count, so a file of the same name
    elsewhere is never taken for it. The last document is kept: its pages come one after another.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._last: tuple[tuple[str, str, str], OpenDocument] | None = None

    def file(self, row: LabelRow) -> ImageFile:
        """Return the upright page as a file, byte for byte where it is that. Raises NoImage."""
        return self._document(row).file(row)

    def pixels(self, row: LabelRow) -> Image.Image:
        """Return the upright page in RGB. Raises NoImage."""
        return self._document(row).pixels(row)

    def _document(self, row: LabelRow) -> OpenDocument:
        key = (row.id, row.image_path, row.image_sha256)
        if self._last is None or self._last[0] != key:
            self._last = (key, OpenDocument(self._found(row)))
        return self._last[1]

    def _found(self, row: LabelRow) -> bytes:
        others = 0
        for place in self._places:
            for data in place.candidates(row):
                if row.image_sha256 in {"", hashlib.sha256(data).hexdigest()}:
                    return data
                others += 1
        if others:
            raise NoImage(
                f"{row.image_path or row.id} is there, but it was changed since labelling"
            )
        raise NoImage(f"{row.image_path or row.id} was not found")


class Folder:
    """Images as files under a folder.

    A path is looked for as the table writes it, and then without its first parts, so
    `receipts/a.jpg` is found under `--images receipts/` too. A link or `..` that leads out of the
    folder is not followed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def candidates(self, row: LabelRow) -> Iterator[bytes]:
        """Return the files that the row's path may mean, the longest match first."""
        parts = PurePosixPath((row.image_path or row.id).replace("\\", "/")).parts
        for first in range(len(parts)):
            data = self._read(PurePosixPath(*parts[first:]))
            if data is not None:
                yield data

    def _read(self, below: PurePosixPath) -> bytes | None:
        # no file can have some names (a NUL, 256 bytes), and some files may not be read
        with suppress(ValueError, OSError):
            path = self._root.joinpath(below).resolve()
            if path.is_relative_to(self._root) and path.is_file():
                return path.read_bytes()
        return None


def places(paths: Sequence[Path]) -> list[Place]:
    """Return a place for each folder or parquet file. Raises ConfigError for anything else."""
    found: list[Place] = []
    for path in paths:
        if path.is_dir():
            found.append(Folder(path))
        elif path.is_file() and path.suffix == ".parquet":
            from ocrlabel.export.packed import PackedImages  # noqa: PLC0415 - loads pyarrow

            found.append(PackedImages(path))
        else:
            raise ConfigError(f"--images {path} is neither a folder nor a parquet file with images")
    return found
