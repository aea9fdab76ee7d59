"""One correction laid onto one page: what a person changed is theirs, the rest stays the engine's.

A word that comes back as it went out keeps its confidence, its class and, where the format had
rounded them, its corners. Whether a word went out as do-not-care follows from the rule of the
export, so words below its confidence cut do not come back as a person's decision.
"""

from __future__ import annotations

from dataclasses import replace

from ocrlabel.dataset.tables.rows import IGNORE, WORD_CLASS, LabelRow
from ocrlabel.export.base import Options
from ocrlabel.export.geometry import is_region, quad
from ocrlabel.export.icdar2015 import DO_NOT_CARE, one_line
from ocrlabel.export.imports.base import Correction
from ocrlabel.export.words import is_ignored
from ocrlabel.labels import Polygon, Word

_SAME_PX = 0.51  # ICDAR rounds corners to whole pixels


def lay_on(row: LabelRow, correction: Correction, rule: Options) -> LabelRow:
    """Return the corrected page, or `row` itself where nothing was changed or reviewed."""
    words, classes = _with_classes(row)
    sent = [n for n, word in enumerate(words) if is_region(word.polygon)]
    kept: list[int] = []
    result: list[tuple[Word, str]] = []
    left = list(sent)
    for word, label in zip(correction.words, correction.classes, strict=True):
        found = _find(word.polygon, left, words)
        if found is None:
            result.append((word, label or WORD_CLASS))
            continue
        left.remove(found)
        before, old_label = words[found], classes[found]
        if _is_same(word, label, before, old_label, rule):
            kept.append(found)
            result.append((before, old_label))
        else:
            result.append(_changed(word, label, before, old_label))
    if kept == sent and len(result) == len(kept):
        return replace(row, source=correction.source) if correction.reviewed else row
    return replace(
        row,
        words=tuple(word for word, _ in result),
        classes=tuple(label for _, label in result),
        source=correction.source,
    )


def _with_classes(row: LabelRow) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    missing = ("",) * (len(row.words) - len(row.classes))
    return row.words, tuple(label or WORD_CLASS for label in (*row.classes, *missing))


def _find(polygon: Polygon, left: list[int], words: tuple[Word, ...]) -> int | None:
    """Return the first word left with this polygon; nearly always the very next one."""
    return next((n for n in left if _is_at(polygon, words[n].polygon)), None)


def _is_at(a: Polygon, b: Polygon) -> bool:
    if len(a) != len(b):
        b = quad(b)  # a format with four corners only
    return len(a) == len(b) and all(
        abs(p[0] - q[0]) <= _SAME_PX and abs(p[1] - q[1]) <= _SAME_PX
        for p, q in zip(a, b, strict=True)
    )


def _is_same(word: Word, label: str, before: Word, old_label: str, rule: Options) -> bool:
    sent_ignored = is_ignored(before, old_label, rule)
    if label == IGNORE:
        # a text that reads like the mark for do-not-care went out as one
        sent_ignored = sent_ignored or before.text in {DO_NOT_CARE, "*"}
        return sent_ignored and word.text in {"", before.text}
    if sent_ignored:
        return False
    return word.text in {before.text, one_line(before.text)} and label in {"", old_label}


def _changed(word: Word, label: str, before: Word, old_label: str) -> tuple[Word, str]:
    """Return the word as corrected, with the table's own corners and, where not said, its class."""
    if not label:
        label = WORD_CLASS if old_label == IGNORE else old_label
    text = word.text or (before.text if label == IGNORE else "")
    # the engine's confidence says nothing about what a person wrote
    confidence = None if word.confidence == before.confidence else word.confidence
    return Word(text, before.polygon, confidence), label
