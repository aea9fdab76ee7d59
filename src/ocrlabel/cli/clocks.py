"""The real clock, randomness and process of this machine: made here, handed in everywhere."""

from __future__ import annotations

import os
import random
import re
import secrets
import socket
import time
from pathlib import Path

from ocrlabel.pipeline.runtime import Owner


def boot_s() -> float:
    """Seconds that also pass while a laptop sleeps, unlike CLOCK_MONOTONIC."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def wall_s() -> float:
    """Unix seconds."""
    return time.time()


def token() -> str:
    """128 random bits as hex."""
    return secrets.token_hex(16)


def uniform(low: float, high: float) -> float:
    """A random number between the two."""
    return random.uniform(low, high)


def this_worker(note: str = "") -> Owner:
    """This process as a worker: a readable name, and what tells that it has died."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", socket.gethostname())[:40] or "host"
    worker = f"{name}-{os.getpid()}-{secrets.token_hex(3)}"
    return Owner(f"{worker}{note}", _host(), os.getpid(), _started(os.getpid()))


def alive(pid: int, started: str) -> bool:
    """Whether the process that began at that moment still runs on this host."""
    return _started(pid) == started


def _host() -> str:
    """This boot of this machine, and this namespace of process ids; "" where it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # a zombie has ended, it was only not waited for: fields are state, ppid, ..., starttime
    return "" if fields[0] == "Z" else fields[19]
