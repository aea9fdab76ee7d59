"""Reading a file that must lie inside a named folder, whatever links and names say.

A path is resolved first; then the resolved path is walked again folder by folder, refusing every
link on the way, so that nothing can be exchanged between the look and the open.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ocrlabel.dataset.pixels.limits import check_bytes
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})
_LINKED = frozenset({errno.ELOOP, errno.EMLINK})


def read_inside(path: Path, roots: Sequence[Path], max_bytes: int) -> bytes | None:
    """The bytes of a regular file under one of the roots; None when there is no such file.

    path: absolute. roots: absolute, without links. Raises Unreadable: NOT_ALLOWED for what lies
    elsewhere or is no regular file, EMPTY, TOO_LARGE (nothing is read then).
    """
    try:
        real = Path(os.path.realpath(path))
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
        folder = _held(handles, os.open(root, os.O_RDONLY | os.O_DIRECTORY))
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            folder = _held(handles, os.open(part, flags, dir_fd=folder))
        # Opening a pipe waits and opening a device may do things, so first look, then open.
        kind = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(kind):
            raise _not_a_file(kind)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = _held(handles, os.open(parts[-1], flags, dir_fd=folder))
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(status.st_mode)
        check_bytes(status.st_size, max_bytes)
        with open(handle, "rb", buffering=0, closefd=False) as file:
            data = file.read(max_bytes + 1) or b""
    check_bytes(len(data), max_bytes)
    return data


def _held(handles: ExitStack, handle: int) -> int:
    handles.callback(os.close, handle)
    return handle


def _not_a_file(mode: int) -> Unreadable:
    if stat.S_ISDIR(mode):
        return Unreadable("it is a folder", failure=FailureClass.NOT_AN_IMAGE)
    return _refused("it is no regular file (a pipe, a device or a link)")


def _translated(error: OSError, path: Path) -> Unreadable:
    if isinstance(error, PermissionError):
        return _refused(f"{path} may not be read: permission denied")
    if error.errno in _LINKED:
        return _refused(f"{path} is a link that was changed while it was opened")
    return Unreadable(f"{path} cannot be read: {error}", failure=FailureClass.UNAVAILABLE)


def _refused(message: str) -> Unreadable:
    return Unreadable(message, failure=FailureClass.NOT_ALLOWED)
