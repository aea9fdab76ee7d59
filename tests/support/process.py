"""The `ocrlabel` command as a real process: started, signalled, killed, and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import Ran

_LONGEST_S = 120.0


@dataclass(frozen=True)
class Machine:
    """A working directory, and the environment that commands get there."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, *args: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command; its output is kept in pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "ocrlabel", *args],
            cwd=self.home,
            env=self._environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, **variables: str) -> Ran:
        """Run a command to its end."""
        return ended(self.start(*args, **variables))

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251 -- the tests' own shell
        plain = {"LANG": "C.UTF-8", "OCRLABEL_LOG": "lines", "OCRLABEL_REPORT": "false"}
        return inherited | plain | dict(self.variables) | variables


@contextlib.contextmanager
def quiet(machine: Machine, *args: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command whose output goes to files, so that nobody needs to read it; killed at the end."""
    with (machine.home / "out.txt").open("w") as out, (machine.home / "err.txt").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "ocrlabel", *args],
            cwd=machine.home,
            env=machine._environment(variables),
            stdout=out,
            stderr=err,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def ended(process: subprocess.Popen[str], *, within_s: float = _LONGEST_S) -> Ran:
    """Wait for the end of a command."""
    try:
        out, err = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"not over within {within_s:g} s\n{out}\n{err}") from None
    return Ran(process.returncode, out, err)


def signalled(process: subprocess.Popen[str], number: signal.Signals) -> Ran:
    """Send a signal and wait for the end."""
    process.send_signal(number)
    return ended(process)


def until(true: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, "it did not come to that"
        pause(0.01)


def pause(seconds: float) -> None:
    """Let real time pass: real processes live in it."""
    time.sleep(seconds)  # noqa: TID251 -- that is the point
