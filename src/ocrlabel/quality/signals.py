"""Which sign tells right labels from wrong ones: confidence, agreement, or both together.

Measured against truth, on the same words: those of the first table that lie outside do-not-care.
For line-level truth there are no words to judge, so only word-level truth is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.quality import calibration
from ocrlabel.quality.agreement import Agreed, agree_page
from ocrlabel.quality.evaluate import SHARES, count
from ocrlabel.quality.truth import Level, TruthPage, cared, is_ignored, name_of

SCORES: dict[str, Callable[[Agreed], float]] = {
    "confidence": lambda word: word.word.confidence or 0.0,
    "agreement": lambda word: word.likeness,
    "both": lambda word: (word.likeness + (word.word.confidence or 0.0)) / 2,
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign: its curve, and its mean precision over all shares kept."""

    name: str
    curve: tuple[calibration.CurvePoint, ...]
    area: float
    interval: calibration.Interval


@dataclass(frozen=True, slots=True)
class Signals:
    """All signs on the same words. gains: how much each has over confidence, with its interval.

    There is no interval of a gain that the documents are too few, or too much alike, to tell.
    """

    words: int
    documents: int
    signals: tuple[Signal, ...]
    gains: dict[str, tuple[float, calibration.Interval | None]]


def signals(
    triples: Iterable[tuple[LabelRow, TruthPage, TruthPage]],
    *,
    normalise: Callable[[str], str],
    seed: int = calibration.DEFAULT_SEED,
) -> Signals | None:
    """From (row, the other table's page, the truth); None where no word could be judged."""
    curves = {name: calibration.Curve(seed) for name in SCORES}
    for row, other, truth in triples:
        if truth.level is not Level.WORD:
            continue
        agreed = {word.at: word for word in agree_page(row, other, normalise).words}
        places = [at for at in range(len(row.words)) if not is_ignored(row, at)]
        judged = [
            (agreed[places[verdict.at]], verdict.right)
            for verdict in count(truth, cared(row), normalise)[1]
            if verdict.word and verdict.right is not None and places[verdict.at] in agreed
        ]
        right = [is_right for _, is_right in judged]
        for name, score in SCORES.items():
            curves[name].add(name_of(row).document, [score(word) for word, _ in judged], right)
    words = curves["confidence"].words
    if not words:
        return None
    documents = curves["confidence"].documents
    areas = {name: curve.areas() for name, curve in curves.items()}
    return Signals(
        words=words,
        documents=documents,
        signals=tuple(
            Signal(
                name,
                tuple(curve.points(SHARES)),
                float(areas[name][0]),
                calibration.of_share(float(areas[name][0]), areas[name][1:], documents),
            )
            for name, curve in curves.items()
        ),
        gains={
            name: (float(gain[0]), calibration.of_difference(gain[1:], documents))
            for name, gain in ((n, areas[n] - areas["confidence"]) for n in SCORES)
            if name != "confidence"
        },
    )
