"""Where images may be: named folders and parts of buckets, and nowhere else.

`read_inside` reads a file that must lie inside a named folder, whatever links and names say: a
path is resolved first; then the resolved path is walked again folder by folder, refusing every
link on the way, so that nothing can be exchanged between the look and the open.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from ocrlabel.errors import ConfigError, DatasetError, StoreUnavailable, Unreadable
from ocrlabel.images.limits import check_bytes
from ocrlabel.labels import FailureClass, as_stored
from ocrlabel.storage.base import MAY_PASS, NotStored, ObjectStore

StoreOpener: TypeAlias = Callable[[str], ObjectStore]
"""From "s3://bucket" to the store of the whole bucket."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})
_LINKED = frozenset({errno.ELOOP, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class FolderRoot:
    """A folder without links in its own path. allowed: all named folders, links may lead there."""

    folder: Path
    allowed: tuple[Path, ...]

    def places(self, path: str) -> list[str]:
        """Where the path is looked for: below the folder; an absolute one only if it lies there."""
        if "://" in path:
            return []
        where = self.folder / path
        if path.startswith("/") and not real_path(where).is_relative_to(self.folder):
            return []
        return [str(where)]

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """The file, also under the other ways to write its name; None where there is none."""
        if not self.places(path):
            return None
        return read_inside(_spelled(self.folder, path), self.allowed, max_bytes)


@dataclass(frozen=True, slots=True)
class BucketRoot:
    """What lies in a bucket under a prefix ("" is all of it)."""

    store: ObjectStore
    bucket: str
    prefix: str = ""

    def places(self, path: str) -> list[str]:
        """Below the prefix; an s3:// path only if it lies there."""
        keys = keys_in(self.bucket, self.prefix, path)
        return [f"s3://{self.bucket}/{key}" for key in islice(keys, 1)]

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """The object. Its size is asked for before it is read."""
        for key in keys_in(self.bucket, self.prefix, path):
            try:
                file = self.store.open(key)
            except (NotStored, ConfigError):  # ConfigError: no object can have this name
                continue
            with file:
                check_bytes(file.seek(0, os.SEEK_END), max_bytes)
                file.seek(0)
                return file.read()
        return None


def keys_in(bucket: str, prefix: str, path: str) -> Iterator[str]:
    """Under which keys a path of a table is looked for below a prefix; none where it leads outside.

    The first is the path's own; the others spell its Hangul otherwise.
    """
    whole = f"s3://{bucket}/"
    if path.startswith(whole):
        key = path.removeprefix(whole)
        if prefix and not key.startswith(f"{prefix}/"):
            return
    elif "://" in path or path.startswith("/"):
        return
    else:
        key = str(PurePosixPath(prefix, path))
    # one at a time: a deep path of Hangul has thousands
    parts = [dict.fromkeys((part, *_forms(part))) for part in key.split("/")]
    yield from map("/".join, product(*parts))


Root: TypeAlias = FolderRoot | BucketRoot


def real_path(path: Path) -> Path:
    """Where it leads, without links."""
    return Path(os.path.realpath(path))


def named_folder(root: str | Path, cwd: Path) -> Path:
    """The folder that an --image-root names, without links in it. Raises DatasetError."""
    folder = real_path(cwd / Path(root).expanduser())
    if not folder.is_dir():
        raise DatasetError(f"image root {root}: there is no such folder")
    return folder


def bucket_root(url: str, open_store: StoreOpener | None) -> BucketRoot:
    """s3://bucket or s3://bucket/prefix. Raises DatasetError where buckets cannot be opened."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise DatasetError(f"{url}: the bucket's name is missing; write s3://bucket/prefix")
    if open_store is None:
        raise DatasetError(f"{url}: buckets cannot be opened here")
    return BucketRoot(open_store(f"s3://{bucket}"), bucket, prefix.strip("/"))


def _spelled(folder: Path, path: str) -> Path:
    r"""The path as the file system spells it, part by part; as it is where nothing is there.

    Each part is looked for as it is written, as macOS and as everyone else writes Hangul, in the
    bytes of Korean Windows, and in those that a table shows as \xNN; at last with Windows' slashes.
    """
    for written in dict.fromkeys((path, path.replace("\\", "/"))):
        found: Path | None = folder / written
        if not os.path.lexists(folder / written):
            found = folder
            for part in PurePosixPath(written).parts:
                there = (found / name for name in (part, *_forms(part), *_in_bytes(part)))
                found = next((name for name in there if os.path.lexists(name)), None)
                if found is None:
                    break
        if found is not None:
            return found
    return folder / path


def _forms(part: str) -> list[str]:
    return [] if part.isascii() else [unicodedata.normalize(form, part) for form in ("NFC", "NFD")]


def _in_bytes(part: str) -> Iterator[str]:
    """The names in bytes that are no UTF-8, as this system gives them to Python."""
    with suppress(UnicodeError):  # not all of Unicode is in CP949
        if not part.isascii():
            yield os.fsdecode(unicodedata.normalize("NFC", part).encode("cp949"))
    with suppress(UnicodeError):  # half a surrogate pair
        if "\\x" in part:
            yield os.fsdecode(as_stored(part))


def read_inside(path: Path, roots: Sequence[Path], max_bytes: int) -> bytes | None:
    """The bytes of a regular file under one of the roots; None when there is no such file.

    path: absolute. roots: absolute, without links. Raises Unreadable: NOT_ALLOWED for what lies
    elsewhere or is no regular file, EMPTY, TOO_LARGE (nothing is read then); StoreUnavailable for
    a fault that is not the file's.
    """
    try:
        real = real_path(path)
        if not real.exists():
            return None
        root = next((root for root in roots if real.is_relative_to(root)), None)
        if root is None:
            raise _refused(f"{path} leads to {real}, outside every folder that was named")
        return _read(root, real.relative_to(root).parts, max_bytes)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _translated(error, path) from error
    except ValueError:  # a NUL, or half a surrogate pair: no file system has such a name
        return None


def _read(root: Path, parts: Sequence[str], max_bytes: int) -> bytes:
    if not parts:
        raise _not_a_file(stat.S_IFDIR)
    with ExitStack() as handles:
        folder = _kept_open(handles, os.open(root, os.O_RDONLY | os.O_DIRECTORY))
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            folder = _kept_open(handles, os.open(part, flags, dir_fd=folder))
        # Opening a pipe waits and opening a device may do things, so first look, then open.
        kind = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(kind):
            raise _not_a_file(kind)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = _kept_open(handles, os.open(parts[-1], flags, dir_fd=folder))
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(status.st_mode)
        check_bytes(status.st_size, max_bytes)
        with open(handle, "rb", buffering=0, closefd=False) as file:
            data = file.read(max_bytes + 1) or b""
    check_bytes(len(data), max_bytes)
    return data


def _kept_open(handles: ExitStack, handle: int) -> int:
    handles.callback(os.close, handle)
    return handle


def _not_a_file(mode: int) -> Unreadable:
    if stat.S_ISDIR(mode):
        return Unreadable("it is a folder", failure=FailureClass.NOT_AN_IMAGE)
    return _refused("it is no regular file (a pipe, a device or a link)")


def _translated(error: OSError, path: Path) -> Unreadable | StoreUnavailable:
    if error.errno in MAY_PASS:
        return StoreUnavailable(f"{path} cannot be read now: {error.strerror}")
    if isinstance(error, PermissionError):
        return _refused(f"{path} may not be read: permission denied")
    if error.errno in _LINKED:
        return _refused(f"{path} is a link that was changed while it was opened")
    return Unreadable(f"{path} cannot be read: {error}", failure=FailureClass.UNAVAILABLE)


def _refused(message: str) -> Unreadable:
    return Unreadable(message, failure=FailureClass.NOT_ALLOWED)
