"""How the process of a command ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, os, sys
from ocrlabel.cli.exit_codes import end_process_with
from ocrlabel.errors import ConfigError

class Held:
    def __del__(self):
        os.write(2, b"the interpreter was taken down")

held = Held()
atexit.register(lambda: os.write(2, b"[at exit]"))

def command():
    print("said without a flush", end="")
    {body}

end_process_with(command)
"""


def ended(body: str, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(3)", 3),
        ("raise ConfigError('no such table')", 2),
        ("raise KeyboardInterrupt", 75),
        ("os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.getcwd()", 2),
        ("sys.exit('a sentence')", 1),
    ],
)
def test_the_status_is_the_commands_and_all_that_was_printed_arrives(body, status, tmp_path):
    code, out, err = ended(body, tmp_path)
    assert (code, out) == (status, "said without a flush")
    assert "[at exit]" in err


def test_the_interpreter_is_not_taken_down_under_the_stores_threads():
    assert "taken down" not in ended("pass")[2]


def test_an_error_is_a_sentence():
    assert "ConfigError: no such table" in ended("raise ConfigError('no such table')")[2]
    assert "a sentence" in ended("sys.exit('a sentence')")[2]


def test_an_unexpected_error_keeps_its_traceback():
    code, _, err = ended("1 / 0")
    assert code == 1
    assert "ZeroDivisionError" in err


# the import machinery cleans up in such callbacks: an exception out of one is swallowed
SIGTERM_IN_A_CALLBACK = """import signal, weakref
    class Module: pass
    module = Module()
    seen = weakref.ref(module, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del module
    sys.exit(0)"""


def test_sigterm_ends_the_process_even_where_exceptions_are_swallowed():
    code, _, err = ended(SIGTERM_IN_A_CALLBACK)
    assert code == 75
    assert "stopped by SIGTERM; run the same command again to go on" in err
