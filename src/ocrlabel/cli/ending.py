"""How a command ends: an error of ours is a sentence and an exit status, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ocrlabel.errors import OcrLabelError


def exit_with_a_sentence(command: Callable[[], object]) -> None:
    """Run a command; print what stopped it on standard error and exit with its status."""
    try:
        command()
    except OcrLabelError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; run the same command again to go on", file=sys.stderr)
        sys.exit(75)
