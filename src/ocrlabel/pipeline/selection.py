"""Which rows this invocation works on: all, the first few, a seeded sample, or those that failed.

A selection is not part of the plan: what it labels is kept, and a later run does the rest.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Selection:
    """limit: rows below this ordinal. chosen: just these ordinals, sorted; None means every one.

    failed_before: by ordinal, how many runs in a row have failed on the row.
    """

    limit: int
    chosen: tuple[int, ...] | None = None
    failed_before: Mapping[int, int] = field(default_factory=dict)

    def within(self, rows: range) -> list[int]:
        """The selected ordinals of a range, in order."""
        stop = min(rows.stop, self.limit)
        if self.chosen is None:
            return list(range(rows.start, stop))
        low, high = bisect_left(self.chosen, rows.start), bisect_left(self.chosen, stop)
        return list(self.chosen[low:high])

    def count(self) -> int:
        """How many rows are selected."""
        return len(self.within(range(self.limit)))

    def everything(self, rows: int) -> bool:
        """Whether nothing is left out."""
        return self.chosen is None and self.limit >= rows


def select(rows: int, *, limit: int | None, sample: int | None, seed: int) -> Selection:
    """The selection that `--limit` and `--sample` ask for; equal seeds choose equal rows."""
    first = rows if limit is None else min(limit, rows)
    if sample is None or sample >= first:
        return Selection(first)
    chosen = random.Random(seed).sample(range(first), sample)
    return Selection(first, tuple(sorted(chosen)))
