"""The inside of a child process: build the worker once, then one task in, one result out.

Started by `children.py` with a socket of its own for tasks and results, so nothing that a library
prints can get between them. Standard input is the lifeline: it ends when the parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from ocrlabel.engines.children import pack
from ocrlabel.errors import ConfigError, ImageError
from ocrlabel.labels import FailureClass


def main() -> None:
    """Serve until the parent closes the socket or is gone."""
    # The parent decides when to stop: a Ctrl-C on the terminal or a SIGTERM to the whole group
    # must not take away a page that is half read.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_the_parent, daemon=True).start()
    _offer_to_the_oom_killer()
    # The end of the stream is the ordinary end. Any other exception ends the process too, with its
    # traceback on stderr: to the parent that is a death like any other.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(socket.socket(fileno=int(sys.argv[1])))


def _serve(channel: socket.socket) -> None:
    tasks = channel.makefile("rb")
    factory, memory_limit_bytes = pickle.load(tasks)  # noqa: S301 -- from our parent
    if memory_limit_bytes is not None:
        _limit_memory(memory_limit_bytes)
    try:
        work: Callable[[object], object] = factory()
    except ConfigError as error:
        channel.sendall(pack({"config": str(error)}))
        return
    channel.sendall(pack({"about": getattr(work, "about", None)}))
    while True:
        task = pickle.load(tasks)  # noqa: S301 -- from our parent
        try:
            answer = pack({"result": work(task)})
        except ImageError as error:
            answer = pack({"unreadable": [error.message, error.failure]})
        except MemoryError:
            words = "opening it needs more memory than a worker may use"
            answer = pack({"unreadable": [words, FailureClass.TOO_MANY_PIXELS]})
        del task
        channel.sendall(answer)
        del answer


def _exit_with_the_parent() -> None:
    # PR_SET_PDEATHSIG would fire when the *thread* that started us ends, and a notebook runs us
    # from short-lived threads. The end of standard input means the process, everywhere.
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)  # with a program that the engine may have started


def _offer_to_the_oom_killer() -> None:
    # If memory runs out, let it take this page rather than the run.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _limit_memory(limit_bytes: int) -> None:
    # RLIMIT_DATA counts what is written to; RLIMIT_AS would also count the large address ranges
    # that onnxruntime, PDFium and thread stacks reserve and never touch.
    import resource  # noqa: PLC0415 -- does not exist on every platform

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
