"""One page held against its truth: counts that add up over pages.

For line-level truth the read words are joined into lines first (`lines`). Text figures are of
matched pairs whose truth has a text; a read word matched to a box without one is neither right
nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from ocrlabel.labels import Word
from ocrlabel.quality.cleval import Cleval, cleval
from ocrlabel.quality.lines import lines
from ocrlabel.quality.match import match
from ocrlabel.quality.pages import Level, TruthPage
from ocrlabel.quality.scores import Score
from ocrlabel.quality.textual import compare


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over pages. `*_with_text`: those that the text figures are of."""

    pages: int = 0
    truth: int = 0
    read: int = 0
    matched: int = 0
    truth_with_text: int = 0
    read_with_text: int = 0
    matched_with_text: int = 0
    right: int = 0
    edits: int = 0
    truth_characters: int = 0
    likeness: float = 0.0
    characters: Cleval = field(default_factory=Cleval)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    @property
    def detection(self) -> Score:
        """Boxes only: recall, precision and their harmonic mean."""
        return Score.of(self.matched, self.truth, self.read)

    @property
    def end_to_end(self) -> Score:
        """Box and text: recall is the word accuracy, precision the share of right labels."""
        return Score.of(self.right, self.truth_with_text, self.read_with_text)

    @property
    def cer(self) -> float | None:
        """Character error rate over matched pairs; None where no pair has a text."""
        return self.edits / self.truth_characters if self.truth_characters else None

    @property
    def ned(self) -> float | None:
        """Mean 1 - normalised edit distance over matched pairs; None where there are none."""
        return self.likeness / self.matched_with_text if self.matched_with_text else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one read word (or line): right, wrong, or not to be told.

    at: its place among the words that were given; for line-level truth, among the lines.
    """

    at: int
    word: Word
    right: bool | None


def count(
    truth: TruthPage, words: Sequence[Word], normalise: Callable[[str], str]
) -> tuple[Counts, tuple[Verdict, ...]]:
    """Hold one page against its truth; a verdict for each read word outside do-not-care."""
    read = lines(words) if truth.level is Level.LINE else tuple(words)
    found = match(
        [word.polygon for word in truth.words],
        [word.ignore for word in truth.words],
        [word.polygon for word in read],
    )
    there = [normalise(word.text) for word in truth.words]
    got = [normalise(word.text) for word in read]
    has_text = [bool(word.text) for word in truth.words]
    verdicts = dict.fromkeys(found.cared_read, False)
    pairs = []
    for i, j, _ in found.pairs:
        if not has_text[i]:
            del verdicts[j]
            continue
        pair = compare(there[i], got[j])
        verdicts[j] = pair.same
        pairs.append(pair)
    counts = Counts(
        pages=1,
        truth=len(found.cared_truth),
        read=len(found.cared_read),
        matched=len(found.pairs),
        truth_with_text=sum(has_text[i] for i in found.cared_truth),
        read_with_text=len(verdicts),
        matched_with_text=len(pairs),
        right=sum(verdicts.values()),
        edits=sum(pair.edits for pair in pairs),
        truth_characters=sum(pair.truth_characters for pair in pairs),
        likeness=sum(pair.likeness for pair in pairs),
        characters=_characters(truth, there, read, got),
    )
    told = tuple(Verdict(j, read[j], verdicts.get(j)) for j in found.cared_read)
    return counts, told


def _characters(
    truth: TruthPage, there: Sequence[str], read: Sequence[Word], got: Sequence[str]
) -> Cleval:
    """CLEval of the page; boxes without a text have no characters to count: do-not-care."""
    return cleval(
        [
            (text, word.polygon, word.ignore or not text)
            for word, text in zip(truth.words, there, strict=True)
            if len(word.polygon) >= 4
        ],
        [
            (text, word.polygon)
            for word, text in zip(read, got, strict=True)
            if len(word.polygon) >= 4
        ],
    )
