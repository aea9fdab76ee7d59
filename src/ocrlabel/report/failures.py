"""One pass over a failures table: how many of each class, and a few of each to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ocrlabel.dataset.tables.rows import FailureRow
from ocrlabel.labels import FailureClass

SHOWN_OF_A_CLASS = 10
_CLASSES = 40

# Decoding an image that killed its reader, or that no reader could open, is not tried again here.
_MAY_BE_OPENED = frozenset(
    {
        FailureClass.REJECTED,
        FailureClass.INCOMPLETE,
        FailureClass.BAD_ANSWER,
        FailureClass.UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one class: all are counted, the first few are kept."""

    name: str
    count: int
    retryable: int
    examples: tuple[FailureRow, ...]

    @property
    def may_be_opened(self) -> bool:
        """The image itself is sound: it may be shown."""
        return self.name in _MAY_BE_OPENED


def group_failures(rows: Iterable[FailureRow]) -> list[FailureGroup]:
    """The classes, the most frequent first; a table with absurdly many is cut."""
    counts: Counter[str] = Counter()
    retryable: Counter[str] = Counter()
    examples: dict[str, list[FailureRow]] = {}
    for row in rows:
        name = row.failure_class
        if name not in counts and len(counts) >= _CLASSES:
            name = "other"
        counts[name] += 1
        retryable[name] += row.retryable
        kept = examples.setdefault(name, [])
        if len(kept) < SHOWN_OF_A_CLASS:
            kept.append(row)
    return [
        FailureGroup(name, count, retryable[name], tuple(examples[name]))
        for name, count in counts.most_common()
    ]
