"""The folder that an export is written to: never somebody else's, and never half of two exports.

An export does not resume: it is made again from the labels table, which costs nothing. A marker
file names what was written and whether it was finished, so that `--force` removes an earlier
export, whole or cut short, and nothing else.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ocrlabel.errors import ConfigError
from ocrlabel.export.base import Options

MARKER = ".ocrlabel-export.json"


class Target:
    """The output folder. Every path is asked for here, so that the marker knows it."""

    def __init__(self, root: Path, format_name: str, options: Options) -> None:
        self.root = root
        self._format = format_name
        self._options = options
        self._written: list[str] = []
        self._folders: set[tuple[str, ...]] = set()
        _make_room(root, force=options.force)
        self._mark(finished=False)

    def path(self, *parts: str) -> Path:
        """Return the path of a file to write; its folder is there."""
        if parts[0] not in self._written:
            self._written.append(parts[0])
            self._mark(finished=False)
        if parts[:-1] not in self._folders:
            self.root.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)
            self._folders.add(parts[:-1])
        return self.root.joinpath(*parts)

    def finish(self) -> None:
        """Say that everything is written."""
        self._mark(finished=True)

    def _mark(self, *, finished: bool) -> None:
        marker = {
            "format": self._format,
            "finished": finished,
            "written": self._written,
            "ignore_below": self._options.ignore_below,
            "keep_untranscribed": self._options.keep_untranscribed,
        }
        (self.root / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")


def rule_of(root: Path) -> Options:
    """Return by which rule the export in `root` called words do-not-care; the default if none."""
    marker = root / MARKER
    if not marker.is_file():
        return Options()
    said = json.loads(marker.read_text(encoding="utf-8"))
    return Options(ignore_below=said["ignore_below"], keep_untranscribed=said["keep_untranscribed"])


def _make_room(root: Path, *, force: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file\n  give --output a folder")
    root.mkdir(parents=True, exist_ok=True)
    marker = root / MARKER
    said = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
    ours = {MARKER, *said["written"]} if said else set()
    foreign = sorted(entry.name for entry in root.iterdir() if entry.name not in ours)
    if foreign:
        raise ConfigError(
            f"{root} is not empty: {foreign[0]!r} is not ocrlabel's\n  give --output a new folder"
        )
    if said is None or not (said["finished"] or said["written"]):
        return  # one that failed before its first file left nothing
    if force:
        _remove(root, said["written"])
        marker.unlink()
        return
    finished = said["finished"]
    raise ConfigError(
        f"{root} holds {'an' if finished else 'an unfinished'} export already\n"
        "  give --output a new folder, or replace it with --force"
    )


def _remove(root: Path, names: list[str]) -> None:
    for name in names:
        entry = root / Path(name).name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
