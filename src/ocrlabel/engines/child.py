"""One child process: started, asked, and gone without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Any

from ocrlabel.engines.frames import receive_async, send_async
from ocrlabel.errors import ConfigError, ImageError

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from ocrlabel.engines.child_main import main; main()"
)
"""Not multiprocessing: its spawn runs the user's own script again, which a notebook and a script
without a main guard do not survive."""

_KEPT_STDERR_BYTES = 1_000_000
_LAST_WORDS_BYTES = 2_000
_GOODBYE_S = 5.0


class ChildDied(Exception):
    """The process ended in the middle of a task. status is negative for a signal."""

    def __init__(self, status: int, last_words: str) -> None:
        super().__init__(f"{exit_reason(status)}{': ' if last_words else ''}{last_words}")
        self.status = status
        self.last_words = last_words


class ChildHung(Exception):
    """The process did not answer in time, and was killed."""


def exit_reason(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"killed by {_signal_name(-status)}"
    return f"ended with status {status}"


class Child:
    """A process that does one task after another.

    factory is sent to the process (so it must be importable there: a top-level function or class,
    or a functools.partial of one), called once, and gives the function that does the tasks. The
    function's attribute `about` (any value) becomes this child's `about`. An ImageError that it
    raises comes back as a value; any other exception is the end of the process.
    fit: it is waiting for a task.
    """

    def __init__(self) -> None:
        self.about: object = None
        self.fit = False
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._stderr: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; None when there is none."""
        return self._process.pid if self._process else None

    @property
    def is_alive(self) -> bool:
        """It has not ended yet."""
        return self._process is not None and self._process.poll() is None

    async def start(
        self, factory: Callable[[], Callable[[Any], Any]], memory_limit_bytes: int | None
    ) -> None:
        """Start and wait until the factory is through. Raises ConfigError or ChildDied."""
        self._spawn()
        self.about = await self._exchange(pickle.dumps((factory, memory_limit_bytes)))
        if isinstance(self.about, ConfigError):
            raise self.about

    async def ask(self, task: object, timeout_s: float) -> Any:
        """The task's result. Raises ImageError, ChildDied or ChildHung.

        After ChildDied, ChildHung or a cancellation the process is not fit any more: kill it.
        """
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._exchange(pickle.dumps(task, protocol=5))
        except TimeoutError:
            raise ChildHung from None
        self._forget_chatter()
        if isinstance(result, ImageError):
            raise result
        return result

    async def close(self) -> None:
        """Let the process end by itself, kill it if it does not, and reap it."""
        if self._channel is not None:
            self._channel.close()
        await self._reap()
        self._let_go()

    async def kill(self) -> None:
        """End the process now, with whatever it started itself, and reap it."""
        if self._process is not None:
            _kill_group(self._process)
        # only now the socket: whoever still waits for an answer on it must see its end first
        await self._reap()
        self._let_go()

    def _spawn(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.PIPE,  # the lifeline: it ends when this process does
                stdout=self._stderr,
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C on the terminal does not reach it
            )

    async def _exchange(self, payload: bytes) -> Any:
        if self._channel is None or self._process is None:
            raise ChildDied(0, "it was never started")
        self.fit = False
        try:
            await send_async(self._channel, payload)
            answer = await receive_async(self._channel)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            await self._reap()
            raise ChildDied(self._process.returncode, self._last_words()) from None
        self.fit = True
        return pickle.loads(answer)  # noqa: S301 -- from our own child, over a private socket

    async def _reap(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, _GOODBYE_S)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            await asyncio.to_thread(process.wait)
        if process.stdin is not None:  # after the end: it must not end it with a status of its own
            process.stdin.close()

    def _let_go(self) -> None:
        self.fit = False
        if self._channel is not None:
            self._channel.close()
        if self._stderr is not None:
            self._stderr.close()

    def _last_words(self) -> str:
        """The last line that the process printed: of a traceback, the exception."""
        if self._stderr is None or self._stderr.closed:
            return ""
        size_bytes = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size_bytes - _LAST_WORDS_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    def _forget_chatter(self) -> None:
        # The file position is shared with the child, so going back to 0 moves its writes too.
        if self._stderr is not None and self._stderr.seek(0, 2) > _KEPT_STDERR_BYTES:
            self._stderr.seek(0)
            self._stderr.truncate()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # else its number may already be somebody else's
        os.killpg(process.pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
