"""Which page of the truth (or of another table) a row of a labels table is about.

By the image's sha256 where both sides have it, else by the id, else by the path: one path
has to end like the other, whole names at a time (`receipts/a.png` and `data/receipts/a.png`; a
truth without extension fits any), and if only the file name is common it has to be unique. Page
numbers have to be equal; a truth with a file for each page calls page 2 of `a.pdf` `a-p2`, as an
export does. What found no partner is counted, with the first few named.
"""

from __future__ import annotations

import pickle
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Self

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.geometry import scale
from ocrlabel.labels import readable
from ocrlabel.quality.truth import PageName, TruthPage, TruthWord, name_of

_NAMED = 5
NO_TRUTH = "rows without truth"
AMBIGUOUS = "rows that fit several pages of the other file"
TAKEN = "rows whose truth another row had already"
OTHER_SHAPE = "rows whose page has another shape than the truth's"
NO_ROW = "pages of the other file without a row"
_SCHEMA = """
create table pages (
  at integer primary key, id text, nfc_id text, path text, stem text, sha256 text, page integer,
  taken integer default 0, content blob
);
create index by_id on pages (id, page);
create index by_nfc_id on pages (nfc_id, page);
create index by_stem on pages (stem, page);
create index by_sha256 on pages (sha256, page);
"""
_EXTENSIONS = frozenset({
    ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg",
    ".json", ".pdf", ".png", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip


@dataclass(slots=True)
class Unpaired:
    """What had no partner, by reason, with the first few of each by name."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one."""
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(name)

    def to_json(self) -> dict[str, object]:
        """Reason to count and examples."""
        return {
            reason: {"count": count, "examples": self.examples[reason]}
            for reason, count in sorted(self.counts.items())
        }


def pair(
    rows: Iterable[LabelRow], truth: PageStore, unpaired: Unpaired
) -> Iterator[tuple[LabelRow, TruthPage]]:
    """Rows with their truth, in the rows' order, the truth in the rows' pixels.

    `unpaired` is complete when the iterator is at its end.
    """
    for row in rows:
        page = partner(row, truth, unpaired)
        if page is not None:
            yield row, page
    for name in truth.left():
        unpaired.add(NO_ROW, str(name))


def partner(row: LabelRow, truth: PageStore, unpaired: Unpaired) -> TruthPage | None:
    """The truth of one row; None, and counted in `unpaired`, where it has none."""
    name = name_of(row)
    found = truth.find(name)
    if not found and row.page_count > 1:
        found = truth.find(_as_file_of_its_own(name))
    reason = NO_TRUTH if not found else AMBIGUOUS
    if len(found) == 1:
        page = in_pixels_of(row, truth.page(found[0]))
        reason = TAKEN if page is not None else OTHER_SHAPE
        if truth.take(found[0]) and page is not None:
            return page
    unpaired.add(reason, str(name))
    return None


def _as_file_of_its_own(name: PageName) -> PageName:
    """What a page is called where each has a file, as in ICDAR's layout: receipts/a-p2."""
    path = name.path or name.id
    return PageName("", f"{path.removesuffix(_extension(path))}-p{name.page}", "", 1)


def in_pixels_of(row: LabelRow, page: TruthPage) -> TruthPage | None:
    """The truth scaled to the row's page (a PDF may have been drawn at another size).

    As it is where a size is unknown; None where the shapes differ (`geometry.scale`).
    """
    found = scale((page.width_px, page.height_px), (row.width_px, row.height_px))
    if found is None or found == (1.0, 1.0):
        return page if found else None
    x, y = found
    words = tuple(
        TruthWord(word.text, tuple((px * x, py * y) for px, py in word.polygon), word.ignore)
        for word in page.words
    )
    return replace(page, width_px=row.width_px, height_px=row.height_px, words=words)


class PageStore:
    """Pages set aside on disk, found again by name: 100,000 pages of truth need no memory.

    `with PageStore(pages) as store: store.page(at) for at in store.find(name)`. where: what the
    pages are read from. Raises DatasetError when two of them have the same name.
    """

    def __init__(self, pages: Iterable[TruthPage], where: str = "") -> None:
        self._pages = pages
        self._where = where

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            # a temporary file of SQLite's, which is gone with the connection
            self._sql = opening.enter_context(closing(sqlite3.connect("")))
            # nothing in it outlives the block: no journal, no fsync
            self._sql.executescript("pragma journal_mode=off; pragma synchronous=off;")
            self._sql.executescript(_SCHEMA)
            self._sql.executemany(
                "insert into pages (id, nfc_id, path, stem, sha256, page, content)"
                " values (?,?,?,?,?,?,?)",
                (_record(page) for page in self._pages),
            )
            self._refuse_doubles()
            opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()

    def find(self, name: PageName) -> list[int]:
        """Where the pages that fit this name are: one when all is well."""
        found: list[int] = []
        known = (("sha256", name.sha256), ("id", name.id), ("nfc_id", _nfc(name.id)))
        for column, value in known:
            if len(found) != 1 and value:
                query = f"select at from pages where {column} = ? and page = ?"  # noqa: S608 -- ours
                found = [at for (at,) in self._sql.execute(query, (value, name.page))] or found
        return found if len(found) == 1 else self._by_path(name) or found

    def page(self, at: int) -> TruthPage:
        """The page itself."""
        (content,) = self._sql.execute("select content from pages where at = ?", (at,)).fetchone()
        page: TruthPage = pickle.loads(content)  # noqa: S301 -- our own file, written just now
        return page

    def take(self, at: int) -> bool:
        """Mark it as used; False when it was used before."""
        done = self._sql.execute("update pages set taken = 1 where at = ? and taken = 0", (at,))
        return done.rowcount == 1

    def give_back(self) -> None:
        """Nothing is marked as used any more: for another pass."""
        self._sql.execute("update pages set taken = 0")

    def left(self) -> Iterator[PageName]:
        """Names of the pages that nobody took, in the order of the input."""
        rows = self._sql.execute(
            "select id, path, sha256, page from pages where taken = 0 order by at"
        )
        return (PageName(*row) for row in rows)

    def _by_path(self, name: PageName) -> list[int]:
        path = name.path or name.id
        rows = self._sql.execute(
            "select at, path from pages where stem = ? and page = ?", (_stem(path), name.page)
        )
        common = {at: _common(path, other) for at, other in rows}
        best = max(common.values(), default=0)
        return [at for at, length in common.items() if length == best] if best else []

    def _refuse_doubles(self) -> None:
        double = self._sql.execute(
            "select id, path, page, min(at), max(at) from pages"
            " group by id, path, page having count(*) > 1 limit 1"
        ).fetchone()
        if double is not None:
            name = PageName(double[0], double[1], "", double[2])
            raise DatasetError(
                f"{self._where or 'the other file'} has {name} twice, as its pages"
                f" {double[3]:,} and {double[4]:,}: pages are told apart by id and page"
            )


def _nfc(name: str) -> str:
    name = readable(name)
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _stem(path: str) -> str:
    """The file name without an image's extension: a truth's name may have none, but dots."""
    name = _nfc(path).replace("\\", "/").rsplit("/", 1)[-1]
    extension = _extension(path)
    return name.removesuffix(extension) if extension else name


def _extension(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    return suffix if suffix.lower() in _EXTENSIONS else ""


def _common(path: str, other: str) -> int:
    """How many names two paths have in common at their end; 0 when the extensions differ.

    The file name alone is enough: `a/x.png` and `b/x.png` may be one file moved.
    """
    one, two = _extension(path).lower(), _extension(other).lower()
    if one and two and one != two:
        return 0
    these, those = (PurePosixPath(_nfc(p).replace("\\", "/")).parts[-2::-1] for p in (path, other))
    length = 1
    for here, there in zip(these, those, strict=False):
        if here != there:
            break
        length += 1
    return length


def _record(page: TruthPage) -> tuple[str, str, str, str, str, int, bytes]:
    name = page.name
    content = pickle.dumps(page)
    stem = _stem(name.path or name.id)
    return (name.id, _nfc(name.id), name.path, stem, name.sha256, name.page, content)
