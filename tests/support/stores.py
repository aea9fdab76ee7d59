"""A store in plain Python: no threads, no waiting, so that whole runs fit on a virtual clock.

It passes the same contract as the real ones.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ocrlabel.storage.base import NotStored, Stored


class DictStore:
    """Objects in a dict."""

    url = "dict://"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotStored(key)
        return self.objects[key]

    async def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.objects.setdefault(key, data) == data

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        for key, data in list(self.objects.items()):
            if key.startswith(prefix):
                yield Stored(key, len(data))

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    async def upload(self, key: str, path: Path) -> None:
        self.objects[key] = path.read_bytes()

    async def download(self, key: str, path: Path) -> None:
        path.write_bytes(await self.get(key))

    def open(self, key: str) -> BinaryIO:
        if key not in self.objects:
            raise NotStored(key)
        return io.BytesIO(self.objects[key])
