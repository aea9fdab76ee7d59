"""Hugging Face: data/SPLIT-00000.parquet with an image column, and a card that `datasets` reads.

`datasets.load_dataset("DIR")` gives one row a page: image (if there are images), texts, polygons,
labels, confidences and where they are from.

Comes back: the dataset as it was exported here, edited and saved as parquet.
Split names are letters, digits and `_`, and none is `all`: others are changed, and it is told.
Source: huggingface.co/docs/hub/datasets-manual-configuration; the image feature is {bytes, path}.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.labels_table import FROM_ENGINE, IGNORE, LABELS, LabelRow
from ocrlabel.dataset.parquet_io import open_parquet
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportPage
from ocrlabel.export.formats import Correction, ImageFile
from ocrlabel.export.import_files import files, number, share
from ocrlabel.export.session import ExportSession, exporter, referred
from ocrlabel.labels import Word

_AS_IN_LABELS = (
    "id", "page", "page_count", "image_path", "image_sha256", "width", "height", "texts",
    "polygons", "labels", "confidences", "page_confidence", "engine", "model_version", "source",
)  # fmt: skip
_OF_A_PAGE = (
    "id", "page", "page_count", "image_path", "image_sha256", "page_confidence", "engine",
    "model_version", "source", "original_source",
)  # fmt: skip
_GROUP_ROWS = 100
_GROUP_BYTES = 32 * 2**20  # image bytes held in memory before they are written
_SHARD_BYTES = 400 * 2**20
_NEEDED = ("id", "page", "texts", "polygons", "labels")
_OPTIONAL = ("confidences", "source")


@exporter(
    "hf",
    training="`datasets.load_dataset('.', split='SPLIT')`; the class `ignore` is do-not-care.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write data/SPLIT-*.parquet and README.md with the splits in its head."""
    splits: dict[str, None] = {}
    shards_of = session.by_split(lambda split: _Shards(session, split))
    for page in session.pages(rows):
        split = _allowed(page.split)
        note = f"the split {page.split} is called {split} here: a rule of Hugging Face's"
        if split != page.split and note not in session.counts.warnings:
            session.counts.warnings += (note,)
        found = None if session.images is None else session.image(page)
        if session.images is not None and found is None:
            continue
        shards_of(split).add(page, found)
        splits.setdefault(split)
        session.counts.images += found is not None
        session.listed(page, referred(page.row))
    session.card_head = _card_head(splits)


def _allowed(split: str) -> str:
    """Return the split's name as `datasets` takes it, for which "all" is the sum of all splits."""
    return "all_" if split == "all" else re.sub(r"\W", "_", split)


def schema(*, images: bool = True) -> pa.Schema:
    """Return the columns; the metadata tells `datasets` that `image` is an image.

    Without images there is no such column: `datasets` would look for the files.
    """
    columns = [(name, LABELS.field(name).type) for name in _AS_IN_LABELS]
    columns.append(("original_source", pa.string()))
    if not images:
        return pa.schema(columns)
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema(
        [("image", image), *columns],
        metadata={b"huggingface": json.dumps(features).encode()},
    )


class _Shards:
    """One split's files: a new one begins when the last has about 400 MB of images."""

    def __init__(self, session: ExportSession, split: str) -> None:
        self._session, self._split = session, split
        self._schema = schema(images=session.images is not None)
        self._rows: list[dict[str, object]] = []
        self._held_bytes = self._shard_bytes = self._number = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, page: ExportPage, image: ImageFile | None) -> None:
        self._rows.append(_record(page, image))
        self._held_bytes += len(image.data) if image else 0
        if len(self._rows) >= _GROUP_ROWS or self._held_bytes >= _GROUP_BYTES:
            self._write()

    def close(self) -> None:
        self._write()
        self._end_shard()

    def _write(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            path = self._session.folder.path("data", f"{self._split}-{self._number:05d}.parquet")
            self._writer = pq.ParquetWriter(path, self._schema)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._shard_bytes += self._held_bytes
        self._rows, self._held_bytes = [], 0
        if self._shard_bytes >= _SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._number += 1
            self._shard_bytes = 0


def _record(page: ExportPage, image: ImageFile | None) -> dict[str, object]:
    row = page.row
    return {
        **{name: getattr(row, name) for name in _OF_A_PAGE},
        "image": image and {"bytes": image.data, "path": page.stem + image.suffix},
        "width": row.width_px,
        "height": row.height_px,
        "texts": [word.text for word in page.words],
        "polygons": [word.polygon for word in page.words],
        "labels": [IGNORE if word.ignored else word.label for word in page.words],
        "confidences": [word.confidence for word in page.words],
    }


def _card_head(splits: Iterable[str]) -> str:
    """Return the YAML that tells the hub, and `datasets`, which files are which split."""
    files = "".join(f"  - split: {s}\n    path: data/{s}-*.parquet\n" for s in splits)
    data_files = f"  data_files:\n{files}" if splits else ""
    return (
        "---\n"
        "task_categories:\n- image-to-text\n- object-detection\n"
        "tags:\n- ocr\n- pseudo-labels\n"
        f"configs:\n- config_name: default\n{data_files}"
        "---\n\n"
    )


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every parquet file, a few rows at a time. Raises DatasetError that names file and id."""
    for path in files(folder, "*.parquet"):
        try:
            table = open_parquet(path)
        except pa.ArrowInvalid as error:
            raise DatasetError(f"{path} is no parquet file: {error}") from error
        with table:
            there = set(table.schema_arrow.names)
            if missing := [name for name in _NEEDED if name not in there]:
                raise DatasetError(f"{path} has no column {', '.join(missing)}")
            columns = [name for name in (*_NEEDED, *_OPTIONAL) if name in there]
            for batch in table.iter_batches(batch_size=100, columns=columns):
                for record in batch.to_pylist():
                    yield _correction(path, record)


def _correction(path: Path, record: dict[str, Any]) -> Correction:
    source = record.get("source") or FROM_ENGINE
    try:
        texts, labels = record["texts"] or [], record["labels"] or []
        confidences = record.get("confidences") or [None] * len(texts)
        # pandas has a number that is none for None
        confidences = [
            None if each is None or math.isnan(each) else share(each) for each in confidences
        ]
        words = [
            Word(text or "", tuple((number(x), number(y)) for x, y in polygon), confidence)
            for text, polygon, confidence, _ in zip(
                texts, record["polygons"] or [], confidences, labels, strict=True
            )
        ]
        return Correction(
            file=str(record["id"]),
            words=tuple(words),
            classes=tuple(label or "" for label in labels),
            source="hf" if source == FROM_ENGINE else source,
            id=str(record["id"]),
            page=int(record["page"]),
            without_text=frozenset(n for n, text in enumerate(texts) if text is None),
        )
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{path}, id {record['id']}: {error}\n"
            "  a page needs its number, and a text, a polygon and a label for each word"
        ) from error
