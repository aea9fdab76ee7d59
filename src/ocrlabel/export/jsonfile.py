"""JSON files that are written piece by piece: an array or an object of any length, no memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO


def dumps(value: object) -> str:
    """One line of JSON, as short as it gets, in the text's own characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class JsonFile:
    """A file of items between a head and a tail: `[` and `]`, or `{"images":{` and `}}`."""

    def __init__(self, path: Path, *, head: str, tail: str) -> None:
        self._tail = tail
        self._between = ""
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._file.write(head)

    def add(self, item: object, *, key: str | None = None) -> None:
        """Write one item; with a key, as a member of an object."""
        name = "" if key is None else dumps(key) + ":"
        self._file.write(f"{self._between}\n{name}{dumps(item)}")
        self._between = ","

    def close(self) -> None:
        """Write the tail and close the file."""
        with self._file:
            self._file.write(f"\n{self._tail}\n")
