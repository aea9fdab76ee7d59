"""Which words of a labels table to trust, and what becomes of the others.

A word is doubtful when its p_correct, where the table has it, or else its confidence is below the
threshold (or unknown, where there is one), or when the other table does not say the same at the
same place. What a person reviewed, or wrote, is never doubtful. Doubtful words are **marked as
do-not-care by default, not removed**: their ink is still in the image, and a detector that is
trained on an image with unlabelled words learns that text is background. Exports write marked words
as do-not-care where the format knows that. Removing is right for recognition sets, or when the
images are cut into words.

`filter_table` writes the table with only the trusted words as labels, and a second table of the
pages to review (`ReviewQueue`), the most doubtful first.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ocrlabel.dataset.labels_table import (
    CONFIDENCE,
    FROM_ENGINE,
    IGNORE,
    P_CORRECT,
    UNCERTAIN,
    WORD_CLASS,
    LabelRow,
    read_labels,
    score_of,
    write_changed,
)
from ocrlabel.errors import ConfigError
from ocrlabel.quality.agreement import agree_page
from ocrlabel.quality.pairing import PageStore, Unpaired, partner
from ocrlabel.quality.probability import Calibration
from ocrlabel.quality.truth import TruthPage, as_truth, cared, is_ignored, name_of

_LAST = 1e9  # more than a page can teach


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of a word. min_confidence None asks nothing; agreed asks for a partner.

    min_confidence: of p_correct, where a row has it.
    """

    min_confidence: float | None = None
    agreed: bool = False


def doubts(
    row: LabelRow, other: TruthPage | None, rule: Rule, normalise: Callable[[str], str]
) -> dict[int, float]:
    """Doubtful words by their place in the row, each with how doubtful it is, 0..1.

    A doubtful word's doubt is what it lacks of certainty: 1 - confidence (1 where unknown), or
    1 - likeness to its partner (1 without one), whichever is more. Words that are do-not-care
    already are left alone, and so are those that a person vouches for: all of a reviewed page, and
    what was written into a corrected one. other None, where agreement is asked for: nobody agrees.
    """
    found: dict[int, float] = {}
    row = row.scored
    if row.reviewed_at is not None:
        return found
    # equal texts, not nearly equal ones: a likeness of 1 is only reached by them
    compared = agree_page(row, other, normalise).words if rule.agreed and other else ()
    agreed = {word.at: word.likeness for word in compared}
    for at, word in enumerate(row.words):
        if is_ignored(row, at) or (word.confidence is None and row.source != FROM_ENGINE):
            continue
        reasons = []
        confidence = word.confidence if word.confidence is not None else 0.0
        if rule.min_confidence is not None and (
            word.confidence is None or confidence < rule.min_confidence
        ):
            reasons.append(1 - confidence)
        if rule.agreed and agreed.get(at, 0.0) < 1:
            reasons.append(1 - agreed.get(at, 0.0))
        if reasons:
            found[at] = max(reasons)
    return found


def marked(row: LabelRow, doubtful: Mapping[int, float], kind: str) -> LabelRow:
    """The row with the class of its doubtful words set: IGNORE makes them do-not-care."""
    if not doubtful:
        return row
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    return replace(
        row, classes=tuple(kind if at in doubtful else own for at, own in enumerate(classes))
    )


def dropped(row: LabelRow, doubtful: Mapping[int, float]) -> LabelRow:
    """The row without the doubtful words. A page may be left without any."""
    if not doubtful:
        return row
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    kept = [at for at in range(len(row.words)) if at not in doubtful]
    return replace(
        row,
        words=tuple(row.words[at] for at in kept),
        classes=tuple(classes[at] for at in kept),
        p_correct=tuple(row.p_correct[at] for at in kept if row.p_correct),
    )


