"""Which files of a folder are images: by ending, or by content where the ending says nothing."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ocrlabel.dataset.pixels.sniff import HEAD_BYTES, sniff

# What calls itself an image is a row, also when it cannot be read: then it fails, and is seen.
IMAGE_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        "avif", "bmp", "dib", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg",
        "jxl", "pdf", "png", "psd", "svg", "tif", "tiff", "webp",
    )
)  # fmt: skip
# Companions that no image is called by; not opened, there may be one beside every image.
_OTHER_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        "csv", "db", "html", "ini", "json", "jsonl", "lock", "log", "md", "ndjson", "parquet",
        "py", "toml", "tsv", "txt", "xml", "yaml", "yml", "zip",
    )
)  # fmt: skip
_WILD = frozenset("*?[")
HIDDEN, NO_ENDING = "hidden", "without an ending"


def images_below(folder: Path, skipped: Counter[str]) -> Iterator[tuple[str, int]]:
    """(path relative to the folder, size in bytes) of every image, hidden ones left out.

    skipped: counts what is left out, by ending; a hidden folder counts once, with all in it.
    Links to folders are not followed; links to files are rows, and are judged when they are read.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.name.startswith("."):
                    skipped[HIDDEN] += 1
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif is_row(folder / name):
                    yield name, size_of(folder / name)
                else:
                    skipped[_ending(entry.name)] += 1


def images_matching(
    pattern: str, cwd: Path, skipped: Counter[str]
) -> tuple[Path, list[tuple[str, int]]]:
    """The folder before the first wildcard, and the images that match, relative to it."""
    parts = PurePosixPath(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if is_wild(part))
    folder = Path(os.path.realpath(cwd / PurePosixPath(*parts[:fixed])))
    names = glob.glob(  # noqa: PTH207 -- Path.glob shows hidden files, and follows links to folders
        str(PurePosixPath(*parts[fixed:])), root_dir=folder, recursive=True
    )
    found = []
    for name in set(names):
        path = folder / name
        if is_row(path):
            found.append((name, size_of(path)))
        elif not path.is_dir():
            skipped[_ending(name)] += 1
    return folder, found


def is_wild(pattern: str) -> bool:
    """Whether it is a pattern and not a name."""
    return not _WILD.isdisjoint(pattern)


def is_row(path: Path) -> bool:
    """Whether a file is taken as an image; nothing but a regular file is ever opened."""
    ending = path.suffix.lower()
    if ending in _OTHER_ENDINGS or path.is_dir():
        return False
    if ending in IMAGE_ENDINGS:
        return path.is_file() or path.is_symlink()
    return path.is_file() and _looks_like_an_image(path)


def size_of(path: Path) -> int:
    """Its size in bytes."""
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing
        return 0


def is_image_key(key: str, skipped: Counter[str]) -> bool:
    """The same for objects, by their names alone: looking into each would cost a request."""
    path = PurePosixPath(key)
    if any(part.startswith(".") for part in path.parts):
        skipped[HIDDEN] += 1
    elif path.suffix and path.suffix.lower() not in IMAGE_ENDINGS:
        skipped[_ending(key)] += 1
    else:
        return True
    return False


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or NO_ENDING


def _looks_like_an_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False
