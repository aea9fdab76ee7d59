"""Everything a run ever stored, as one text that a reader can follow, and back into a store.

Objects are told byte by byte, but for what no two machines need to have alike: a nonce is told as
zeros, a journal object without its gzip, its lines sorted and named by their digest, and a parquet
file as its schema and its rows.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.stores import DictStore

_NONCE = re.compile(r'("nonce": ")[0-9a-f]{32}"')
_HEAD = "== "


class KeepsAll(DictStore):
    """A store that remembers every object it was ever given, also those deleted or replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, list[bytes]] = defaultdict(list)

    async def put(self, key: str, data: bytes) -> None:
        await super().put(key, data)
        self.given[key].append(data)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        fresh = key not in self.objects
        written = await super().put_if_absent(key, data)
        if fresh:
            self.given[key].append(data)
        return written

    async def upload(self, key: str, path: Path) -> None:
        await super().upload(key, path)
        self.given[key].append(self.objects[key])


def told(store: KeepsAll) -> str:
    """All objects by key; different ones of one key in the order in which they came."""
    objects = [
        (key, data) for key, several in store.given.items() for data in dict.fromkeys(several)
    ]
    shown = sorted(
        ((_named(key, data), _shown(key, data)) for key, data in objects), key=lambda one: one[0]
    )
    number: dict[str, int] = defaultdict(int)
    lines = []
    for name, text in shown:
        number[name] += 1
        again = f" ({number[name]})" if number[name] > 1 else ""
        lines.append(f"{_HEAD}{name}{again}\n{text}\n")
    return "".join(lines)


def store_of(text: str) -> KeepsAll:
    """A store with the JSON objects and journals of such a text."""
    store = KeepsAll()
    for part in text.split(f"\n{_HEAD}"):
        name, _, body = part.removeprefix(_HEAD).removesuffix("\n").partition("\n")
        assert not name.endswith((".parquet", ")")), "these are told to be read, not to be stored"
        data = body.encode()
        if "/journal/" in name:
            data = gzip.compress(data, compresslevel=1, mtime=0)
            name = f"{name.rpartition('-')[0]}-{_digest(data)}"
        store.objects[name] = data
    return store


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _named(key: str, data: bytes) -> str:
    if "/written/" in key:  # named by a table's bytes, which are the parquet library's
        return f"{key.rpartition('/')[0]}/(sha256)"
    if "/journal/" not in key:
        return key
    stem, _, digest = key.rpartition("-")
    assert digest == _digest(data), "a journal object is named by its bytes"
    return f"{stem}-{hashlib.sha256(_lines(data).encode()).hexdigest()[:12]}"


def _lines(data: bytes) -> str:
    """In an order of their own: records that come at once are written in any order."""
    return "\n".join(sorted(gzip.decompress(data).decode().split("\n")))


def _shown(key: str, data: bytes) -> str:
    if "/journal/" in key:
        assert data[:8] == b"\x1f\x8b\x08\x00" + bytes(4), "gzip, with no time and no name"
        return _lines(data)
    if key.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(data))
        noted = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
        rows = [json.dumps(row, ensure_ascii=False, default=_plain) for row in table.to_pylist()]
        fields = [f"{field.name}: {field.type}" for field in table.schema]
        return "\n".join([*fields, *(f"{name} = {noted[name]}" for name in noted), *rows])
    return _NONCE.sub(rf'\g<1>{"0" * 32}"', data.decode())


def _plain(value: object) -> str:
    return repr(value) if isinstance(value, bytes) else str(value)
