"""The command: `ocrlabel`, and `python -m ocrlabel`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run it. Ctrl-C while its modules are loaded just ends it: nothing has begun."""
    by_python = signal.getsignal(signal.SIGINT)
    if by_python is signal.default_int_handler:  # ignored in a shell's background: it stays so
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ocrlabel.cli.main import main as command  # noqa: PLC0415 - this is what takes a moment

    signal.signal(signal.SIGINT, by_python)
    command()


if __name__ == "__main__":
    main()
