"""File names for exported pages: readable, unique, and unable to leave the output folder."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import unicodedata
from pathlib import PurePosixPath

from ocrlabel.dataset.tables.rows import LabelRow

# Not allowed in a file name on Windows, or a separator in one of the formats.
_UNSAFE = re.compile(r"[\\/:*?\"'<>|]")
_LONGEST_BYTES = 120  # leaves room for a prefix, a page number and a suffix below 255


class Names:
    """Hands out one stem a page; the first page that asks keeps its own file name.

    Two stems are the same if any file system takes them for the same: case and Unicode form
    (NFC, NFD) are not told apart. What was handed out lies in a temporary file of SQLite's,
    so that memory does not grow with the pages.
    """

    def __init__(self) -> None:
        self._taken = sqlite3.connect("")
        self._taken.execute("CREATE TABLE taken (stem TEXT PRIMARY KEY) WITHOUT ROWID")

    def take(self, row: LabelRow) -> str:
        """Return a stem that no other page has. Equal tables give equal stems."""
        wanted = safe_part(PurePosixPath(_last_part(row)).stem, otherwise="page")
        if row.page_count > 1:
            wanted = f"{wanted}-p{row.page}"
        token = hashlib.sha256(f"{row.id}\0{row.page}".encode()).hexdigest()
        for length in (0, 8, 64):
            stem = f"{wanted}-{token[:length]}" if length else wanted
            if self._is_new(stem):
                return stem
        number = 2  # the same id and page again: two tables that were put together
        while not self._is_new(f"{stem}-{number}"):
            number += 1
        return f"{stem}-{number}"

    def close(self) -> None:
        """Give the temporary file back."""
        self._taken.close()

    def _is_new(self, stem: str) -> bool:
        key = unicodedata.normalize("NFC", stem).casefold()
        cursor = self._taken.execute("INSERT OR IGNORE INTO taken VALUES (?)", (key,))
        return cursor.rowcount == 1


def safe_part(text: str, *, otherwise: str) -> str:
    """`text` as one part of a path on any system, in Unicode form NFC; `otherwise` if empty."""
    plain = unicodedata.normalize("NFC", text)
    plain = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in plain)
    plain = _UNSAFE.sub("_", plain).strip(" .")
    while len(plain.encode()) > _LONGEST_BYTES:
        plain = plain[:-1]
    return plain.rstrip(" .") or otherwise


def suffix(row: LabelRow) -> str:
    """The file name's own suffix, such as ".jpg"; "" where it has none that is safe."""
    found = PurePosixPath(_last_part(row)).suffix
    return found if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", found) else ""


def _last_part(row: LabelRow) -> str:
    name = row.image_filename or row.image_path or row.id
    return name.replace("\\", "/").rsplit("/", 1)[-1]
