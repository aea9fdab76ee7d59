"""What a run tells while it goes: values, turned into bars, lines or JSON by the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ocrlabel.labels import Attempt, Outcome


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins or goes on: rows that this command is to do, and how many of them are done.

    spent_pages: of the whole run. pages_per_row: what a row may be expected to cost.
    """

    rows: int
    done: int
    failed: int
    engine: str
    price_per_page_usd: float
    spent_pages: int
    pages_per_row: float = 1.0
    max_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class CapChanged:
    """Another cap holds for the whole run."""

    max_cost_usd: float | None


@dataclass(frozen=True, slots=True)
class RowDone:
    """A row's outcome is safe in the store."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """A request ended: the attempt, and the requests/s that are now aimed at."""

    attempt: Attempt
    rate_per_s: float


@dataclass(frozen=True, slots=True)
class BatchSaved:
    """A batch's checkpoint is written."""

    batch: int
    batches: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Other workers of the run: how many are at it now, and what all others did since we began."""

    workers: int
    labelled: int = 0
    failed: int = 0
    spent_pages: int = 0


@dataclass(frozen=True, slots=True)
class AllSettled:
    """Every row that this command is to do has its outcome, whoever saw to it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person wants to know now. kind is one word for logs."""

    kind: str
    message: str


Event: TypeAlias = Started | CapChanged | RowDone | Asked | BatchSaved | Fleet | AllSettled | Notice
