"""Which page of a labels table a file of corrections is about."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction
from ocrlabel.export.session import PAGES_FILE, referred

# What a name is compared with, the surest first.
_AS_EXPORTED, _PATH, _FILENAME, _STEM = range(4)


class Pages:
    """The table's pages by every name that a file may have; kept in a temporary file of SQLite's.

    The surest kind of name that is known decides: the id that the format carries, the name under
    which ocrlabel exported the page, the table's path, the file name, the file name without its
    suffix. The last two only help files that ocrlabel did not export itself.
    """

    def __init__(self, rows: Iterable[LabelRow], exported: Iterable[tuple[str, str, int]]) -> None:
        self._names = sqlite3.connect("")
        self._names.execute("CREATE TABLE ids (id TEXT, page INT, PRIMARY KEY (id, page))")
        self._names.execute("CREATE TABLE names (kind INT, name TEXT, id TEXT, page INT)")
        for row in rows:
            self._names.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (row.id, row.page))
            self._add(_PATH, referred(row), row.id, row.page)
            if row.page_count <= 1:
                name = _last_part(row.image_filename or row.image_path or row.id)
                self._add(_FILENAME, name, row.id, row.page)
                self._add(_STEM, PurePosixPath(name).stem, row.id, row.page)
        for file, row_id, page in exported:
            self._add(_AS_EXPORTED, file, row_id, page)
        self._names.execute("CREATE INDEX by_name ON names (kind, name)")

    def find(self, correction: Correction) -> list[tuple[str, int]]:
        """Return (id, page) of the pages that it may be about: exactly one when it is clear."""
        if correction.id:
            return self._known([(correction.id, correction.page)])
        name = _last_part(correction.file)
        wanted = (
            (_AS_EXPORTED, correction.file),
            (_PATH, correction.file),
            (_FILENAME, name),
            (_STEM, PurePosixPath(name).stem.removeprefix("gt_")),
        )
        for kind, text in wanted:
            found = self._names.execute(
                "SELECT DISTINCT id, page FROM names WHERE kind = ? AND name = ? LIMIT 100",
                (kind, unicodedata.normalize("NFC", text)),
            ).fetchall()
            if found:
                return self._known(found)
        return []

    def close(self) -> None:
        """Give the temporary file back."""
        self._names.close()

    def _add(self, kind: int, name: str, row_id: str, page: int) -> None:
        key = unicodedata.normalize("NFC", name)
        self._names.execute("INSERT INTO names VALUES (?, ?, ?, ?)", (kind, key, row_id, page))

    def _known(self, pages: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Return those that are in this table: an export may be of a larger one."""
        query = "SELECT id, page FROM ids WHERE id = ? AND page = ?"
        return [found for page in pages if (found := self._names.execute(query, page).fetchone())]


def exported_pages(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Read (file, id, page) as an export wrote them down; nothing where it is not ocrlabel's."""
    path = folder / PAGES_FILE
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                said = json.loads(line)
                yield str(said["file"]), str(said["id"]), int(said["page"])
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path}, line {number}: not a line of an export ({error})\n"
                    "  take the file as the export wrote it, or remove it"
                ) from error


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
