"""The probability that a word is right (`p_correct`), learned from reviewed pages.

A confidence is what an engine says of itself; how often it is right differs by engine and script.
`learn` fits a rising function from one to the other for each engine and script: isotonic
regression by pool adjacent violators (Barlow et al., "Statistical Inference under Order
Restrictions", 1972), drawn straight from block to block ("Centered isotonic regression", Oron and
Flournoy, 2017), so that words keep the order of their confidences. **Each document weighs the
same**, however many words it has: a page of 2,000 words is one page's experience.

What a cut on p_correct keeps, and how much of it is right, is measured on words whose p_correct was
learned from other documents (five folds). Words of one document are right or wrong together, so
the lower bound goes by document (`lower_bounds`), and a cut has a name only where that bound
reaches the precision that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from ocrlabel.dataset.labels_table import FROM_ENGINE, LabelRow
from ocrlabel.dataset.parquet_io import one_line, whole_file
from ocrlabel.errors import ConfigError
from ocrlabel.quality.calibration import AT_LEAST, number_of
from ocrlabel.quality.evaluate import EDGES, count
from ocrlabel.quality.text import script
from ocrlabel.quality.truth import Level, TruthPage, cared, name_of
from ocrlabel.wording import counted

LEAST_DOCUMENTS = 10
"""An engine's script in fewer has the function of all of the engine's words."""
_DIGITS = 3
_STEPS = 10**_DIGITS
_FOLDS = 5
_CERTAIN = 1.959964  # one-sided 97.5 %: the lowest of many cuts is chosen
_ADDED_RIGHT = 0.5
_MOST_DOCUMENTS = 3_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rising:
    """A rising function: straight from point to point, level before the first, after the last.

    pooled: it is that of all words of the engine, as this script is in too few documents.
    """

    engine: str
    script: str
    documents: int
    words: int
    pooled: bool
    confidence: tuple[float, ...]
    p_correct: tuple[float, ...]

    def __call__(self, confidences: Sequence[float]) -> Floats:
        """The probabilities, to so many digits as are worth something."""
        return np.round(np.interp(confidences, self.confidence, self.p_correct), _DIGITS)


@dataclass(frozen=True, slots=True)
class Words:
    """Judged words in columns: the document of each, who read it, its script, and what it is.

    model: the engine's version. spaced: several words are in it, as where an engine gives lines.
    """

    document: npt.NDArray[np.str_]
    engine: npt.NDArray[np.str_]
    model: npt.NDArray[np.str_]
    script: npt.NDArray[np.str_]
    confidence: Floats
    right: npt.NDArray[np.bool_]
    spaced: npt.NDArray[np.bool_]

    def of(self, which: npt.NDArray[np.bool_]) -> Words:
        """Some of them."""
        return Words(*(getattr(self, name)[which] for name in self.__slots__))


def isotonic(scores: Floats, right: npt.NDArray[np.bool_], weight: Floats) -> tuple[Floats, Floats]:
    """Mean score and share of right of each block, both rising; scores are not empty."""
    known, at = np.unique(scores, return_inverse=True)
    weights = np.bincount(at, weight)
    blocks: list[Floats] = []  # of each: weight, weight of the right, weighted sum of scores
    for block in np.stack([weights, np.bincount(at, weight * right), weights * known], axis=1):
        blocks.append(block)
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    mass, good, middle = np.array(blocks).T
    return middle / mass, good / mass


def fitted(words: Words) -> tuple[Rising, ...]:
    """A function for each engine and script that was judged; none for what nobody looked at."""
    found = []
    for engine in np.unique(words.engine).tolist():
        own = words.of(words.engine == engine)
        for kind in np.unique(own.script).tolist():
            part = own.of(own.script == kind)
            documents = len(np.unique(part.document))
            used = part if documents >= LEAST_DOCUMENTS else own
            _, at, of = np.unique(used.document, return_inverse=True, return_counts=True)
            points = isotonic(used.confidence, used.right, 1 / of[at])
            known = (engine, kind, documents, len(part.right), used is own)
            found.append(Rising(*known, *(tuple(one.tolist()) for one in points)))
    return tuple(found)


def laid_on(words: Words, functions: Iterable[Rising]) -> Floats:
    """p_correct of each word; NaN where its engine or script was not learned."""
    found = np.full(len(words.right), np.nan)
    for rising in functions:
        which = (words.engine == rising.engine) & (words.script == rising.script)
        found[which] = rising(words.confidence[which])
    return found


def across(words: Words, seed: int) -> Floats:
    """p_correct of each word as the documents of the other folds have it."""
    fold = np.array([number_of(name, f"{seed}:fold") % _FOLDS for name in words.document.tolist()])
    found = np.full(len(words.right), np.nan)
    for number in np.unique(fold):
        mine = fold == number
        found[mine] = laid_on(words.of(mine), fitted(words.of(~mine)))
    return found


def judged(pairs: Iterable[tuple[LabelRow, TruthPage]], normalise: Callable[[str], str]) -> Words:
    """The words of the pairs that can be judged: against words, not lines, and with a text.

    What a person wrote into a table, or saw there, is not the engine's and is left out.
    """
    found: list[tuple[str, str, str, str, float, bool, bool]] = []
    for row, truth in pairs:
        if truth.level is not Level.WORD or row.reviewed_at or row.source != FROM_ENGINE:
            continue
        for one in count(truth, cared(row), normalise)[1]:
            sure = one.word.confidence if one.word else None
            if one.word and one.right is not None and sure is not None and math.isfinite(sure):
                text, document = one.word.text, name_of(row).document
                spaced = len(text.split()) > 1
                read_by = (row.engine, row.model_version)
                found.append((document, *read_by, script(text), sure, one.right, spaced))
    columns = zip(*found, strict=True) if found else ((),) * 7
    return Words(*map(np.array, columns))


@dataclass(frozen=True, slots=True)
class Cut:
    """Keep words of at least p_correct: how many, which share of them is right, and at least is."""

    p_correct: float
    kept: int
    kept_share: float
    precision: float
    at_least: float


def lower_bounds(kept: Floats, right: Floats) -> Floats:
    """What the precision of each cut is at least, with 97.5 % certainty, by document; one-sided.

    kept, right: documents x cuts, counts of words. The t bound of a ratio of sums with the variance
    between documents, as if one more document had been reviewed: of mean size, and half of it
    wrong. A few dozen documents never show the worst that is out there, and where all of them are
    right they show no variance at all. On made documents that differ, cuts without it broke their
    word up to 17 times in 71, with it 4 in 78 at most (benchmarks/calibration_ocr_dev.py --made).
    """
    documents = np.maximum((kept > 0).sum(axis=0), 1)
    total, good = kept.sum(axis=0), right.sum(axis=0)
    more = total / documents
    share = np.divide(good, total, out=np.zeros_like(total), where=total > 0)
    added = more * share * _ADDED_RIGHT
    precision = np.divide(good + added, total + more, out=np.zeros_like(total), where=total > 0)
    squares = ((right - precision * kept) ** 2).sum(axis=0) + (added - precision * more) ** 2
    # Student's t from the normal quantile: Abramowitz and Stegun 26.7.5, its first term
    t = _CERTAIN * (1 + (_CERTAIN**2 + 1) / (4 * documents))
    error = np.sqrt((documents + 1) / documents * squares)
    reach = np.divide(t * error, total + more, out=np.ones_like(total), where=total > 0)
    bounds: Floats = np.maximum(precision - reach, 0.0)
    return bounds


def cuts_of(words: Words, scores: Floats) -> tuple[Cut, ...]:
    """Every cut that keeps other words than the one before; what has no score is not kept."""
    names, document = np.unique(words.document, return_inverse=True)
    known = ~np.isnan(scores)
    place = (document[known], np.round(scores[known] * _STEPS).astype(int))
    counts = np.zeros((2, len(names), _STEPS + 1))
    np.add.at(counts[0], place, 1)
    np.add.at(counts[1], place, words.right[known])
    kept, right = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    bounds, total, good = lower_bounds(kept, right), kept.sum(axis=0), right.sum(axis=0)
    return tuple(
        Cut(
            step / _STEPS,
            int(total[step]),
            float(total[step] / len(known)),
            float(good[step] / total[step]),
            float(bounds[step]),
        )
        for step in np.flatnonzero(counts[0].sum(axis=0)).tolist()
    )


def least_documents(precision: float) -> int:
    """The fewest on which a cut can have a name, where all that it keeps is right."""
    alike = (np.ones((number, 1)) for number in range(1, _MOST_DOCUMENTS))
    return next(
        (len(one) for one in alike if lower_bounds(one, one)[0] >= precision), _MOST_DOCUMENTS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was learned of reviewed pages, and what it is worth.

    functions: by engine and script. documents: by the names that pages of the labels table have
    too. cuts: by rising p_correct. error_before, error_after: expected calibration error of
    confidence and of p_correct. normalisation: how texts were compared. of_lines: engines most of
    whose words hold several, so that they are lines. models: the versions that read the pages; ()
    where an earlier version did not say.
    """

    written_by: Literal["ocrlabel calibrate, version 1"] = "ocrlabel calibrate, version 1"
    functions: tuple[Rising, ...]
    documents: tuple[str, ...]
    words: int
    cuts: tuple[Cut, ...]
    error_before: float
    error_after: float
    normalisation: str
    of_lines: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def lay_on(self, row: LabelRow) -> LabelRow:
        """The row with p_correct: None for a word whose engine or script was not learned."""
        rising = {one.script: one for one in self.functions if one.engine == row.engine}
        of_words = [(rising.get(script(word.text)), word.confidence) for word in row.words]
        return replace(
            row,
            p_correct=tuple(
                None if of is None or sure is None or not math.isfinite(sure) else of([sure]).item()
                for of, sure in of_words
            ),
        )

    def cut(self, precision: float) -> Cut | None:
        """The one that keeps most of those that reach the precision; None where none does."""
        reached = (one for one in self.cuts if one.at_least >= precision and one.kept >= AT_LEAST)
        return next(reached, None)

    def documents_missing(self, precision: float) -> int | None:
        """About how many more there have to be for a cut; None where more would not help.

        The distance from what is right to what is right at least shrinks with the root of their
        number.
        """
        known = len(self.documents)
        needed = [
            math.ceil(known * ((one.precision - one.at_least) / (one.precision - precision)) ** 2)
            for one in self.cuts
            if one.precision > precision and one.kept >= AT_LEAST
        ]
        least = max(least_documents(precision), known + 1)
        return max(min(needed), least) - known if needed else None


