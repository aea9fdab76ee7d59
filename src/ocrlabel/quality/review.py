"""The review queue: pages with doubtful words, the most doubtful first."""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Self

from ocrlabel.dataset.tables.rows import LabelRow


class ReviewQueue:
    """Rows set aside on disk with their doubt: `with ReviewQueue() as queue`.

    The doubt of a page is the sum over its doubtful words, so about the number of wrong words
    that a reviewer finds there; equal pages stay in the order of the table.
    """

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            folder = opening.enter_context(tempfile.TemporaryDirectory(prefix="ocrlabel-"))
            self._sql = opening.enter_context(
                closing(sqlite3.connect(Path(folder) / "queue.sqlite"))
            )
            self._sql.executescript("pragma journal_mode=off; pragma synchronous=off;")
            self._sql.execute(
                "create table rows (at integer primary key, doubt real, content blob)"
            )
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    def add(self, row: LabelRow, doubt: float) -> None:
        """Set a row aside."""
        self._sql.execute(
            "insert into rows (doubt, content) values (?, ?)", (doubt, pickle.dumps(row))
        )

    def rows(self) -> Iterator[LabelRow]:
        """All rows, the most doubtful first."""
        # sorted by SQLite, which spills to disk what does not fit
        rows = self._sql.execute("select content from rows order by doubt desc, at")
        for (content,) in rows:
            row: LabelRow = pickle.loads(content)  # noqa: S301 -- our own file, written just now
            yield row
