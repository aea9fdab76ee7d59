"""What the input is, in one line: its rows, and what lies beside them and is left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ocrlabel.wording import counted

if TYPE_CHECKING:
    from ocrlabel.dataset.inputs.sources import Dataset

_KINDS_SHOWN = 5


def input_line(dataset: Dataset) -> str:
    """The line: images/: 12 rows; 3 other files skipped: 2 .txt, 1 hidden."""
    line = f"{dataset.describe()}: {counted(dataset.rows, 'row')}"
    skipped = Counter(dataset.skipped)
    if not skipped:
        return line
    kinds = sorted(skipped.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{count:,} {kind}" for kind, count in kinds[:_KINDS_SHOWN]]
    if rest := sum(count for _, count in kinds[_KINDS_SHOWN:]):
        shown.append(f"{rest:,} more")
    others = counted(skipped.total(), "other file")
    return f"{line}; {others} skipped: {', '.join(shown)}"
