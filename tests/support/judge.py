"""The judge of whole runs: knows the inputs, the service's own log, and what the run wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import FailureRow, LabelRow, read_failures, read_labels
from ocrlabel.fake.ledger import LoggedRequest
from tests.support.mixed import Mixed


@dataclass(frozen=True)
class Written:
    """Both tables and run.json."""

    labels: list[LabelRow]
    failures: list[FailureRow]
    told: dict[str, Any]

    @property
    def account(self) -> dict[str, Any]:
        return self.told["account"]

    @property
    def at_risk_pages(self) -> int:
        return sum(self.account["at_risk_pages"].values())

    @property
    def timeless(self) -> tuple[list[LabelRow], list[FailureRow]]:
        """Without what may differ between a cut and an uncut run: times and attempts."""
        labels = [replace(row, attempts=0, latency_s=0.0, labelled_at=None) for row in self.labels]
        failures = [replace(row, attempts=0, failed_at=None) for row in self.failures]
        return labels, failures


def written(home: Path, stem: str = "labels") -> Written:
    """What a run wrote."""
    return Written(
        list(read_labels(home / f"{stem}.parquet")),
        list(read_failures(home / f"{stem}_failures.parquet")),
        json.loads((home / f"{stem}_run.json").read_text()),
    )


def judge_rows(inputs: Mixed, found: Written) -> None:
    """Every readable file has all its pages, once and in order; every other one has failed."""
    assert [(row.id, row.page) for row in found.labels] == inputs.rows
    assert {row.id for row in found.failures} == inputs.unreadable
    assert len(found.failures) == len(inputs.unreadable)
    told = found.told
    assert told["complete"] is True
    assert told["not_reached"] == 0
    assert (told["labelled"], told["failed"]) == (len(inputs.readable), len(inputs.unreadable))
    for row in found.labels:
        assert row.image_sha256 == inputs.sha256[row.id]
        assert row.page_count == inputs.pages[row.image_sha256]


def judge_money(inputs: Mixed, entries: Sequence[LoggedRequest], found: Written) -> None:
    """What the service's log says was billed lies where the report says it does."""
    billed = sum(entry.billed for entry in entries)
    answered = sum(entry.billed for entry in entries if entry.cause == "")
    confirmed = found.account["billed_pages"]
    assert confirmed <= answered, "the report names more than was ever answered"
    assert confirmed <= billed <= confirmed + found.at_risk_pages
    assert found.account["stored_pages"] == inputs.distinct_pages
    wasted = sum(found.account["wasted_pages"].values())
    assert confirmed == found.account["stored_pages"] + wasted


def times_billed(entries: Iterable[LoggedRequest]) -> Counter[str]:
    """How often each document was billed, by sha256."""
    return Counter(entry.sha256 for entry in entries if entry.billed)
