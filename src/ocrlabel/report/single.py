"""One document on a page of its own: what was read, every request for it, and the raw answer."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from ocrlabel.dataset.labels_table import FailureRow, LabelRow
from ocrlabel.export.formats import ImageFinder
from ocrlabel.labels import Attempt, readable
from ocrlabel.report.facts import engine_name, moment, visible
from ocrlabel.report.pages import Sampled, failure_view, group_failures, page_view, word_classes
from ocrlabel.report.write import Report, Table, need_jinja, write_page

RAW_LENGTH = 200_000
_ALIKE = 0.5
_COLUMNS = (
    "attempt",
    "sent at (UTC)",
    "took",
    "result",
    "status",
    "billed",
    "key",
    "worker",
    "message",
)


@dataclass(frozen=True, slots=True)
class DocumentDetails:
    """Everything that is known of one id: its pages or its failure, and what its run kept.

    pages: with their row numbers in the table, from 0. raw: b"" where there is none.
    """

    id: str
    pages: Sequence[tuple[int, LabelRow]] = ()
    failure: FailureRow | None = None
    attempts: Sequence[Attempt] = ()
    raw: bytes = b""


def write_document(
    document: DocumentDetails, output: Path, *, images: ImageFinder | None = None
) -> None:
    """Write the page of one document. Without images the texts stand in their boxes."""
    need_jinja()
    sampled = [Sampled(number, row) for number, row in document.pages]
    groups = group_failures([document.failure] if document.failure else [])
    room = len(sampled) * 2_000_000 + 2_000_000
    write_page(report_on(document), output, sampled, groups, images=images, budget_bytes=room)


def report_on(document: DocumentDetails) -> Report:
    """The page as values."""
    views = [page_view(Sampled(number, row)) for number, row in document.pages]
    failures = [failure_view(document.failure)] if document.failure else []
    engines = {engine_name(row.engine, row.model_version) for _, row in document.pages}
    raw, raw_note = _shown_raw(document.raw)
    return Report(
        title=visible(readable(document.id), 200),
        subtitle=tuple(visible(engine, 200) for engine in sorted(filter(None, engines))),
        pages=[*views, *failures],
        pages_title="Failed" if failures else "What was read",
        sample=f"{len(views)} pages" if len(views) > 1 else "",
        failure_classes=tuple(view["failure"] for view in failures),
        word_classes=tuple(word_classes(views)),
        tables=(_attempts(document.attempts),) if document.attempts else (),
        raw=raw,
        raw_note=raw_note,
    )


def near_ids(wanted: str, ids: Iterable[str], most: int = 5) -> list[str]:
    """The ids most like the one that is not there, the likeliest first."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)

    def likeness(one: str) -> float:
        matcher.set_seq1(one)
        return (wanted in one) + matcher.quick_ratio()

    best = heapq.nlargest(most, dict.fromkeys(ids), key=likeness)
    return [one for one in best if likeness(one) >= _ALIKE]


def _attempts(attempts: Sequence[Attempt]) -> Table:
    return Table(
        "Requests",
        _COLUMNS,
        tuple(
            (
                f"{one.number}",
                moment(one.sent_at_s),
                f"{one.latency_s:.2f} s",
                one.result.value,
                "" if one.status is None else f"{one.status}",
                "" if one.billed_pages is None else f"{one.billed_pages}",
                visible(one.lane, 60),
                visible(one.worker, 60),
                visible(one.message),
            )
            for one in attempts
        ),
    )


def _shown_raw(raw: bytes) -> tuple[str, str]:
    """The answer indented where it is JSON, and how much of it is shown."""
    if not raw:
        return "", ""
    text = raw.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):  # not JSON: a page of HTML is shown as it is
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    lines = text[:RAW_LENGTH].split("\n")
    shown = "\n".join(visible(line, RAW_LENGTH) for line in lines)
    note = f"{len(raw):,} bytes, as the engine sent them"
    if len(text) > RAW_LENGTH:
        note += f"; the first {RAW_LENGTH:,} characters"
    return shown, note
