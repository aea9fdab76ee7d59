"""Which words of a labels table to trust, and what becomes of the others.

A word is doubtful when its confidence is below the cut (or unknown, where a cut is asked for), or
when the other table does not say the same at the same place. Doubtful words are **marked as
do-not-care by default, not removed**: their ink is still in the image, and a detector that is
trained on an image with unlabelled words learns that text is background. Exports write marked
words as do-not-care where the format knows that. Removing is right for recognition sets, or when
the images are cut into words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ocrlabel.dataset.tables.rows import IGNORE, WORD_CLASS, LabelRow
from ocrlabel.quality.agreement import agree_page
from ocrlabel.quality.pages import TruthPage, is_ignored

UNCERTAIN = "uncertain"
"""The class that doubtful words have in the review queue."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of a word. min_confidence None asks nothing; agreed asks for a partner."""

    min_confidence: float | None = None
    agreed: bool = False


def doubts(
    row: LabelRow, other: TruthPage | None, rule: Rule, normalise: Callable[[str], str]
) -> dict[int, float]:
    """Doubtful words by their place in the row, each with how doubtful it is, 0..1.

    A doubtful word's doubt is what it lacks of certainty: 1 - confidence (1 where unknown), or
    1 - likeness to its partner (1 without one), whichever is more. Words that are do-not-care
    already are left alone. other None, where agreement is asked for: nobody agrees.
    """
    found: dict[int, float] = {}
    agreed = _likeness(row, other, normalise) if rule.agreed else {}
    for at, word in enumerate(row.words):
        if is_ignored(row, at):
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


def marked(row: LabelRow, doubtful: Sequence[int] | dict[int, float], kind: str) -> LabelRow:
    """The row with these words' class set."""
    if not doubtful:
        return row
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    return replace(
        row, classes=tuple(kind if at in doubtful else own for at, own in enumerate(classes))
    )


def ignored(row: LabelRow, doubtful: dict[int, float]) -> LabelRow:
    """The row with the doubtful words as do-not-care."""
    return marked(row, doubtful, IGNORE)


def dropped(row: LabelRow, doubtful: dict[int, float]) -> LabelRow:
    """The row without the doubtful words. A page may be left without any."""
    if not doubtful:
        return row
    classes = row.classes or (WORD_CLASS,) * len(row.words)
    kept = [at for at in range(len(row.words)) if at not in doubtful]
    return replace(
        row,
        words=tuple(row.words[at] for at in kept),
        classes=tuple(classes[at] for at in kept),
    )


def _likeness(
    row: LabelRow, other: TruthPage | None, normalise: Callable[[str], str]
) -> dict[int, float]:
    if other is None:
        return {}
    told = agree_page(row, other, normalise).words
    # equal texts, not nearly equal ones: a likeness of 1 is only reached by them
    return {word.at: word.likeness for word in told}
