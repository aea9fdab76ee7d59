"""What only a folder has to prove: nothing is in its place before it is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrlabel.storage.folder import FolderStore


class Flushes:
    """Notes what each flushed handle is, and whether the object is in its place by then."""

    def __init__(self, wanted: Path) -> None:
        self.wanted = wanted
        self.seen: list[tuple[str, bool]] = []

    def __call__(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").resolve()
        kind = f"folder {path.name}" if path.is_dir() else f"file of {path.stat().st_size}"
        self.seen.append((kind, self.wanted.exists()))
        os.fsync(handle)


@pytest.mark.parametrize("call", ["put", "put_if_absent", "upload"])
async def test_bytes_are_flushed_before_the_name_and_the_name_after(
    tmp_path: Path, call: str
) -> None:
    flushes = Flushes(tmp_path / "new" / "a")
    store = FolderStore(tmp_path, flushes)
    (tmp_path / "source").write_bytes(b"paid")

    match call:
        case "put":
            await store.put("new/a", b"paid")
        case "put_if_absent":
            await store.put_if_absent("new/a", b"paid")
        case _:
            await store.upload("new/a", tmp_path / "source")

    assert flushes.seen == [
        (f"folder {tmp_path.name}", False),
        ("file of 4", False),
        ("folder new", True),
    ]


async def test_a_repeated_put_is_flushed_too_since_the_first_may_have_died_before(
    tmp_path: Path,
) -> None:
    flushes = Flushes(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"paid")

    assert await FolderStore(tmp_path, flushes).put_if_absent("a", b"paid")

    assert flushes.seen[-1] == (f"folder {tmp_path.name}", True)
