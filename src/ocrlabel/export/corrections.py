"""How corrections come home: matched to pages of a labels table, and applied to them word by word.

A format's `corrections` give one `Correction` a page. `Merge` brings them onto the table:

1. `Pages` finds which page each is about, by the surest name that is known.
2. They wait in a temporary file of SQLite's, so both sides may be larger than memory; the table
   itself is read twice. What fits no page, or several, is listed as unmatched.
3. `apply_correction` makes the corrected row: what a person changed is theirs, the rest stays the
   engine's. Page by page the correction wins, and its `source` says where it came from.

A word that comes back as it went out keeps its confidence, its class and, where the format had
rounded them, its corners. Whether a word went out as do-not-care follows from the rule of the
export (`rule_of`), so words below its threshold do not come back as a person's decision.
"""

from __future__ import annotations

import json
import pickle
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ocrlabel.characters import learnable
from ocrlabel.dataset.labels_table import IGNORE, WORD_CLASS, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportWord, export_words
from ocrlabel.export.formats import Correction, ExportOptions
from ocrlabel.export.icdar2015 import DO_NOT_CARE, one_line
from ocrlabel.export.import_files import words_and_classes
from ocrlabel.export.output_folder import file_name, last_part
from ocrlabel.export.session import PAGES_FILE, referred
from ocrlabel.labels import Polygon, Word

# What a name is compared with, the surest first.
_AS_EXPORTED, _PATH, _FILENAME, _STEM = range(4)
CORRECTED, UNCHANGED, UNTOUCHED = "corrected", "unchanged", "untouched"
_SAME_PX = 0.51  # ICDAR rounds corners to whole pixels


class Merge:
    """A labels table and the corrections to it.

    unmatched: what fits no page, one sentence each; ask before `rows`.
    counts: pages corrected, unchanged (they came back as they were) and untouched (no correction);
    complete once `rows` is exhausted.
    """

    def __init__(
        self,
        read_rows: Callable[[], Iterator[LabelRow]],
        corrections: Iterable[Correction],
        exported: Iterable[tuple[str, str, int]],
        rule: ExportOptions,
    ) -> None:
        self._read_rows, self._rule = read_rows, rule
        self.unmatched: list[str] = []
        self.counts: Counter[str] = Counter()
        self._waiting = sqlite3.connect("")
        self._waiting.execute(
            "CREATE TABLE waiting (id TEXT, page INT, correction BLOB, PRIMARY KEY (id, page))"
        )
        pages = Pages(read_rows(), exported)
        for correction in corrections:
            self._gather(correction, pages)
        pages.close()

    def rows(self) -> Iterator[LabelRow]:
        """Return every row of the table in its order, corrected where there is a correction."""
        for row in self._read_rows():
            found = self._waiting.execute(
                "SELECT correction FROM waiting WHERE id = ? AND page = ?", (row.id, row.page)
            ).fetchone()
            if found is None:
                self.counts[UNTOUCHED] += 1
                yield row
                continue
            correction = pickle.loads(found[0])  # noqa: S301 -- our own file, written just now
            merged = apply_correction(row, correction, self._rule)
            self.counts[UNCHANGED if merged.words == row.words else CORRECTED] += 1
            yield merged
        self._waiting.close()

    def _gather(self, correction: Correction, pages: Pages) -> None:
        found = pages.find(correction)
        if len(found) != 1:
            what = "is no page of the table" if not found else f"may be {len(found)} pages"
            self.unmatched.append(f"{correction.file}: {what}")
            return
        cursor = self._waiting.execute(
            "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)",
            (*found[0], pickle.dumps(correction)),
        )
        if cursor.rowcount == 0:
            self.unmatched.append(f"{correction.file}: the page is corrected twice")


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
                name = file_name(row)
                self._add(_FILENAME, name, row.id, row.page)
                self._add(_STEM, PurePosixPath(name).stem, row.id, row.page)
        for file, row_id, page in exported:
            self._add(_AS_EXPORTED, file, row_id, page)
        self._names.execute("CREATE INDEX by_name ON names (kind, name)")

    def find(self, correction: Correction) -> list[tuple[str, int]]:
        """Return (id, page) of the pages that it may be about: exactly one when it is clear."""
        if correction.id:
            return self._known([(correction.id, correction.page)])
        name = last_part(correction.file)
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
                content = json.loads(line)
                yield str(content["file"]), str(content["id"]), int(content["page"])
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path}, line {number}: not a line of an export ({error})\n"
                    "  take the file as the export wrote it, or remove it"
                ) from error


def apply_correction(row: LabelRow, correction: Correction, rule: ExportOptions) -> LabelRow:
    """Return the corrected page, or `row` itself where nothing was changed or reviewed."""
    sent = export_words(row, rule, Counter())
    kept: list[ExportWord] = []
    result: list[tuple[Word, str]] = []
    left = list(sent)
    for word, label in zip(correction.words, correction.classes, strict=True):
        found = next((each for each in left if _is_at(word.polygon, each, row)), None)
        if found is None:
            result.append((word, label or WORD_CLASS))
            continue
        left.remove(found)
        before = row.words[found.number]
        if _same_text(word, found):
            word = replace(word, text=before.text)  # noqa: PLW2901 -- as the engine gave it
        if _is_same(word, label, before, found):
            kept.append(found)
            result.append((before, found.label))
        else:
            result.append(_changed(word, label, before, found.label))
    if kept == list(sent) and len(result) == len(kept):
        return replace(row, source=correction.source) if correction.reviewed else row
    sent_numbers = {each.number for each in sent}
    result += [
        (word, (row.classes[at] if at < len(row.classes) else "") or WORD_CLASS)
        for at, word in enumerate(row.words)
        if at not in sent_numbers
    ]
    words, classes = words_and_classes(result)
    return replace(row, words=words, classes=classes, source=correction.source)


def _is_at(polygon: Polygon, sent: ExportWord, row: LabelRow) -> bool:
    """Whether it is the polygon as it went out: as it is, its four corners, or not cut yet."""
    return any(
        len(polygon) == len(there)
        and all(
            abs(p[0] - q[0]) <= _SAME_PX and abs(p[1] - q[1]) <= _SAME_PX
            for p, q in zip(polygon, there, strict=True)
        )
        for there in (sent.polygon, sent.corners, row.words[sent.number].polygon)
    )


def _same_text(word: Word, sent: ExportWord) -> bool:
    return one_line(learnable(word.text)[0]) == one_line(sent.text)


def _is_same(word: Word, label: str, before: Word, sent: ExportWord) -> bool:
    if label == IGNORE:
        # a text that reads like the mark for do-not-care went out as one
        sent_ignored = sent.ignored or sent.text in {DO_NOT_CARE, "*"}
        return sent_ignored and word.text in {"", before.text}
    return not sent.ignored and word.text == before.text and label in {"", sent.label}


def _changed(word: Word, label: str, before: Word, old_label: str) -> tuple[Word, str]:
    """Return the word as corrected: the corners are the table's, and so is a class left open."""
    if not label:
        label = WORD_CLASS if old_label == IGNORE else old_label
    text = word.text or (before.text if label == IGNORE else "")
    # the engine's confidence says nothing about what a person wrote
    confidence = None if word.confidence == before.confidence else word.confidence
    return Word(text, before.polygon, confidence), label
