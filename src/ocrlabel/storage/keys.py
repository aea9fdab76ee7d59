"""Which keys every store takes, so that a run that works in a folder works in a bucket."""

from __future__ import annotations

from ocrlabel.errors import ConfigError

MAX_KEY_BYTES = 1024  # S3's own limit
MAX_NAME_BYTES = 255  # of every common file system; a folder must hold the same keys


def checked(key: str) -> str:
    """The key itself. Raises ConfigError for one that some store cannot hold as it is.

    Refused: empty or absolute keys, "." and ".." and empty parts, control characters, text that
    is not Unicode, and names that are too long.
    """
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise _unusable(key, "it is not valid Unicode") from None
    if size_bytes > MAX_KEY_BYTES:
        raise _unusable(key, f"it is longer than {MAX_KEY_BYTES} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise _unusable(key, "it holds a control character")
    for part in key.split("/"):
        if part in {"", ".", ".."}:
            raise _unusable(key, f"a part of it is {part!r}")
        if len(part.encode()) > MAX_NAME_BYTES:
            raise _unusable(key, f"a part of it is longer than {MAX_NAME_BYTES} bytes")
    return key


def folder_of(prefix: str) -> str:
    """The part of a prefix before its last "/": stores list whole folders. "" is the top."""
    return prefix.rpartition("/")[0]


def _unusable(key: str, reason: str) -> ConfigError:
    return ConfigError(f"cannot store under the name {key!r}: {reason}; choose another name")
