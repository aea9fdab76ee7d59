"""Running other programs (docker, podman, gh) with no shell between."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ocrlabel.errors import ConfigError, OcrLabelError

Run: TypeAlias = Callable[[Sequence[str], str | None], str]
"""argv and the text for its standard input -> what it printed."""


class CommandFailed(OcrLabelError):
    """A program that was started did not succeed."""


def run(argv: Sequence[str], stdin: str | None = None) -> str:
    """Run it and return its output. Raises CommandFailed with the end of what it said."""
    try:
        done = subprocess.run(  # noqa: S603 -- argv is ours, and no shell reads it
            list(argv), input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{argv[0]} is not installed here") from error
    if done.returncode:
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise CommandFailed(f"{' '.join(argv[:3])} failed ({done.returncode}):\n  {said}")
    return done.stdout
