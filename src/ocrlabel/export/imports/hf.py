"""Corrections from a Hugging Face dataset that was exported here, edited and saved as parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.dataset.tables.rows import FROM_ENGINE
from ocrlabel.errors import DatasetError
from ocrlabel.export.imports.base import Correction, number
from ocrlabel.export.imports.files import files
from ocrlabel.labels import Word

_NEEDED = ("id", "page", "texts", "polygons", "labels")
_OPTIONAL = ("confidences", "source")


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every parquet file, a few rows at a time. Raises DatasetError that names file and id."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this format reads it

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
    if len(record["labels"]) != len(record["texts"]):
        raise DatasetError(f"{path}, id {record['id']}: labels and texts differ in number")
    try:
        confidences = record.get("confidences") or [None] * len(record["texts"])
        words = tuple(
            Word(text, tuple((number(x), number(y)) for x, y in polygon), confidence)
            for text, polygon, confidence in zip(
                record["texts"], record["polygons"], confidences, strict=True
            )
        )
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}, id {record['id']}: {error}") from error
    source = record.get("source") or FROM_ENGINE
    return Correction(
        file=str(record["id"]),
        words=words,
        classes=tuple(record["labels"]),
        source="hf" if source == FROM_ENGINE else source,
        id=str(record["id"]),
        page=int(record["page"]),
    )
