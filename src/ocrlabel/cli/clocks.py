"""The real clock, randomness and process of this machine: made here, handed in everywhere."""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import secrets
import socket
import time
from functools import partial
from pathlib import Path

from ocrlabel.pipeline.runtime import Owner

wall_s, uniform, token = time.time, random.uniform, partial(secrets.token_hex, 16)
_MOST_HANDLES = 1 << 16
"""Where the system names no limit, or one that nobody needs."""


def boot_s() -> float:
    """Seconds that also pass while a laptop sleeps, unlike CLOCK_MONOTONIC."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def this_worker() -> Owner:
    """This process as a worker: a readable name, and what tells that it has died."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", socket.gethostname())[:40] or "host"
    worker = f"{name}-{os.getpid()}-{secrets.token_hex(3)}"
    return Owner(worker, _host(), os.getpid(), _started(os.getpid()) or "")


def alive(pid: int, started: str) -> bool:
    """False only where the process that began at that moment has certainly ended on this host.

    What cannot be read (another user's under hidepid, no handle left) is no proof of it.
    """
    try:
        if pid > 0:
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or no process at all
        return True
    there = _started(pid)
    return there is None or not started or there == started


def raise_handle_limit() -> int:
    """Allow this process as many open files as the system lets it; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if 0 <= hard < _MOST_HANDLES else _MOST_HANDLES
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _host() -> str:
    """This boot of this machine, and this namespace of process ids; "" where it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process began, "" for one that has ended; None where that cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # a zombie has ended, it was only not waited for: fields are state, ppid, ..., starttime
    return "" if fields[0] == "Z" else fields[19]
