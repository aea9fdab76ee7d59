"""The files of a folder that is imported, with clear errors for those that cannot be read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from ocrlabel.errors import DatasetError
from ocrlabel.labels import Word


def files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of the folder, or the one file given, in a fixed order.

    Raises DatasetError when nothing is there that the format would have written.
    """
    if folder.is_file():
        if is_zipfile(folder):
            raise DatasetError(f"{folder} is a ZIP\n  unpack it, and name the folder")
        return [folder]
    found = sorted(path for path in folder.rglob(pattern) if not path.name.startswith("."))
    if not found:
        raise DatasetError(
            f"{folder} holds no {pattern}\n"
            "  name the folder that holds the corrections, and their --format"
        )
    return found


def read_json(path: Path) -> Any:
    """Return the file's content. Raises DatasetError when it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{path} is no JSON: {error}\n  export it again from its tool"
        ) from error


def saved_at(path: Path) -> datetime:
    """When the file was written last: when a person was done, where it says no more."""
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the numbered lines of a UTF-8 file that hold anything; only a line feed ends one."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(f"{path}, line {number}: not UTF-8 ({error})") from error
            line = text.removesuffix("\n").removesuffix("\r")
            if line:
                yield number, line


def words_and_classes(
    found: Iterable[tuple[Word, str]],
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """Return the words, and the class of each, apart."""
    pairs = list(found)
    return tuple(word for word, _ in pairs), tuple(label for _, label in pairs)


def number(value: object) -> float:
    """Return a coordinate. Raises TypeError or ValueError for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)


def share(value: object) -> float:
    """Return a confidence. Raises TypeError or ValueError for what is none."""
    if not 0 <= (confidence := number(value)) <= 1:
        raise ValueError(f"{value!r} is no confidence, which is from 0 to 1")
    return confidence
