"""Write a labels table with only trusted words as labels, and a table of pages to review."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.dataset.tables.table import LabelsWriter, read_labels, rewrite_labels, table_info
from ocrlabel.quality.filtering import UNCERTAIN, Rule, doubts, dropped, ignored, marked
from ocrlabel.quality.pages import as_truth, cared
from ocrlabel.quality.pairing import Unpaired, partner
from ocrlabel.quality.review import ReviewQueue
from ocrlabel.quality.store import PageStore


@dataclass(slots=True)
class Filtered:
    """What a filter did. doubtful: words marked or dropped, of `words` that were labels."""

    pages: int = 0
    words: int = 0
    doubtful: int = 0
    pages_to_review: int = 0
    unpaired: Unpaired = field(default_factory=Unpaired)

    def to_json(self) -> dict[str, object]:
        """The counts as a JSON object."""
        return {**asdict(self), "unpaired": self.unpaired.to_json()}


def filter_table(
    source: Path,
    target: Path,
    rule: Rule,
    *,
    normalise: Callable[[str], str],
    other: Path | None = None,
    review: Path | None = None,
    drop: bool = False,
) -> Filtered:
    """Copy `source` to `target`, page by page; the files appear only when all went well.

    other is the table whose agreement the rule asks for. review gets the pages with doubtful
    words, these as class "uncertain", the most doubtful page first. Raises DatasetError.
    """
    done = Filtered()
    with ExitStack() as open_files:
        queue = open_files.enter_context(ReviewQueue())
        others = open_files.enter_context(_partners(other))

        def change(row: LabelRow) -> LabelRow:
            page = partner(row, others, done.unpaired) if others is not None else None
            doubtful = doubts(row, page, rule, normalise)
            done.pages += 1
            done.words += len(cared(row))
            done.doubtful += len(doubtful)
            if doubtful and review is not None:
                done.pages_to_review += 1
                queue.add(marked(row, doubtful, UNCERTAIN), sum(doubtful.values()))
            return dropped(row, doubtful) if drop else ignored(row, doubtful)

        rewrite_labels(source, target, change, changed_by="ocrlabel filter")
        if review is not None:
            info = {**table_info(source), "changed_by": "ocrlabel filter --review"}
            with LabelsWriter(review, info) as table:
                for row in queue.rows():
                    table.add(row)
    return done


@contextmanager
def _partners(other: Path | None) -> Iterator[PageStore | None]:
    if other is None:
        yield None
        return
    with PageStore((as_truth(row) for row in read_labels(other)), str(other)) as store:
        yield store
