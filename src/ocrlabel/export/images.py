"""The image of a labelled page, found in the folders and tables that the user named only.

`LabelledImages` asks each `ImageSource`: a folder (`Folder`), or a parquet table that holds the
images itself, as Hugging Face's image columns do (`EmbeddedImages`).

Labels are in pixels of the upright page. So an image that is upright, single and of a kind that
every reader opens is exported byte for byte; a page of a PDF or TIFF, an image turned by its EXIF
tag, or one of a rarer kind or of more than 8 bits, is exported as the upright picture (PNG), at the
size that the table says (`OpenDocument`).
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import pyarrow as pa
from PIL.Image import Image

from ocrlabel.dataset.input_tables import bytes_in, image_columns, leaf_of
from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.dataset.listing import images_below
from ocrlabel.dataset.parquet_io import Cursor, open_parquet
from ocrlabel.dataset.roots import FolderRoot
from ocrlabel.errors import ConfigError, OcrLabelError, StoreUnavailable, Unreadable
from ocrlabel.export.formats import ImageFile, NoImage
from ocrlabel.images.headers import inspect
from ocrlabel.images.identify import sniff
from ocrlabel.images.limits import ImageLimits
from ocrlabel.images.pdf import DPI
from ocrlabel.images.prepare import upright_pages
from ocrlabel.labels import readable

_ROWS_PER_READ = 64
_REASONS = 100
_AS_THEY_ARE = {"jpeg": ".jpg", "png": ".png"}
# It was labelled once, so it may be as large as any engine takes.
_LIMITS = ImageLimits(max_bytes=500_000_000, max_pages=1000)


class LabelledImages:
    """The images of a labels table, found in one or more places.

    Where the table knows the image's sha256 only those bytes count, so a file of the same name
    elsewhere is never taken for it. The last document is kept: its pages come one after another.
    """

    def __init__(self, places: Sequence[ImageSource]) -> None:
        self._places = places
        self.missing: Counter[str] = Counter()
        """How often a picture could not be had, by the reason; the first hundred reasons."""
        self._last: tuple[tuple[str, str, str], OpenDocument] | None = None

    def file(self, row: LabelRow) -> ImageFile:
        """Return the upright page as a file, byte for byte where it is that. Raises NoImage."""
        with self._told():
            return self._document(row).file(row)

    def pixels(self, row: LabelRow) -> Image:
        """Return the upright page in RGB. Raises NoImage."""
        with self._told():
            return self._document(row).pixels(row)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except NoImage as error:
            self.missing[str(error) if len(self.missing) < _REASONS else "others"] += 1
            raise

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
        for place in self._places if row.image_sha256 else ():
            # a table was asked by the sha256 already
            moved = place.by_sha256(row.image_sha256) if isinstance(place, Folder) else None
            if moved is not None:
                return moved
        if others:
            raise NoImage(f"{_called(row)} is there, but it was changed since labelling")
        raise NoImage(f"{_called(row)} was not found")


def image_sources(paths: Sequence[Path]) -> list[ImageSource]:
    """Return a place for each folder or parquet file. Raises ConfigError for anything else."""
    found: list[ImageSource] = []
    for path in paths:
        if path.is_dir():
            found.append(Folder(path))
            has_images = any(True for _ in images_below(path, Counter()))
            for shard in () if has_images else sorted(path.rglob("*.parquet")):
                with suppress(ConfigError):
                    found.append(EmbeddedImages(shard))
        elif path.is_file() and path.suffix == ".parquet":
            found.append(EmbeddedImages(path))
        else:
            raise ConfigError(f"--images {path} is neither a folder nor a parquet file with images")
    return found


def where_a_run_looked(
    source: str, image_roots: Sequence[str] = (), *, table: Path = Path("labels")
) -> list[ImageSource]:
    """Return the places of a run's input that are there: () for one in a bucket.

    A path is taken from here, or else from the first folder around the table where it leads on.
    """
    if "://" in source:
        return []
    fixed = Path(source).expanduser()
    while any(sign in str(fixed) for sign in "*?["):
        fixed = fixed.parent
    here = [base / fixed for base in (Path(), *table.absolute().parents)]
    there = [path for path in here if path.exists()][:1]
    folders = [path if path.is_dir() else path.parent for path in there]
    folders += [Path(root) for root in image_roots if Path(root).is_dir()]
    found = image_sources(folders)
    if fixed.suffix == ".parquet":
        # a table of paths holds no images: they are in the folders
        with suppress(OcrLabelError):
            found = [*image_sources(there), *found]
    return found


class Folder:
    """Images as files under a folder.

    A path is looked for as a run does (`FolderRoot`), and then without its first parts, so
    `receipts/a.jpg` is found under `--images receipts/` too. A link or `..` that leads out of the
    folder is not followed. What was moved or has another name is found by its sha256, at the cost
    of reading the folder once.
    """

    def __init__(self, root: Path) -> None:
        folder = root.resolve()
        self._root = FolderRoot(folder, (folder,))
        self._unread = (name for name, _ in images_below(folder, Counter()))
        self._moved: dict[str, str] = {}

    def candidates(self, row: LabelRow) -> Iterator[bytes]:
        """Return the files that the row's path may mean, the longest match first."""
        path = row.image_path or row.id
        for written in dict.fromkeys((path, path.replace("\\", "/"))):
            parts = PurePosixPath(written).parts
            for first in range(len(parts)):
                data = self._read(str(PurePosixPath(*parts[first:])))
                if data is not None:
                    yield data

    def by_sha256(self, sha256: str) -> bytes | None:
        """Return the image with these bytes, wherever below the folder it is."""
        if sha256 in self._moved:
            return self._read(self._moved[sha256])
        for name in self._unread:
            data = self._read(name)
            if data is not None:
                found = hashlib.sha256(data).hexdigest()
                self._moved[found] = name
                if found == sha256:
                    return data
        return None

    def _read(self, below: str) -> bytes | None:
        # some files may not be read, or lie outside
        with suppress(Unreadable, StoreUnavailable):
            return self._root.read(below, _LIMITS.max_bytes)
        return None


