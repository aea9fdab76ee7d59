"""Outcomes and attempts made from what happened: values in, values out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ocrlabel.engines.base import Answer
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Document,
    Failed,
    FailureClass,
    ImageRef,
    Labelled,
    Outcome,
    Page,
)
from ocrlabel.pipeline.budget.account import pages_at_risk, pages_charged
from ocrlabel.pipeline.budget.attempts import ForeignAsk
from ocrlabel.pipeline.runtime import World

RUNS_UNTIL_QUARANTINE = 3


@dataclass(frozen=True, slots=True)
class Row:
    """An input row to be read. failed_before: how many runs in a row have failed on it."""

    ref: ImageRef
    batch: int
    failed_before: int = 0


@dataclass(slots=True)
class Story:
    """What is known so far of one image that is being read.

    counted: failures that are held against the image. active_s: time spent on it, waits for the
    rate and for an outage apart. rest_s: how long to wait before it is sent again.
    """

    row: Row
    key: str
    sha256: str
    document: Document
    number: int = 1
    attempts: tuple[Attempt, ...] = ()
    counted: int = 0
    active_s: float = 0.0
    rest_s: float = 0.0

    def add(self, attempt: Attempt) -> None:
        """Take in an attempt that settled nothing; the next one gets the next number."""
        self.attempts = (*self.attempts, attempt)
        self.number = attempt.number + 1


def image_key(sha256: str, engine: str, options: Mapping[str, str]) -> str:
    """What two rows must share to share one answer: bytes, engine and options."""
    told = json.dumps([sha256, engine, sorted(options.items())], separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()


def cost_pages(attempts: tuple[Attempt, ...]) -> int:
    """Pages that count as spent for these attempts."""
    return sum(pages_charged(one) + pages_at_risk(one) for one in attempts)


def labelled(
    story: Story, attempt: Attempt, answer: Answer, *, engine: str, at_s: float
) -> Labelled:
    """The label that an answer makes."""
    return Labelled(
        ordinal=story.row.ref.ordinal,
        id=story.row.ref.id,
        key=story.key,
        sha256=story.sha256,
        pages=answer.pages,
        engine=engine,
        model_version=answer.model_version,
        at_s=at_s,
        attempts=(*story.attempts, attempt),
        latency_s=attempt.latency_s,
        billed_pages=answer.billed_pages,
        raw=answer.raw,
    )


def failed(
    row: Row,
    failure: FailureClass,
    message: str,
    *,
    engine: str,
    at_s: float,
    retryable: bool = False,
) -> Failed:
    """The failure of a row that was not sent; the third one in a row is a quarantine."""
    runs = row.failed_before + 1
    if runs >= RUNS_UNTIL_QUARANTINE:
        message = f"failed in {runs} runs in a row, the last time: {message}"
        failure, retryable = FailureClass.QUARANTINED, False
    return Failed(
        ordinal=row.ref.ordinal,
        id=row.ref.id,
        failure=failure,
        message=message,
        at_s=at_s,
        engine=engine,
        retryable=retryable,
    )


def failed_when_sent(plain: Failed, story: Story, attempt: Attempt) -> Failed:
    """The same failure, with what was tried."""
    return replace(plain, key=story.key, sha256=story.sha256, attempts=(*story.attempts, attempt))


def reused(
    row: Row,
    key: str,
    sha256: str,
    found: tuple[str, tuple[Page, ...]],
    *,
    engine: str,
    at_s: float,
) -> Labelled:
    """A label taken from an earlier table: nothing was asked, nothing billed."""
    model_version, pages = found
    return Labelled(
        ordinal=row.ref.ordinal,
        id=row.ref.id,
        key=key,
        sha256=sha256,
        pages=pages,
        engine=engine,
        model_version=model_version,
        at_s=at_s,
    )


def copy(row: Row, outcome: Outcome) -> Outcome:
    """The outcome of another row with the same image key."""
    return replace(outcome, ordinal=row.ref.ordinal, id=row.ref.id, attempts=(), copied=True)


def never_answered(ask: ForeignAsk) -> Attempt:
    """The attempt of an ask whose worker ended before an answer was saved."""
    return Attempt(
        number=ask.number,
        lane="",
        sent_at_s=ask.created_at_s,
        latency_s=0.0,
        result=AttemptResult.UNKNOWN,
        message="its worker ended before an answer was saved",
        worker=ask.owner.worker,
        pages=ask.pages,
    )


@dataclass(slots=True)
class Sent:
    """A request that begins now. pages: the most that it can be billed for."""

    world: World
    number: int
    lane: str
    pages: int
    sent_at_s: float = 0.0
    began_s: float = 0.0

    def __post_init__(self) -> None:
        self.sent_at_s, self.began_s = self.world.wall(), self.world.clock()

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
            latency_s=self.world.clock() - self.began_s,
            result=result,
            status=status,
            message=message,
            billed_pages=billed_pages,
            worker=self.world.me.worker,
            pages=self.pages,
        )
