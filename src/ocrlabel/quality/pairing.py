"""Which page of the truth (or of another table) a row of a labels table is about.

Told by the image's sha256 where both sides have it, else by the id, else by the path: one path
has to end like the other, whole names at a time (`receipts/a.png` and `data/receipts/a.png`; a
truth without extension fits any), and if only the file name is common it has to be unique. Page
numbers have to be equal. What found no partner is counted, with the first few named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.quality.pages import TruthPage, TruthWord, name_of
from ocrlabel.quality.store import PageStore

_NAMED = 5


@dataclass(slots=True)
class Unpaired:
    """What had no partner, by reason, with the first few of each by name."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one."""
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(name)

    def to_json(self) -> dict[str, object]:
        """Reason to count and examples."""
        return {
            reason: {"count": count, "examples": self.examples[reason]}
            for reason, count in sorted(self.counts.items())
        }


NO_TRUTH = "rows without truth"
AMBIGUOUS = "rows that fit several pages of the other file"
TAKEN = "rows whose truth another row had already"
OTHER_SHAPE = "rows whose page has another shape than the truth's"
NO_ROW = "pages of the other file without a row"


def pair(
    rows: Iterable[LabelRow], truth: PageStore, unpaired: Unpaired
) -> Iterator[tuple[LabelRow, TruthPage]]:
    """Rows with their truth, in the rows' order, the truth in the rows' pixels.

    `unpaired` is complete when the iterator is at its end.
    """
    for row in rows:
        page = partner(row, truth, unpaired)
        if page is not None:
            yield row, page
    for name in truth.left():
        unpaired.add(NO_ROW, str(name))


def partner(row: LabelRow, truth: PageStore, unpaired: Unpaired) -> TruthPage | None:
    """The truth of one row; None, and counted in `unpaired`, where it has none."""
    name = name_of(row)
    found = truth.find(name)
    reason = NO_TRUTH if not found else AMBIGUOUS
    if len(found) == 1:
        page = in_pixels_of(row, truth.page(found[0]))
        reason = TAKEN if page is not None else OTHER_SHAPE
        if truth.take(found[0]) and page is not None:
            return page
    unpaired.add(reason, str(name))
    return None


def in_pixels_of(row: LabelRow, page: TruthPage) -> TruthPage | None:
    """The truth scaled to the row's page (a PDF may have been drawn at another size).

    As it is where a size is unknown; None where the shapes differ by more than 2 % and 2 px,
    which means that one of the two was turned or cut.
    """
    if not (row.width_px and row.height_px and page.width_px and page.height_px):
        return page
    if (row.width_px, row.height_px) == (page.width_px, page.height_px):
        return page
    x, y = row.width_px / page.width_px, row.height_px / page.height_px
    if abs(x - y) > 0.02 * max(x, y) and abs(page.height_px * x - row.height_px) > 2:
        return None
    words = tuple(
        TruthWord(word.text, tuple((px * x, py * y) for px, py in word.polygon), word.ignore)
        for word in page.words
    )
    return replace(page, width_px=row.width_px, height_px=row.height_px, words=words)