class EmbeddedImages:
    """The images of one table, found by their sha256, whatever the table calls them.

    The table is read through once to see where each image lies; what is remembered of that is in a
    temporary file of SQLite's. Labels come in the table's order, so it is read once more, a few
    rows in memory at a time.
    """

    def __init__(self, path: Path) -> None:
        try:
            table = open_parquet(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"--images {path} cannot be read as parquet: {error}") from error
        columns = image_columns(table.schema_arrow)
        if not columns:
            raise ConfigError(
                f"--images {path} has no column with image bytes\n"
                "  name the folder that holds the images"
            )
        leaf = leaf_of(table, columns[0], "bytes")
        self._cursor = Cursor(table, [leaf], _ROWS_PER_READ)
        self._where = sqlite3.connect("")
        self._where.execute("CREATE TABLE found (sha256 TEXT PRIMARY KEY, at INT)")
        for at in range(self._cursor.rows):
            sha256 = hashlib.sha256(self._image(at)).hexdigest()
            self._where.execute("INSERT OR IGNORE INTO found VALUES (?, ?)", (sha256, at))

    def candidates(self, row: LabelRow) -> Iterator[bytes]:
        """Return the image with the row's sha256; nothing for rows that have none."""
        query = "SELECT at FROM found WHERE sha256 = ?"
        for (at,) in self._where.execute(query, (row.image_sha256,)).fetchall():
            yield self._image(at)

    def _image(self, at: int) -> bytes:
        first, batch = self._cursor.around(at)
        return bytes_in(batch.column(0)[at - first].as_py()) or b""


ImageSource: TypeAlias = Folder | EmbeddedImages


class OpenDocument:
    """One document, decoded page by page; pages asked for in order are decoded once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._dpi: float = DPI
        self._rewind()

    def file(self, row: LabelRow) -> ImageFile:
        """Return the row's page as a file. Raises NoImage."""
        if suffix := self._suffix_as_is(row):
            return ImageFile(self._data, suffix)
        out = io.BytesIO()
        self.pixels(row).save(out, "PNG")
        return ImageFile(out.getvalue(), ".png")

    def pixels(self, row: LabelRow) -> Image:
        """Return the row's page in RGB. Raises NoImage when it is not the one labelled."""
        page = self._page(row)
        if row.width_px <= 0 or page.size == (row.width_px, row.height_px):
            return page
        wanted = row.height_px / row.width_px
        is_same_shape = abs(page.height / page.width - wanted) < 0.01 * wanted
        if sniff(self._data) == "pdf" and is_same_shape:
            return self._redrawn(page, row)
        raise NoImage(
            f"{_called(row)} is {page.width}x{page.height} px,"
            f" the labels are for {row.width_px}x{row.height_px}"
        )

    def _suffix_as_is(self, row: LabelRow) -> str:
        """Return the suffix if the bytes go out as they are, else "". Only reads the headers."""
        try:
            facts = inspect(self._data, _LIMITS)
        except Unreadable as error:
            raise NoImage(f"{_called(row)}: {error}") from error
        fits = row.width_px <= 0 or (row.width_px, row.height_px) in facts.page_sizes_px
        as_it_is = fits and not facts.turned and facts.page_count == row.page == 1
        # not every reader scales 16 bits, lays what is transparent on white, or takes one frame
        plain = not facts.mode.startswith("I") and ";16" not in facts.mode
        as_it_is = as_it_is and plain and not facts.transparent and not facts.animated
        return _AS_THEY_ARE.get(facts.format, "") if as_it_is else ""

    def _redrawn(self, page: Image, row: LabelRow) -> Image:
        """Return a PDF's page at the raster of the labels; drawing may round by a pixel."""
        if abs(page.width - row.width_px) > 1 or abs(page.height - row.height_px) > 1:
            self._dpi *= row.width_px / page.width
            self._rewind()
            page = self._page(row)
        return page.resize((row.width_px, row.height_px))

    def _page(self, row: LabelRow) -> Image:
        if row.page < self._next:
            self._rewind()
        try:
            for page in self._pages:
                self._next += 1
                if self._next == row.page + 1:
                    return page
        except Unreadable as error:
            raise NoImage(f"{_called(row)}: {error}") from error
        raise NoImage(f"{_called(row)} has no page {row.page}")

    def _rewind(self) -> None:
        self._next = 1
        self._pages: Iterator[Image] = upright_pages(self._data, _LIMITS, dpi=self._dpi)


def _called(row: LabelRow) -> str:
    return readable(row.image_path or row.id)