def learn(words: Words, *, normalisation: str, seed: int) -> Calibration:
    """Learn from words that were judged. Raises ConfigError where the documents are too few."""
    documents = tuple(np.unique(words.document).tolist())
    if len(documents) < LEAST_DOCUMENTS:
        raise ConfigError(
            f"{counted(len(documents), 'reviewed document')} with words to judge; it takes"
            f" {LEAST_DOCUMENTS} to learn from, and {least_documents(0.95)} before 95 % has a cut\n"
            "  which to review: ocrlabel filter LABELS --precision 0.95 writes a queue of them"
        )
    scores = across(words, seed)
    return Calibration(
        functions=fitted(words),
        documents=documents,
        words=len(words.right),
        cuts=cuts_of(words, scores),
        error_before=calibration_error(words, words.confidence),
        error_after=calibration_error(words, scores),
        normalisation=normalisation,
        models=tuple(np.unique(words.model).tolist()),
        of_lines=tuple(
            engine
            for engine in np.unique(words.engine).tolist()
            if words.spaced[words.engine == engine].mean() > 0.5
        ),
    )


def calibration_error(words: Words, scores: Floats) -> float:
    """Expected calibration error over the bins of `evaluate`, of the words that have a score."""
    known = ~np.isnan(scores)
    gaps = scores[known] - words.right[known]
    return float(abs(np.bincount(np.digitize(scores[known], EDGES[1:-1]), gaps)).sum() / len(gaps))


def read_calibration(path: Path) -> Calibration:
    """What `ocrlabel calibrate` wrote. Raises ConfigError that says what is wrong with the file."""
    try:
        return _JSON.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is no calibration that can be read: {one_line(error)}\n"
            "  make it: ocrlabel calibrate LABELS --truth REVIEWED"
        ) from error


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write it as JSON; the file appears when it is whole."""
    with whole_file(path) as file:
        file.write(_JSON.dump_json(calibration, indent=1))


_JSON = TypeAdapter(Calibration)
