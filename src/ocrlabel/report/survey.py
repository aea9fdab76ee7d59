"""One pass over a labels table: everything that the report counts, in memory that stays small.

Per page 24 bytes are kept (words, size, time), per paid document one number more.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from math import isfinite

from ocrlabel.dataset.tables.rows import LabelRow

CONFIDENCE_BINS = 20
UNSURE = 0.8
"""Below this a word counts as uncertain in the notice about Korean."""

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


@dataclass(slots=True)
class Survey:
    """What was counted. confidences: words by bins of 0.05. engines: pages by (engine, model).

    paid: (Unix s, pages billed) of each answer, once where several rows share it.
    """

    pages: int = 0
    documents: int = 0
    words: int = 0
    pages_without_words: int = 0
    words_without_confidence: int = 0
    confidence_sum: float = 0.0
    confidences: list[int] = field(default_factory=lambda: [0] * CONFIDENCE_BINS)
    words_per_page: array[int] = field(default_factory=lambda: array("L"))
    long_sides_px: array[int] = field(default_factory=lambda: array("Q"))
    times_s: array[float] = field(default_factory=lambda: array("d"))
    paid: list[tuple[float, int]] = field(default_factory=list)
    engines: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    han_words: int = 0
    unsure_han_words: int = 0
    hangul_names: int = 0
    _answers: set[int] = field(default_factory=set)

    @property
    def mean_confidence(self) -> float | None:
        """Over all words that have one."""
        known = self.words - self.words_without_confidence
        return self.confidence_sum / known if known else None

    def add(self, row: LabelRow) -> None:
        """Take in one page."""
        self.pages += 1
        self.documents += row.page == 1
        self.words += len(row.words)
        self.pages_without_words += not row.words
        self.words_per_page.append(len(row.words))
        self.long_sides_px.append(max(row.width_px, row.height_px, 0))
        self.engines[row.engine, row.model_version] += 1
        self.sources[row.source] += 1
        self.classes.update(row.classes)
        if row.labelled_at is not None:
            self.times_s.append(row.labelled_at.timestamp())
            self._add_paid(row, self.times_s[-1])
        self._add_confidences(row)
        self.hangul_names += bool(_HANGUL.search(row.image_path) or _HANGUL.search(row.input_row))

    def _add_confidences(self, row: LabelRow) -> None:
        for word in row.words:
            sure = word.confidence
            if sure is None or not isfinite(sure):
                self.words_without_confidence += 1
                continue
            self.confidence_sum += sure
            place = int(sure * CONFIDENCE_BINS)
            self.confidences[min(max(place, 0), CONFIDENCE_BINS - 1)] += 1
        for word in row.words:
            if _HAN.search(word.text):
                self.han_words += 1
                self.unsure_han_words += word.confidence is not None and word.confidence < UNSURE

    def _add_paid(self, row: LabelRow, at_s: float) -> None:
        if row.page != 1 or not row.billed_pages:
            return
        answer = hash((row.image_sha256 or row.id, row.engine, row.model_version))
        if answer not in self._answers:
            self._answers.add(answer)
            self.paid.append((at_s, row.billed_pages))


def page_confidence(row: LabelRow) -> float | None:
    """The engine's figure for the page, else the mean of its words', else None."""
    if row.page_confidence is not None and isfinite(row.page_confidence):
        return row.page_confidence
    known = [w.confidence for w in row.words if w.confidence is not None and isfinite(w.confidence)]
    return sum(known) / len(known) if known else None
