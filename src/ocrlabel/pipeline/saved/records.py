"""Outcomes and attempts as JSON lines: what a journal object holds, and back again.

One gzip'd line per record; the first byte of time in gzip is zero, so equal records are equal
bytes and a journal object can be named by its content.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ocrlabel.errors import RunMismatch
from ocrlabel.labels import (
    Attempt,
    AttemptResult,
    Failed,
    FailureClass,
    Labelled,
    Outcome,
    Page,
    Word,
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt for an image key, written down although it was not the last one."""

    key: str
    attempt: Attempt


Record: TypeAlias = Labelled | Failed | Tried


def encode_records(records: Iterable[Record]) -> bytes:
    """Records as the bytes of one journal object."""
    lines = "\n".join(
        json.dumps(_to_json(record), ensure_ascii=False, separators=(",", ":"))
        for record in records
    )
    return gzip.compress(lines.encode("utf-8", "surrogatepass"), compresslevel=1, mtime=0)


def decode_records(data: bytes, *, where: str) -> list[Record]:
    """The records of one journal object. Raises RunMismatch: unreadable is never "nothing"."""
    try:
        if not data:
            raise EOFError("it is empty")  # noqa: TRY301 -- gzip takes nothing for an empty text
        text = gzip.decompress(data).decode("utf-8", "surrogatepass")
        # split by the newline alone: splitlines would cut at U+2028 inside a text
        return [_from_json(json.loads(line)) for line in text.split("\n") if line]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise RunMismatch(
            f"{where} cannot be read ({type(error).__name__}: {error})\n"
            "  it may hold answers that were paid for: put it right from a backup or another"
            " version, or use --fresh to start again"
        ) from error


def _to_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Tried):
        return {"t": "tried", "key": record.key, "attempt": attempt_to_json(record.attempt)}
    common: dict[str, Any] = {
        "o": record.ordinal,
        "id": record.id,
        "key": record.key,
        "sha": record.sha256,
        "engine": record.engine,
        "at": record.at_s,
        "attempts": [attempt_to_json(attempt) for attempt in record.attempts],
        "copied": record.copied,
    }
    if isinstance(record, Failed):
        return common | {
            "t": "failed",
            "failure": record.failure.value,
            "message": record.message,
            "retryable": record.retryable,
        }
    return common | {
        "t": "labelled",
        "pages": [_page_to_json(page) for page in record.pages],
        "model": record.model_version,
        "latency": record.latency_s,
        "billed": record.billed_pages,
        "raw": _raw_to_json(record.raw),
    }


def _from_json(found: dict[str, Any]) -> Record:
    kind = found["t"]
    if kind == "tried":
        return Tried(found["key"], attempt_from_json(found["attempt"]))
    attempts = tuple(attempt_from_json(one) for one in found["attempts"])
    if kind == "failed":
        return Failed(
            ordinal=found["o"],
            id=found["id"],
            key=found["key"],
            sha256=found["sha"],
            engine=found["engine"],
            at_s=found["at"],
            attempts=attempts,
            copied=found["copied"],
            failure=FailureClass(found["failure"]),
            message=found["message"],
            retryable=found["retryable"],
        )
    return Labelled(
        ordinal=found["o"],
        id=found["id"],
        key=found["key"],
        sha256=found["sha"],
        engine=found["engine"],
        at_s=found["at"],
        attempts=attempts,
        copied=found["copied"],
        pages=tuple(_page_from_json(page) for page in found["pages"]),
        model_version=found["model"],
        latency_s=found["latency"],
        billed_pages=found["billed"],
        raw=_raw_from_json(found["raw"]),
    )


def attempt_to_json(attempt: Attempt) -> list[Any]:
    """An attempt as a short list, in the order of its fields."""
    return [
        attempt.number,
        attempt.lane,
        attempt.sent_at_s,
        attempt.latency_s,
        attempt.result.value,
        attempt.status,
        attempt.message,
        attempt.billed_pages,
        attempt.worker,
        attempt.pages,
    ]


def attempt_from_json(found: list[Any]) -> Attempt:
    """The attempt in such a list."""
    number, lane, sent_at_s, latency_s, result, *rest = found
    return Attempt(number, lane, sent_at_s, latency_s, AttemptResult(result), *rest)


def _page_to_json(page: Page) -> list[Any]:
    words = [[word.text, word.confidence, word.polygon] for word in page.words]
    return [page.number, page.width_px, page.height_px, page.confidence, words]


def _page_from_json(found: list[Any]) -> Page:
    number, width_px, height_px, confidence, words = found
    return Page(
        number,
        width_px,
        height_px,
        tuple(
            Word(text, tuple((x, y) for x, y in polygon), word_confidence)
            for text, word_confidence, polygon in words
        ),
        confidence,
    )


def _raw_to_json(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def _raw_from_json(found: str | dict[str, str]) -> bytes:
    return found.encode("utf-8") if isinstance(found, str) else base64.b64decode(found["base64"])


def merge_attempts(*groups: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """All attempts of one image key, each once, in order; a known result beats an unknown one."""
    best: dict[tuple[int, str], Attempt] = {}
    for group in groups:
        for attempt in group:
            place = (attempt.number, attempt.worker)
            there = best.get(place)
            if there is None or there.result is AttemptResult.UNKNOWN:
                best[place] = attempt
    return tuple(best[place] for place in sorted(best))


def better(one: Outcome, other: Outcome) -> Outcome:
    """Which of two outcomes counts: a label, an original, the earlier attempt, then the hash.

    The choice depends on the two values alone, so that every reader chooses alike.
    """
    return min(one, other, key=_rank)


def _rank(outcome: Outcome) -> tuple[bool, bool, int, str]:
    # a copy carries no attempts: where the original is of the same row, the account needs it
    last = outcome.attempts[-1].number if outcome.attempts else 0
    shown = hashlib.sha256(outcome.raw).hexdigest() if isinstance(outcome, Labelled) else ""
    return (isinstance(outcome, Failed), outcome.copied, last, shown)
