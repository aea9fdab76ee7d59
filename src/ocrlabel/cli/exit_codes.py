"""How the process of a command ends: with a sentence and a status, never a traceback, and in time.

The statuses are those of the errors (`ocrlabel.errors`); 75 after Ctrl-C, SIGTERM and SIGHUP. Who
reads the output may go away meanwhile: that changes nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

from ocrlabel.errors import ConfigError, OcrLabelError
from ocrlabel.wording import wrapped

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")
_INTERRUPTED = 130
_GOES_ON = "run the same command again to go on"


def end_process_with(command: Callable[[], object]) -> NoReturn:
    """Run a command as all that this process does, and end the process.

    The interpreter is not taken down: a thread of the object store's library (obstore 0.12) that
    is just letting go of its last answer then aborts the process, and a run that is done ends with
    134 instead of 0. Measured without this: 14 of 60 processes that had written to a bucket.
    """
    status: object = 0
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
    # until a run has its own handler: a container stopped while it starts must exit with 75 as well
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: it stays ignored
        signal.signal(signal.SIGHUP, _terminated)
    try:
        exit_with_a_sentence(command)
    except SystemExit as ended:
        status = ended.code
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()  # noqa: SLF001 -- what Python itself does here, and offers no other way to
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # at once: the import machinery swallows an exception, and then keeps its lock, so that the
    # process neither ends nor goes on
    del frame
    _end_now(f"stopped by {signal.Signals(number).name}; {_GOES_ON}\n")


def end_within(seconds: float) -> None:
    """End the process then, whatever it still waits for: the last resort after a signal."""
    last_words = f"ended {seconds:.0f} s after the signal: something did not end; {_GOES_ON}\n"
    timer = threading.Timer(seconds, _end_now, [last_words])
    timer.daemon = True
    timer.start()


def _end_now(last_words: str) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or its reader is stuck
        if select.select([], [2], [], 0)[1]:
            os.write(2, last_words.encode())
    os._exit(75)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """asyncio.run that waits for no thread in the end: a call into a dead mount never returns.

    In a thread of its own where this one runs a loop already, as a notebook's does.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_here(work)
    thread = ThreadPoolExecutor(1, thread_name_prefix="ocrlabel")
    ended = thread.submit(_run_here, work)
    thread.shutdown(wait=False)  # a notebook's Ctrl-C stops the wait, not the run
    return ended.result()


def _run_here(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        try:
            return runner.run(work)
        finally:
            runner.get_loop().set_default_executor(ThreadPoolExecutor(1))


def lasting(stream: TextIO | None) -> TextIO:
    """The stream; but once its reader is gone, what is written to it goes nowhere, silently."""
    if stream is None:  # it was closed when the process began
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        raw = _Lasting(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # of a notebook, or a test
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=bool(stream.line_buffering),
    )


class _Lasting(io.FileIO):
    """A file that takes whatever is written to it."""

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            if (written := super().write(data)) is not None:
                return written
        return memoryview(data).nbytes


def exit_with_a_sentence(command: Callable[[], object]) -> None:
    """Run a command; print what stopped it on standard error and exit with its status."""
    try:
        try:
            command()
        except FileNotFoundError as error:
            try:
                Path.cwd()
            except FileNotFoundError:
                raise ConfigError(
                    "the folder that you are in was deleted\n"
                    "  change to another one (cd), and start again"
                ) from error
            raise
    except OcrLabelError as error:
        words = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]
        print(for_screen("\n".join(words), sys.stderr), file=sys.stderr)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, SystemExit) as ended:
        # the command line library's own status for Ctrl-C
        if isinstance(ended, SystemExit) and ended.code != _INTERRUPTED:
            raise
        print(f"stopped by Ctrl-C; {_GOES_ON}", file=sys.stderr)
        sys.exit(75)


def for_screen(text: str, stream: TextIO) -> str:
    """The text as it fits on the terminal that the stream is; as it is where it is none."""
    with contextlib.suppress(OSError, ValueError):  # no terminal, or its size is not known
        if columns := os.get_terminal_size(stream.fileno()).columns:
            return wrapped(text, columns)
    return text
