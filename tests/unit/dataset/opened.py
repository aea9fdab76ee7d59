"""Opening datasets and reading images in tests, without an event loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ocrlabel.dataset.sources import ImageDataset, open_dataset
from ocrlabel.errors import DatasetError, Unreadable
from ocrlabel.labels import ImageRef


@contextmanager
def opened(source: str | Path, cwd: Path, **options: Any) -> Iterator[ImageDataset]:
    dataset = asyncio.run(open_dataset(source, cwd=cwd, **options))
    try:
        yield dataset
    finally:
        dataset.close()


def all_refs(dataset: ImageDataset) -> list[ImageRef]:
    return dataset.refs(0, dataset.rows)


def read(dataset: ImageDataset, row: int = 0) -> bytes:
    return asyncio.run(dataset.read(dataset.refs(row, row + 1)[0]))


def refusal(dataset: ImageDataset, row: int = 0) -> Unreadable:
    try:
        read(dataset, row)
    except Unreadable as error:
        return error
    raise AssertionError("it was read")


def complaint(source: str | Path, cwd: Path, **options: Any) -> str:
    """What is said of an input that cannot be used; one sentence, one line."""
    try:
        with opened(source, cwd, **options):
            pass
    except DatasetError as error:
        said = str(error)
        return said if "\n" not in said else f"more than one line: {said}"
    raise AssertionError("it was opened")


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path
