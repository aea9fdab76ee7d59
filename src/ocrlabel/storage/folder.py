"""A folder as an ObjectStore: what is written is on the disk, whole, before a call returns.

obstore's own LocalStore never calls fsync, so after a power cut a paid answer could be an empty
file; hence this one. Each object is written beside its place, flushed, linked or renamed into it,
and the folder is flushed too. A link never replaces: that is put-if-absent, also between
processes. The work is done in threads; the event loop is never blocked.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.storage.base import MAY_PASS, NotStored, Stored, checked, folder_of

_PART = re.compile(r"\.~[0-9a-f]{16}\.part")  # half-written; a killed process leaves one behind
_LISTED_AT_ONCE = 1000
_FOLDER_TRIES = 100
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FOLDER = "{}: there is a folder where a file belongs; move it away, or choose another place"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def temporary_folder() -> str:
    """Where a temporary file can be written. Raises ConfigError: there is no such folder."""
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise ConfigError(
            f"user {os.getuid()} can write no temporary file: {error.strerror}\n"
            "  set TMPDIR to a folder with room that can be written to; in a container with a"
            " read-only root /tmp is a volume, of which the image must say VOLUME /tmp and whose"
            " it is (mode 1777)"
        ) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, removed in the end where it can be: with no handles left it cannot."""
    with tempfile.TemporaryDirectory(
        prefix="ocrlabel-", dir=temporary_folder(), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Objects are files below root; "/" in a key is a folder. flush puts a handle on the disk."""

    root: Path
    flush: Callable[[int], None] = os.fsync

    @property
    def url(self) -> str:
        """The folder, as a user would write it."""
        return str(self.root)

    async def get(self, key: str) -> bytes:
        """The whole object. Raises NotStored."""
        return await asyncio.to_thread(self._get, self._path(key), key)

    async def put(self, key: str, data: bytes) -> None:
        """Write or replace; all or nothing."""
        path = self._path(key)
        await asyncio.to_thread(self._write, path, lambda file: file.write(data), os.replace)

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key exists; True when the object there is `data`."""
        return await asyncio.to_thread(self._put_if_absent, self._path(key), key, data)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every object whose key starts with prefix; folders that cannot match are not read."""
        found = self._walk(folder_of(prefix), prefix)
        while page := await asyncio.to_thread(lambda: [*islice(found, _LISTED_AT_ONCE)]):
            for stored in page:
                yield stored

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete, with the folders that become empty; keys that do not exist are no error."""
        paths = [self._path(key) for key in keys]
        await asyncio.to_thread(self._delete, paths)

    async def upload(self, key: str, path: Path) -> None:
        """Write or replace from a file, without holding it in memory."""

        def copy(file: BinaryIO) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file)

        await asyncio.to_thread(self._write, self._path(key), copy, os.replace)

    async def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, without holding it in memory. Raises NotStored."""

        def copy() -> None:
            part = path.with_name(f".{path.name}.part")
            try:
                with self.open(key) as source, part.open("wb") as file:
                    shutil.copyfileobj(source, file)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

        await asyncio.to_thread(copy)

    def open(self, key: str) -> BinaryIO:
        """A seekable reader. Raises NotStored."""
        path = self._path(key)
        with _disk_errors(path), _not_stored(key):
            return path.open("rb")

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    def _get(self, path: Path, key: str) -> bytes:
        with _disk_errors(path), _not_stored(key):
            return path.read_bytes()

    def _put_if_absent(self, path: Path, key: str, data: bytes) -> bool:
        try:
            self._write(path, lambda file: file.write(data), os.link)
        except FileExistsError:
            if path.is_dir():
                raise ConfigError(_FOLDER.format(path)) from None
            if self._get(path, key) != data:
                return False
            # the same bytes from an earlier try, which may have died before this flush
            with _disk_errors(path):
                self._flush_folder(path.parent)
        return True

    def _write(
        self,
        path: Path,
        write: Callable[[BinaryIO], object],
        place: Callable[[Path, Path], None],
    ) -> None:
        part = path.parent / f".~{secrets.token_hex(8)}.part"
        if path.is_symlink() and not path.exists():
            raise ConfigError(f"{path}: a dead link; bring back what it leads to, or remove it")
        with _disk_errors(path):
            with self._new_file(part) as file:
                try:
                    write(file)
                    file.flush()
                    self.flush(file.fileno())
                    place(part, path)
                finally:
                    part.unlink(missing_ok=True)
            self._flush_folder(path.parent)

    def _new_file(self, part: Path) -> BinaryIO:
        """Open a new file, also while others remove its folder because it is empty."""
        for _ in range(_FOLDER_TRIES):
            with suppress(FileNotFoundError):
                self._make_folder(part.parent)
                return part.open("xb")
        raise ConfigError(
            f"{part.parent}: cannot be made; is it, or what is above it, a dead link?"
        )

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            with suppress(FileExistsError):  # another writer made it
                new.mkdir()
            self._flush_folder(new.parent)

    def _flush_folder(self, folder: Path) -> None:
        """Put a folder's own entries on the disk: without it a new name can be lost."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.flush(handle)
        finally:
            os.close(handle)

    def _walk(self, folder: str, prefix: str) -> Iterator[Stored]:
        top = self.root / folder if folder else self.root
        with _disk_errors(top):
            try:
                entries = sorted(os.scandir(top), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                return
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix) and not _PART.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # deleted since it was listed
                    yield Stored(key, entry.stat().st_size)

    def _delete(self, paths: Sequence[Path]) -> None:
        folders = set()
        for path in paths:
            with _disk_errors(path), suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                folders.add(path.parent)
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            self._drop_empty(folder)

    def _drop_empty(self, folder: Path) -> None:
        """Remove a folder and those above it while they are empty; the root stays."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or in use again
            folder = folder.parent
        with _disk_errors(folder), suppress(FileNotFoundError):
            self._flush_folder(folder)


@contextmanager
def _not_stored(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotStored(key) from error


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """A disk's errors in words; what is part of normal work passes as it is."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except IsADirectoryError as error:
        raise ConfigError(_FOLDER.format(path)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StoreUnavailable(
                f"{path}: {reason}; make room and run the same command again to go on"
            ) from error
        if error.errno in MAY_PASS:
            raise StoreUnavailable(
                f"{path}: {reason}; what was saved stays saved: run the same command again to go on"
            ) from error
        if error.errno in _NO_LINKS and error.filename2 is not None:
            raise ConfigError(
                f"{path.parent}: this file system has no hard links ({reason}), which keep two "
                f"workers from overwriting each other; choose a folder on another disk"
            ) from error
        raise ConfigError(f"{path}: {reason}; choose another folder or mend its rights") from error
