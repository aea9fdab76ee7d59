"""The labels of an earlier run, looked up by the sha256 of an image: `--reuse-from`."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ocrlabel.dataset.labels_table import FROM_ENGINE, LABELS, LabelRow, label_rows_of, table_info
from ocrlabel.dataset.parquet_io import Blocks, Column, Cursor, flat, open_parquet
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.labels import Page

_INDEXED = ["image_sha256", "page", "engine", "source"]
_PREFIX_DIGITS = 15  # of the sha256: 60 bits, so that they fit a signed number
_SHA256_DIGITS = 64
_ROWS_PER_BLOCK = 64


def reusable(labels: Path, *, engine: str, options: Mapping[str, str]) -> EarlierLabels:
    """Open an earlier labels table whose answers may stand for those of this engine.

    Raises ConfigError when it was made by another engine or with other options, when it was
    changed since (its words are then no longer the engine's), and when it is no such table.
    """
    info = table_info(labels)
    if info.get("table") != "labels":
        raise DatasetError(f"{labels} is not a labels table of ocrlabel, so nothing can be reused")
    if changed_by := info.get("changed_by"):
        raise ConfigError(
            f"{labels} was changed by {changed_by}, so it no longer holds what the engine said; "
            "reuse the table that it was made from"
        )
    there = (info.get("engine", ""), _read_options(info))
    here = (engine, dict(options))
    if there != here:
        raise ConfigError(
            f"{labels} was made by {_described(*there)}, this run uses {_described(*here)}; "
            "run without --reuse-from, or with the same engine and options"
        )
    return EarlierLabels(labels, engine)


class EarlierLabels:
    """sha256 -> (model version, pages). 16 bytes a row in memory; may be called from any thread."""

    def __init__(self, labels: Path, engine: str) -> None:
        self._file = open_parquet(labels)
        self._where = str(labels)
        self._blocks = Blocks(Cursor(self._file, LABELS.names, _ROWS_PER_BLOCK))
        self._prefixes, self._rows = _index(self._file, engine)
        self._one_at_a_time = Lock()

    def __call__(self, sha256: str) -> tuple[str, tuple[Page, ...]] | None:
        """The pages of the image with these bytes; None where the table does not have them all."""
        wanted = int(sha256[:_PREFIX_DIGITS], 16)
        with self._one_at_a_time:
            at = bisect_left(self._prefixes, wanted, key=_number)
            while at < len(self._prefixes) and _number(self._prefixes[at]) == wanted:
                rows = self._document(_number(self._rows[at]))
                if rows and rows[0].image_sha256 == sha256:
                    return rows[0].model_version, tuple(row.as_page for row in rows)
                at += 1
        return None

    def __len__(self) -> int:
        """How many images can be looked up, copies counted."""
        return len(self._rows)

    def close(self) -> None:
        """Close the table."""
        self._file.close()

    def _document(self, row: int) -> list[LabelRow]:
        """Its pages in order, [] if some are missing."""
        first = self._row(row)
        pages = [first]
        while len(pages) < first.page_count and row + len(pages) < self._file.metadata.num_rows:
            pages.append(self._row(row + len(pages)))
        whole = len(pages) == first.page_count and all(
            (page.page, page.image_sha256, page.id) == (number, first.image_sha256, first.id)
            for number, page in enumerate(pages, 1)
        )
        return pages if whole else []

    def _row(self, row: int) -> LabelRow:
        first, batch = self._blocks.around(row)
        return next(label_rows_of(batch.slice(row - first, 1), row, self._where))


def _index(file: pq.ParquetFile, engine: str) -> tuple[Column, Column]:
    """The beginnings of the hashes, sorted, and beside each the row of the image's first page."""
    prefixes, rows = array("q"), array("q")
    for row, sha256 in _first_pages(file, engine):
        prefixes.append(int(sha256[:_PREFIX_DIGITS], 16))
        rows.append(row)
    columns = [flat(values, pa.int64()) for values in (prefixes, rows)]
    order = pc.array_sort_indices(columns[0])
    return columns[0].take(order), columns[1].take(order)


def _first_pages(file: pq.ParquetFile, engine: str) -> Iterator[tuple[int, str]]:
    start = 0
    for batch in file.iter_batches(batch_size=4096, columns=_INDEXED):
        columns = (batch.column(name).to_pylist() for name in _INDEXED)
        for row, (sha256, page, by, source) in enumerate(zip(*columns, strict=True), start):
            usable = (page, by, source) == (1, engine, FROM_ENGINE)
            if usable and len(sha256 or "") == _SHA256_DIGITS:
                yield row, sha256
        start += len(batch)


def _number(scalar: Any) -> int:
    number: int = scalar.as_py()
    return number


def _read_options(info: Mapping[str, str]) -> dict[str, str]:
    try:
        options = json.loads(info.get("engine_options", "{}"))
    except ValueError:
        return {"unreadable": info["engine_options"]}
    return {str(name): str(value) for name, value in options.items()}


def _described(engine: str, options: Mapping[str, str]) -> str:
    listed = ", ".join(f"{name} {value}" for name, value in sorted(options.items()))
    return f"{engine or 'no engine'} ({listed})" if listed else engine or "no engine"
