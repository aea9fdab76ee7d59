"""A parquet file that claims too much, or was damaged, ends in a sentence and in little memory."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset.checkpoint_table import decode_checkpoint, read_attempts, read_meta
from ocrlabel.dataset.labels_table import (
    FailureRow,
    FailuresWriter,
    LabelRow,
    LabelsWriter,
    read_failures,
    read_labels,
)
from ocrlabel.errors import DatasetError, RunMismatch, Unreadable
from ocrlabel.labels import Word
from tests.unit.dataset.opened import complaint, opened
from tests.unit.dataset.test_checkpoint_table import small_checkpoint

FLIPS = 100


def numbers(rows: int) -> pa.Array:
    return pa.array(range(rows)).cast("string")


def again(value: str | bytes, rows: int) -> pa.Array:
    """One value that stands once in the file, and is that of every row."""
    return pa.array([value]).take(pa.array([0] * rows, pa.int32()))


BOMBS: dict[str, Callable[[], dict[str, pa.Array]]] = {
    "a path for every row": lambda: {"id": numbers(400), "image_path": again("a" * 500_000, 400)},
    "a large value": lambda: {"id": numbers(1), "image_path": again("a" * 100_000_000, 1)},
    "many rows": lambda: {"image_path": pa.nulls(12_000_000, pa.int8())},
    "an image for every row": lambda: {"id": numbers(25), "image": again(bytes(20_000_000), 25)},
}
OPEN = """
import asyncio, sys
from pathlib import Path
from ocrlabel.dataset.sources import open_dataset
from ocrlabel.errors import DatasetError
async def go():
    dataset = await open_dataset(sys.argv[1], cwd=Path("/"))
    for start in range(0, dataset.rows, 25):
        for ref in dataset.refs(start, start + 25)[:3]:
            if ref.embedded:
                await dataset.read(ref)
def most_kb():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
before = most_kb()
try:
    asyncio.run(go())
except DatasetError as error:
    print(str(error)[:500])
print((most_kb() - before) // 1024)
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_that_would_fill_the_memory_does_not(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    table = pa.table(BOMBS[bomb]())
    pq.write_table(table, path, compression="zstd", row_group_size=20_000_000)
    assert path.stat().st_size < 60_000
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True
    )
    *said, more_mb = done.stdout.splitlines()
    assert int(more_mb) < 300
    assert len(said) <= 1
    assert all(f"{path}" in one for one in said)


def tables(folder: Path) -> dict[str, bytes]:
    word = Word("한", ((0, 0), (9, 0), (9, 5), (0, 5)), 0.5)
    rows = [LabelRow(f"id{n}", f"a/{n}.png", f"{n}.png", 10, 20, (word, word)) for n in range(5)]
    with LabelsWriter(folder / "labels.parquet") as labels:
        for row in rows:
            labels.add(row)
    with FailuresWriter(folder / "failures.parquet") as failures:
        for n in range(5):
            failures.add(
                FailureRow(n, f"id{n}", f"{n}.png", "not_found", "no", 1, False, "e", "s", None)
            )
    paths = pa.table(
        {"id": [f"{n}" for n in range(9)], "image_path": [f"{n}.png" for n in range(9)]}
    )
    inside = pa.table({"id": [1, 2, 3], "image": [{"bytes": b"x" * 50, "path": "a"}] * 3})
    found = {name: (folder / f"{name}.parquet").read_bytes() for name in ("labels", "failures")}
    for name, table in (("paths", paths), ("inside", inside)):
        held = io.BytesIO()
        pq.write_table(table, held)
        found[name] = held.getvalue()
    return found | {"checkpoint": small_checkpoint()[1]}


@contextmanager
def named(path: Path) -> Iterator[None]:
    """What cannot be read is told in a few lines that name the file."""
    said = str(path)
    try:
        yield
    except (DatasetError, RunMismatch, Unreadable) as error:
        said = str(error)
    assert str(path) in said
    assert len(said.splitlines()) <= 3


def read_input(path: Path) -> None:
    with opened(path, path.parent) as dataset:
        for ref in dataset.refs(0, dataset.rows):
            if ref.embedded:
                with named(path):
                    dataset._read(ref)


def read_checkpoint(path: Path) -> None:
    data = path.read_bytes()
    for read in (
        lambda: decode_checkpoint(data, where=str(path)),
        lambda: read_attempts(data, where=str(path)),
        lambda: read_meta(io.BytesIO(data), where=str(path)),
        lambda: list(read_labels(path)),
    ):
        with named(path):
            read()


READERS: dict[str, Callable[[Path], object]] = {
    "labels": lambda path: list(read_labels(path)),
    "failures": lambda path: list(read_failures(path)),
    "paths": read_input,
    "inside": read_input,
    "checkpoint": read_checkpoint,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["flip", "cut", "zeros"])
def test_a_damaged_file_is_read_or_named_in_a_sentence(
    name: str, damage: str, tmp_path: Path
) -> None:
    whole, rng = tables(tmp_path)[name], random.Random(f"{name} {damage}")
    path = tmp_path / "damaged.parquet"
    for _ in range(FLIPS):
        data = bytearray(whole)
        at = rng.randrange(len(data))
        if damage == "flip":
            for place in (at, rng.randrange(len(data))):
                data[place] ^= 1 << rng.randrange(8)
        elif damage == "cut":
            del data[at : at + rng.randrange(1, 60)]
        else:
            data[at : at + 16] = bytes(len(data[at : at + 16]))
        path.write_bytes(data)
        with named(path):
            READERS[name](path)


def test_the_row_of_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"image_path": [f"{n:06d}.png" for n in range(3000)]})
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="none")
    data = path.read_bytes()
    at = data.index(b"001500.png") - 4  # its length
    path.write_bytes(data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :])
    said = complaint(path, tmp_path)
    assert said.startswith(f"{path}: row 1001, or one soon after it, cannot be read: ")
