"""Measure a stream of labelled pages against their truth.

Word-level and line-level truth never meet in one figure: each level has its own `LevelResult`. For
line-level truth the read words are joined into lines first (`match.lines`). Text figures are of
matched pairs whose truth has a text; a read word matched to a box without one is neither right nor
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ocrlabel.characters import learnable
from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.labels import Word
from ocrlabel.quality import calibration
from ocrlabel.quality.cleval import Cleval, cleval
from ocrlabel.quality.faults import (
    WORST_PAGES,
    ComparedPage,
    Confusions,
    Verdict,
    WorstPages,
)
from ocrlabel.quality.match import lines, match
from ocrlabel.quality.scores import Score, Sums
from ocrlabel.quality.text import compare
from ocrlabel.quality.truth import Level, TruthPage, cared, group_of, name_of

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
MOST_GROUPS = 1_000
OTHER_GROUPS = "(other)"
MOST_CONFUSIONS = 100


@dataclass(frozen=True, slots=True)
class Counts(Sums):
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

    @property
    def missed(self) -> int:
        """Words of the truth that were not read."""
        return self.truth - self.matched

    @property
    def invented(self) -> int:
        """Read words that the truth does not have."""
        return self.read - self.matched

    @property
    def misread(self) -> int:
        """Words in their place with another text."""
        return self.matched_with_text - self.right

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
class LevelResult:
    """The figures of one level.

    without_confidence: read words that have none, and so are in no confidence figure.
    calibration_error: the mean gap between what confidences claim and what they are, weighted by
    words, over the bins; None without confidences.
    worst: the pages with the most wrong words, of wrong_pages that have any, the worst first.
    confusions: (characters of the truth, what was read for them, how often), the most frequent of
    them first.
    """

    level: Level
    counts: Counts
    groups: dict[str, Counts]
    bins: tuple[calibration.Bin, ...]
    curve: tuple[calibration.CurvePoint, ...]
    threshold: calibration.Threshold
    without_confidence: int
    worst: tuple[ComparedPage, ...]
    wrong_pages: int
    confusions: tuple[tuple[str, str, int], ...]

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over the bins."""
        words = sum(b.words for b in self.bins)
        gaps = sum(abs(b.mean_score - b.precision) * b.words for b in self.bins)
        return gaps / words if words else None


def evaluate(
    pairs: Iterable[tuple[LabelRow, TruthPage]],
    *,
    normalise: Callable[[str], str],
    by: str | None = None,
    wanted: float = calibration.WANTED_PRECISION,
    seed: int = calibration.DEFAULT_SEED,
    worst: int = WORST_PAGES,
) -> list[LevelResult]:
    """Go through the pairs once; one result for each level that came, words first."""
    levels: dict[Level, _LevelSums] = {}
    for row, truth in pairs:
        if truth.level not in levels:
            levels[truth.level] = _LevelSums(calibration.Halves(seed), WorstPages(worst))
        sums = levels[truth.level]
        counts, verdicts = count(truth, cared(row), normalise)
        group = None if by is None else group_of(by, row, truth)
        sums.add(name_of(row).document, counts, verdicts, group)
        sums.worst.add(
            counts.missed + counts.invented + counts.misread, ComparedPage(row, truth, verdicts)
        )
        for one in verdicts if counts.misread else ():
            if one.word and one.truth and one.right is False:
                sums.confusions.add(normalise(one.truth.text), normalise(one.word.text))
    return [levels[level].result(level, wanted) for level in Level if level in levels]


@dataclass(slots=True)
class _LevelSums:
    halves: calibration.Halves
    worst: WorstPages
    confusions: Confusions = field(default_factory=Confusions)
    counts: Counts = field(default_factory=Counts)
    groups: dict[str, Counts] = field(default_factory=dict)
    without_confidence: int = 0

    def add(
        self, document: str, counts: Counts, verdicts: tuple[Verdict, ...], group: str | None
    ) -> None:
        self.counts += counts
        if group is not None:
            # a column of ids must not make this grow with the pages
            known = group in self.groups or len(self.groups) < MOST_GROUPS
            name = group if known else OTHER_GROUPS
            self.groups[name] = self.groups.get(name, Counts()) + counts
        judged = [(v.word, bool(v.right)) for v in verdicts if v.word and v.right is not None]
        scored = [(w.confidence, right) for w, right in judged if w.confidence is not None]
        self.without_confidence += len(judged) - len(scored)
        self.halves.add(document, [score for score, _ in scored], [right for _, right in scored])

    def result(self, level: Level, wanted: float) -> LevelResult:
        whole = self.halves.whole
        return LevelResult(
            level=level,
            counts=self.counts,
            groups=dict(sorted(self.groups.items())),
            bins=tuple(whole.bins(EDGES)),
            curve=tuple(whole.points(SHARES)),
            threshold=self.halves.threshold(wanted),
            without_confidence=self.without_confidence,
            worst=self.worst.pages(),
            wrong_pages=self.worst.seen,
            confusions=self.confusions.most(MOST_CONFUSIONS),
        )


def count(
    truth: TruthPage, words: Sequence[Word], normalise: Callable[[str], str]
) -> tuple[Counts, tuple[Verdict, ...]]:
    """Compare one page with its truth; a verdict for each word of both outside do-not-care."""
    read = lines(words) if truth.level is Level.LINE else tuple(words)
    found = match(
        [word.polygon for word in truth.words],
        [word.ignore for word in truth.words],
        [word.polygon for word in read],
    )
    there = [normalise(word.text) for word in truth.words]
    got = [normalise(word.text) for word in read]
    has_text = [
        bool(text or learnable(word.text)[0]) for text, word in zip(there, truth.words, strict=True)
    ]
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
    partner = {j: truth.words[i] for i, j, _ in found.pairs}
    missed = set(found.cared_truth).difference(i for i, _, _ in found.pairs)
    return counts, (
        *(Verdict(j, read[j], partner.get(j), verdicts.get(j)) for j in found.cared_read),
        *(Verdict(-1, None, truth.words[i], right=False) for i in sorted(missed)),
    )


def _characters(
    truth: TruthPage, there: Sequence[str], read: Sequence[Word], got: Sequence[str]
) -> Cleval:
    """CLEval of the page; boxes without a text have no characters to count: do-not-care."""
    true = zip(truth.words, there, strict=True)
    found = zip(read, got, strict=True)
    return cleval(
        [(text, w.polygon, w.ignore or not text) for w, text in true if len(w.polygon) >= 4],
        [(text, w.polygon) for w, text in found if len(w.polygon) >= 4],
    )