@dataclass(slots=True)
class Filtered:
    """What a filter did. doubtful: words marked or dropped, of `words` that were labels.

    score: what the threshold was of, "confidence" or "p_correct". unknown: words without p_correct,
    as nobody reviewed their engine or script. other_models: pages with p_correct, by the model that
    read them, where the calibration was learned of others. of_reviewed: pages of documents that it
    was learned of, None without one. at_least: the precision that the threshold is sure to reach.
    """

    output: str = ""
    score: str = CONFIDENCE
    threshold: float | None = None
    pages: int = 0
    words: int = 0
    doubtful: int = 0
    unknown: int = 0
    pages_to_review: int = 0
    unpaired: Unpaired = field(default_factory=Unpaired)
    other_models: Counter[str] = field(default_factory=Counter)
    of_reviewed: int | None = None
    at_least: float | None = None

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
    calibration: Calibration | None = None,
) -> Filtered:
    """Copy `source` to `target`, page by page; the files appear only when all went well.

    calibration lays p_correct on. other is the table whose agreement the rule asks for. review gets
    the pages with doubtful words, these as class "uncertain", the most doubtful page first. Raises
    DatasetError.
    """
    score = P_CORRECT if calibration is not None else score_of(source)
    done = Filtered(str(target), score, rule.min_confidence)
    done.of_reviewed = None if calibration is None else 0
    reviewed = frozenset(calibration.documents if calibration is not None else ())
    engines: set[str] = set()
    with ExitStack() as open_files:
        queue = open_files.enter_context(closing(ReviewQueue()))
        others: PageStore | None = None
        if other is not None:
            pages = (as_truth(row) for row in read_labels(other))
            others = open_files.enter_context(PageStore(pages, str(other)))

        def change(row: LabelRow) -> LabelRow:
            page = partner(row, others, done.unpaired) if others is not None else None
            row = calibration.lay_on(row) if calibration is not None else row
            doubtful = doubts(row, page, rule, normalise)
            done.unknown += row.p_correct.count(None)
            if row.p_correct.count(None) < len(row.p_correct) and calibration is not None:
                stale = calibration.models and row.model_version not in calibration.models
                done.other_models += Counter([row.model_version] if stale else ())
            if done.of_reviewed is not None:
                done.of_reviewed += name_of(row).document in reviewed
                engines.add(row.engine)
            done.pages += 1
            done.words += len(cared(row))
            done.doubtful += len(doubtful)
            if doubtful and review is not None:
                done.pages_to_review += 1
                queue.add(marked(row, doubtful, UNCERTAIN), sum(doubtful.values()))
            return dropped(row, doubtful) if drop else marked(row, doubtful, IGNORE)

        def changed() -> Iterator[LabelRow]:
            yield from map(change, read_labels(source))
            learned = {one.engine for one in calibration.functions} if calibration else engines
            if engines and not engines & learned:
                theirs, of = (", ".join(sorted(names)) for names in (engines, learned))
                raise ConfigError(
                    f"{source} is of {theirs}, and the calibration was learned of {of}: no word has"
                    " a probability by it\n  review pages of this engine, and calibrate again"
                )

        write_changed(target, changed(), source=source, changed_by="ocrlabel filter")
        if review is not None:
            by = "ocrlabel filter --review"
            write_changed(review, queue.rows(), source=source, changed_by=by)
    return done


def write_lessons(
    source: Path, target: Path, precision: float, calibration: Calibration | None
) -> int:
    """Write the pages whose review would teach most of what is right; returns how many.

    A page teaches the variance of its words, p(1 - p) each: most where nobody knows. Pages of
    documents that were reviewed are left out, further pages of one document come after all others,
    as documents count. Words below the precision are of class "uncertain".
    """
    reviewed = frozenset(calibration.documents if calibration is not None else ())
    seen: set[str] = set()
    rows = read_labels(source)
    pages = 0
    with closing(ReviewQueue()) as queue:
        for row in map(calibration.lay_on, rows) if calibration is not None else rows:
            document = name_of(row).document
            if row.reviewed_at is not None or document in reviewed or not row.words:
                continue
            sure = [0.5 if one.confidence is None else one.confidence for one in row.scored.words]
            teaches = sum(p * (1 - p) for p in sure)
            doubtful = doubts(row, None, Rule(precision), str)
            queue.add(marked(row, doubtful, UNCERTAIN), teaches - _LAST * (document in seen))
            seen.add(document)
            pages += 1
        write_changed(target, queue.rows(), source=source, changed_by="ocrlabel filter --precision")
    return pages


class ReviewQueue:
    """Pages with doubtful words, the most doubtful first.

    The doubt of a page is the sum over its doubtful words, so about the number of wrong words
    that a reviewer finds there; equal pages stay in the order of the table.
    """

    def __init__(self) -> None:
        # a temporary file of SQLite's: memory does not grow with the pages, and nothing is left
        self._sql = sqlite3.connect("")
        self._sql.executescript("pragma journal_mode=off; pragma synchronous=off;")
        self._sql.execute("create table rows (at integer primary key, doubt real, content blob)")

    def close(self) -> None:
        """Give the temporary file back."""
        self._sql.close()

    def add(self, row: LabelRow, doubt: float) -> None:
        """Set a row aside."""
        self._sql.execute(
            "insert into rows (doubt, content) values (?, ?)", (doubt, pickle.dumps(row))
        )

    def rows(self) -> Iterator[LabelRow]:
        """All rows, the most doubtful first."""
        # sorted by SQLite, which spills to disk what does not fit
        rows = self._sql.execute("select content from rows order by doubt desc, at")
        for (content,) in rows:
            row: LabelRow = pickle.loads(content)  # noqa: S301 -- our own file, written just now
            yield row
