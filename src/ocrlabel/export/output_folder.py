"""The folder that an export is written to, and the names and JSON files in it.

It is never somebody else's, and never half of two exports. An export does not resume: it is made
again from the labels table, which costs nothing. A marker file names what was written and whether
it was finished, so that `--force` removes an earlier export, whole or cut short, and nothing else.
File names are readable, unique, and unable to leave the folder (`PageNames`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TextIO

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions
from ocrlabel.labels import readable

MARKER = ".ocrlabel-export.json"
# Not allowed in a file name on Windows, or a separator in one of the formats.
_UNSAFE = re.compile(r"[\\/:*?\"'<>|]")
# The names of devices, whatever stands behind a dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_RULE = ("ignore_below", "keep_untranscribed", "keep_uncertain")  # by which words are do-not-care
_LONGEST_BYTES = 120  # leaves room for a prefix, a page number and a suffix below 255


class OutputFolder:
    """The output folder. Every path is asked for here, so that the marker knows it."""

    def __init__(self, root: Path, format_name: str, options: ExportOptions) -> None:
        self.root = root
        self._format = format_name
        self._options = options
        self._written: list[str] = []
        self._folders: set[tuple[str, ...]] = set()
        _make_room(root, force=options.force)
        self._mark(finished=False)

    def path(self, *parts: str) -> Path:
        """Return the path of a file to write; its folder is there."""
        if parts[0] not in self._written:
            self._written.append(parts[0])
            self._mark(finished=False)
        if parts[:-1] not in self._folders:
            self.root.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)
            self._folders.add(parts[:-1])
        return self.root.joinpath(*parts)

    def finish(self) -> None:
        """Mark the export as finished."""
        self._mark(finished=True)

    def remove(self) -> None:
        """Take back what was written: the export turned out to be of no use."""
        _remove(self.root, [*self._written, MARKER])

    def _mark(self, *, finished: bool) -> None:
        marker = {
            "format": self._format,
            "finished": finished,
            "written": self._written,
            **{name: getattr(self._options, name) for name in _RULE},
        }
        (self.root / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")


def _make_room(root: Path, *, force: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file\n  give --output a folder")
    root.mkdir(parents=True, exist_ok=True)
    marker = root / MARKER
    content = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
    ours = {MARKER, *content["written"]} if content else set()
    foreign = sorted(entry.name for entry in root.iterdir() if entry.name not in ours)
    if foreign:
        raise ConfigError(
            f"{root} is not empty: {foreign[0]!r} is not ocrlabel's\n  give --output a new folder"
        )
    if content is None or not (content["finished"] or content["written"]):
        return  # one that failed before its first file left nothing
    if force:
        _remove(root, content["written"])
        marker.unlink()
        return
    finished = content["finished"]
    raise ConfigError(
        f"{root} holds {'an' if finished else 'an unfinished'} export already\n"
        "  give --output a new folder, or replace it with --force"
    )


def _remove(root: Path, names: list[str]) -> None:
    for name in names:
        entry = root / Path(name).name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def export_root(path: Path, name: str = MARKER) -> Path | None:
    """The folder of the export that `path` is, or lies in, known by a file of this name."""
    # a file in SPLIT/gt is the deepest that an export writes
    around = (path.absolute(), *path.absolute().parents)[:4]
    return next((folder for folder in around if (folder / name).is_file()), None)


def rule_of(path: Path) -> ExportOptions:
    """By which options the export there called words do-not-care; the default if none."""
    root = export_root(path)
    if root is None:
        return ExportOptions()
    content = json.loads((root / MARKER).read_text(encoding="utf-8"))
    return ExportOptions(**{name: content[name] for name in _RULE if name in content})


class PageNames:
    """Gives each page a stem; the first page that asks keeps its own file name.

    Two stems are the same if any file system takes them for the same: case and Unicode form
    (NFC, NFD) are taken as equal. The stems in use lie in a temporary file of SQLite's, so that
    memory does not grow with the pages.
    """

    def __init__(self) -> None:
        self._taken = sqlite3.connect("")
        self._taken.execute("CREATE TABLE taken (stem TEXT PRIMARY KEY) WITHOUT ROWID")

    def take(self, row: LabelRow) -> str:
        """Return a stem that no other page has. Equal tables give equal stems."""
        for stem in stems(row):
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


def stems(row: LabelRow) -> tuple[str, str, str]:
    """The stems that a page may be given: its own, and two for when another page has that."""
    wanted = safe_part(PurePosixPath(file_name(row)).stem, otherwise="page")
    if row.page_count > 1:
        wanted = f"{wanted}-p{row.page}"
    token = hashlib.sha256(f"{row.id}\0{row.page}".encode()).hexdigest()
    return wanted, f"{wanted}-{token[:8]}", f"{wanted}-{token}"


def safe_part(text: str, *, otherwise: str) -> str:
    """`text` as one part of a path on any system, in Unicode form NFC; `otherwise` if empty."""
    plain = unicodedata.normalize("NFC", text)
    plain = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in plain)
    plain = _UNSAFE.sub("_", plain).strip(" .")
    if _DEVICE.match(plain):
        plain = f"_{plain}"
    while len(plain.encode()) > _LONGEST_BYTES:
        plain = plain[:-1]
    return plain.rstrip(" .") or otherwise


def suffix(row: LabelRow) -> str:
    """The file name's own suffix, such as ".jpg"; "" where it has none that is safe."""
    found = PurePosixPath(file_name(row)).suffix
    return found if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", found) else ""


def file_name(row: LabelRow) -> str:
    """The name of the image's file, or the last part of the id where it has none."""
    return last_part(readable(row.image_filename or row.image_path or row.id))


def last_part(path: str) -> str:
    """What stands after the last slash or backslash."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


class JsonFile:
    """A file of items between a head and a tail: `[` and `]`, or `{"images":{` and `}}`."""

    def __init__(self, path: Path, *, head: str, tail: str) -> None:
        self._tail = tail
        self._between = ""
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._file.write(head)

    def add(self, item: object, *, key: str | None = None) -> None:
        """Write one item; with a key, as a member of an object."""
        name = "" if key is None else dumps(key) + ":"
        self._file.write(f"{self._between}\n{name}{dumps(item)}")
        self._between = ","

    def close(self) -> None:
        """Write the tail and close the file."""
        with self._file:
            self._file.write(f"\n{self._tail}\n")


def dumps(value: object) -> str:
    """One line of JSON, as short as it gets, in the text's own characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
