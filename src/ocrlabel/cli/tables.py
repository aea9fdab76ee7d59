"""The tables that a command is given, and the files that it may write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ocrlabel.cli.settings import from_environment, open_store
from ocrlabel.dataset import labels_table
from ocrlabel.dataset.labels_table import FailureRow, LabelRow, Table, table_info
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.storage.base import NotStored


def read_labels(table: str | Path | BinaryIO) -> Iterator[LabelRow]:
    """Every page of a labels table or of a checkpoint, 64 in memory at once.

    table: a path or an s3:// address, as `LabelResult.labels_path` is, or an open file. Raises
    DatasetError when there is none, or another kind of table.
    """
    with _found(table) as there:
        yield from labels_table.read_labels(there)


def read_failures(table: str | Path | BinaryIO) -> Iterator[FailureRow]:
    """Every row of a failures table, in the same way: of what `failures_path` names."""
    with _found(table) as there:
        yield from labels_table.read_failures(there)


@contextmanager
def _found(table: str | Path | BinaryIO) -> Iterator[Table]:
    if not isinstance(table, str) or not table.startswith("s3://"):
        yield Path(table).expanduser() if isinstance(table, str | Path) else table
        return
    bucket, _, key = table.removeprefix("s3://").partition("/")
    try:
        there = open_store(f"s3://{bucket}", from_environment()).open(key)
    except NotStored as error:
        raise DatasetError(f"{table}: there is no such object") from error
    with closing(there):
        yield there


def need_file(table: str | Path) -> Path:
    """The path of a labels table. Raises ConfigError where there is none."""
    path = Path(table).expanduser()
    if not path.is_file():
        partial = path.with_name(f"{path.stem}_partial{path.suffix}")
        there = f"\n  a run that stopped early left {partial}" if partial.is_file() else ""
        if str(table).startswith("s3://"):
            there = f"\n  this command reads files; copy it here first: aws s3 cp {table} ."
        raise ConfigError(f"no labels table at {table if there else path}{there}")
    return path


def refuse_to_replace(target: Path) -> None:
    """Refuse to write over a file that is no labels table, page or calibration of ocrlabel's."""
    if not target.exists():
        return
    with suppress(DatasetError, OSError), target.open("rb") as file:
        head = file.read(8192)
        is_ours = b'name="generator" content="ocrlabel"' in head or b'"ocrlabel calibrate,' in head
        if is_ours or table_info(target).get("table") == "labels":
            return
    raise ConfigError(
        f"{target} is there, and ocrlabel did not write it\n"
        "  name another file to write, or move that one away"
    )
