"""Corrections laid onto a labels table: page by page theirs win, and each keeps its origin.

Both sides may be larger than memory: the corrections and the table's names wait in a temporary
file of SQLite's, and the table itself is read twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.export.base import Options
from ocrlabel.export.imports.base import Correction
from ocrlabel.export.imports.lay_on import lay_on
from ocrlabel.export.imports.match import Pages
from ocrlabel.labels import Word

CORRECTED, UNCHANGED, UNTOUCHED = "corrected", "unchanged", "untouched"


class Merge:
    """A labels table and the corrections to it.

    unmatched: what could not be laid on any page, one sentence each; ask before `rows`.
    counts: pages corrected, unchanged (they came back as they were) and untouched (no correction);
    complete once `rows` is exhausted.
    """

    def __init__(
        self,
        read_rows: Callable[[], Iterator[LabelRow]],
        corrections: Iterable[Correction],
        exported: Iterable[tuple[str, str, int]],
        rule: Options,
    ) -> None:
        self._read_rows, self._rule = read_rows, rule
        self.unmatched: list[str] = []
        self.counts: Counter[str] = Counter()
        self._waiting = sqlite3.connect("")
        self._waiting.execute(
            "CREATE TABLE waiting (id TEXT, page INT, correction TEXT, PRIMARY KEY (id, page))"
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
            merged = lay_on(row, _thawed(found[0]), self._rule)
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
            "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)", (*found[0], _frozen(correction))
        )
        if cursor.rowcount == 0:
            self.unmatched.append(f"{correction.file}: the page is corrected twice")


def _frozen(correction: Correction) -> str:
    return json.dumps(asdict(correction))


def _thawed(text: str) -> Correction:
    said = json.loads(text)
    words = tuple(
        Word(w["text"], tuple((x, y) for x, y in w["polygon"]), w["confidence"])
        for w in said.pop("words")
    )
    return Correction(words=words, classes=tuple(said.pop("classes")), **said)
