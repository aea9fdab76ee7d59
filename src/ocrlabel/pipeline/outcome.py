"""Outcomes and attempts made from what happened: values in, values out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ocrlabel.errors import ImageError
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Document,
    Outcome,
)
from ocrlabel.pipeline.leases.scheduler import Row
from ocrlabel.pipeline.runtime import Runtime


@dataclass(slots=True)
class ImageState:
    """What is known so far of one image that is being read.

    pages: the most that a request can be billed for. probing: the next one is the one probe of an
    outage. counted: failures that are held against the image. refusal: the last one, where it may
    be of all images. active_s: time spent on it, waits for the rate and for an outage apart.
    rest_s: how long to wait before it is sent again.
    """

    row: Row
    key: str
    sha256: str
    document: Document
    pages: int
    probing: bool = False
    number: int = 1
    attempts: tuple[Attempt, ...] = ()
    counted: int = 0
    active_s: float = 0.0
    rest_s: float = 0.0
    refusal: ImageError | None = None

    def add(self, attempt: Attempt) -> None:
        """Take in an attempt that settled nothing; the next one gets the next number."""
        self.attempts = (*self.attempts, attempt)
        self.number = attempt.number + 1


def image_key(sha256: str, engine: str, options: Mapping[str, str]) -> str:
    """What two rows must share to share one answer: bytes, engine and options."""
    parts = json.dumps([sha256, engine, sorted(options.items())], separators=(",", ":"))
    return hashlib.sha256(parts.encode()).hexdigest()


def copy(row: Row, outcome: Outcome) -> Outcome:
    """The outcome of another row with the same image key."""
    return replace(outcome, ordinal=row.ref.ordinal, id=row.ref.id, attempts=(), copied=True)


@dataclass(slots=True)
class InFlightRequest:
    """A request that begins now. pages: the most that it can be billed for."""

    runtime: Runtime
    number: int
    lane: str
    pages: int
    sent_at_s: float = 0.0
    began_s: float = 0.0

    def __post_init__(self) -> None:
        self.sent_at_s, self.began_s = self.runtime.wall(), self.runtime.clock()

    def failed(self, result: AttemptResult, error: ImageError) -> Attempt:
        """The attempt, ended now by this error."""
        said, billed = error.message, error.billed_pages
        return self.ended(result, status=error.status, message=said, billed_pages=billed)

    def ended(
        self,
        result: AttemptResult,
        *,
        status: int | None = None,
        message: str = "",
        billed_pages: int | None = None,
    ) -> Attempt:
        """The attempt, ended now. billed_pages: None where the engine said nothing of it."""
        return Attempt(
            number=self.number,
            lane=self.lane,
            sent_at_s=self.sent_at_s,
            latency_s=self.runtime.clock() - self.began_s,
            result=result,
            status=status,
            message=message,
            billed_pages=billed_pages,
            worker=self.runtime.me.worker,
            pages=self.pages,
        )
