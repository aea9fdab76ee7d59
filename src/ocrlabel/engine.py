"""The door for engines: what an engine is, what it is given, what it answers and may raise.

An engine is any object with the members of `Engine`; one that inherits from it may leave out those
that have a default. It is used by `ocrlabel.label(engine=MyEngine())`, or, from a package of its
own, by its name:

    [project.entry-points."ocrlabel.engines"]
    mine = "my_package:MyEngine"

    ocrlabel run receipts/ --engine mine --engine-option language=ko

docs/engines.md builds one, and `ocrlabel.testing` holds the contract that its tests can run. The
methods of `Engine` and the fields of Document, Lane, Answer, Page and Word keep their names and
their order for as long as `VERSION` is 1. This module needs neither pyarrow nor an HTTP client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ocrlabel.errors import (
    BadAnswer,
    ConfigError,
    EngineUnusable,
    ImageError,
    KeyRefused,
    Rejected,
    Throttled,
    Unavailable,
    Unreadable,
)
from ocrlabel.labels import Document, FailureClass, Page, Point, Polygon, Word

if TYPE_CHECKING:
    from builtins import property as member
else:  # one that inherits may also set it as an attribute of its own
    from functools import cached_property as member

__all__ = [
    "VERSION",
    "Answer",
    "BadAnswer",
    "ConfigError",
    "Document",
    "Engine",
    "FailureClass",
    "ImageError",
    "KeyRefused",
    "Lane",
    "NeverSent",
    "Page",
    "Point",
    "Polygon",
    "Rejected",
    "Throttled",
    "Unavailable",
    "Unreadable",
    "Word",
    "http_refusal",
]

VERSION: Final = 1
"""Of this contract."""


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
    """An OCR engine. It never sends again by itself: retries, rate and budget are the run's."""

    @member
    def name(self) -> str:
        """The engine's name on the command line and in the labels table."""
        ...

    @member
    def options(self) -> Mapping[str, str]:
        """What changes its answers, its version too; part of the plan and of every image's key.

        No secrets: it is stored. By default there are none.
        """
        return {}

    @member
    def price_per_page_usd(self) -> float:
        """US dollars; 0 for engines that cost nothing: only those with a price have a budget."""
        ...

    @member
    def max_pages(self) -> int:
        """The most pages that one request can be billed for; 1 by default."""
        return 1

    @member
    def lanes(self) -> tuple[Lane, ...]:
        """The ways in, at least one."""
        ...

    @member
    def parallel(self) -> int | None:
        """How many images it can read at once; None, by default, where only the rate limits it."""
        return None

    @member
    def request_timeout_s(self) -> float:
        """After this long a request that was sent can no longer be answered."""
        ...

    async def start(self) -> None:
        """Get ready (load models, open connections). Raises ConfigError when it cannot."""
        return

    async def prepare(self, data: bytes) -> Document:  # noqa: ARG002 -- this one is never called
        """Look at an image and make it fit; raises Unreadable. Nothing is sent.

        By default a process of ocrlabel's own does it: an upright JPEG or PNG stays as it is, any
        other image becomes one; PDFs, and TIFFs of several pages, are Unreadable.
        """
        raise RuntimeError("the run does it")

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
        return


def http_refusal(
    status: int, message: str = "", retry_after: str | None = None
) -> ImageError | KeyRefused:
    """The error of a service that says by its HTTP status alone what is wrong.

    401 and 403 are the key's, 429 is the rate's, 400, 413, 415 and 422 are this image's, or all
    images' where none was ever read; whatever else may pass.
    """
    said = f"HTTP {status} {' '.join(message.split())[:200]}".strip()
    wait_s = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if status in {401, 403}:
        return KeyRefused(said, status=status)
    if status in {400, 413, 415, 422}:
        return Rejected(said, status=status, ends=EngineUnusable)
    kind = Throttled if status == 429 else Unavailable
    return kind(said, status=status, retry_after_s=wait_s)
