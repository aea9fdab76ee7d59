"""What the run needs of an engine: bytes in, pages out, and nothing else about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocrlabel.labels import Document, Page


@dataclass(frozen=True, slots=True)
class Lane:
    """One key's way into a service, with the rate that it is allowed; None means no limit.

    pages_follow: pages_per_minute is only what usually goes with requests_per_s; where more
    requests/s are found to pass, so will more pages.
    """

    name: str
    requests_per_s: float | None = None
    pages_per_minute: float | None = None
    pages_follow: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine read. raw is its own answer, b"" where there is none to keep."""

    pages: tuple[Page, ...]
    model_version: str
    billed_pages: int = 0
    raw: bytes = b""
    status: int | None = None


class NeverSent(asyncio.CancelledError):
    """Cancelled before the whole request was on its way: it cannot have been billed."""


class Engine(Protocol):
    """An OCR engine. Implementations: upstage, rapidocr, tesseract, scripted."""

    @property
    def name(self) -> str:
        """The engine's name on the command line and in the labels table."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """What changes its answers; part of the plan and of every image's key. No secrets."""
        ...

    @property
    def price_per_page_usd(self) -> float:
        """0 for engines that cost nothing; only engines with a price need asks and a budget."""
        ...

    @property
    def max_pages(self) -> int:
        """The most pages that one request can be billed for."""
        ...

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The ways in, at least one."""
        ...

    @property
    def parallel(self) -> int | None:
        """How many images it can read at once; None where only the rate limits it."""
        ...

    @property
    def request_timeout_s(self) -> float:
        """After this long a request that was sent can no longer be answered."""
        ...

    async def start(self) -> None:
        """Get ready (load models, open connections). Raises ConfigError when it cannot."""
        ...

    async def prepare(self, data: bytes) -> Document:
        """Look at an image and make it fit; raises Unreadable. Nothing is sent."""
        ...

    async def recognise(self, document: Document, lane: str) -> Answer:
        """Read one document.

        Raises Unreadable, Rejected, Unavailable, Throttled, BadAnswer or KeyRefused; ConfigError
        where no image at all can be read with these settings; and nothing else. Sends at most one
        request: trying again is the run's business. Cancelled, it may raise NeverSent.
        """
        ...

    def parse(self, raw: bytes, document: Document) -> Answer:
        """Make the answer again from what was kept of it. Raises BadAnswer."""
        ...

    async def close(self) -> None:
        """Give everything back; child processes are gone when it returns."""
        ...


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that we may run on, also in a container with a share of a bigger machine."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _share(cgroup) or allowed))


def _share(cgroup: Path) -> int | None:
    """Whole cores of a cgroup's CPU quota ("200000 100000": two); None where there is none."""
    try:
        quota, period = cgroup.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))
