"""What a report page says, as values: made by the pure part, drawn by the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrlabel.report.charts import Chart
from ocrlabel.report.facts import Fact


@dataclass(frozen=True, slots=True)
class State:
    """How a run ended. kind: "good" or "bad"."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One failed row, ready to be shown."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class FailureLine:
    """One class of failures. share: 0..100. beyond: how many failed where not all are shown."""

    name: str
    count: str
    share: float
    retryable: str
    examples: tuple[FailureExample, ...]
    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole page but for its pictures. pages: JSON values for the viewer, () for none."""

    title: str
    subtitle: tuple[str, ...] = ()
    state: State | None = None
    notices: tuple[str, ...] = ()
    tiles: tuple[Fact, ...] = ()
    charts: tuple[Chart, ...] = ()
    failures: tuple[FailureLine, ...] = ()
    pages: Sequence[Mapping[str, Any]] = ()
    pages_title: str = "Pages"
    sample: str = ""
    failure_classes: tuple[str, ...] = ()
    word_classes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    raw: str = ""
    raw_says: str = ""
    settings: tuple[Fact, ...] = ()
