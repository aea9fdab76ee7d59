"""Hold a stream of labelled pages against their truth.

Word-level and line-level truth never meet in one figure: each level has its own `LevelResult`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.quality.counts import Counts, Verdict, count
from ocrlabel.quality.curve import Bin, CurvePoint
from ocrlabel.quality.cut import WANTED_PRECISION, Cut, Halves
from ocrlabel.quality.pages import Level, TruthPage, cared, group_of, name_of
from ocrlabel.quality.resample import DEFAULT_SEED

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
MOST_GROUPS = 1_000
OTHER_GROUPS = "(other)"


@dataclass(frozen=True, slots=True)
class LevelResult:
    """The figures of one level.

    without_confidence: read words that have none, and so are in no confidence figure.
    calibration_error: the mean gap between what confidences claim and what they are, weighted by
    words, over the bins; None without confidences.
    """

    level: Level
    counts: Counts
    groups: dict[str, Counts]
    bins: tuple[Bin, ...]
    curve: tuple[CurvePoint, ...]
    cut: Cut
    without_confidence: int

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
    wanted: float = WANTED_PRECISION,
    seed: int = DEFAULT_SEED,
) -> list[LevelResult]:
    """Go through the pairs once; one result for each level that came, words first."""
    levels: dict[Level, _LevelSums] = {}
    for row, truth in pairs:
        if truth.level not in levels:
            levels[truth.level] = _LevelSums(Halves(seed))
        sums = levels[truth.level]
        counts, verdicts = count(truth, cared(row), normalise)
        group = None if by is None else group_of(by, row, truth)
        sums.add(name_of(row).document, counts, verdicts, group)
    return [levels[level].result(level, wanted) for level in Level if level in levels]


@dataclass(slots=True)
class _LevelSums:
    halves: Halves
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
        told = [v for v in verdicts if v.right is not None]
        scored = [(v.word.confidence, bool(v.right)) for v in told if v.word.confidence is not None]
        self.without_confidence += len(told) - len(scored)
        self.halves.add(document, [score for score, _ in scored], [right for _, right in scored])

    def result(self, level: Level, wanted: float) -> LevelResult:
        whole = self.halves.whole
        return LevelResult(
            level=level,
            counts=self.counts,
            groups=dict(sorted(self.groups.items())),
            bins=tuple(whole.bins(EDGES)),
            curve=tuple(whole.points(SHARES)),
            cut=self.halves.cut(wanted),
            without_confidence=self.without_confidence,
        )
