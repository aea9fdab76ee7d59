"""A table's words as an export sees them: which have a place, and which are do-not-care."""

from __future__ import annotations

from collections import Counter

from ocrlabel.dataset.tables.rows import IGNORE, WORD_CLASS, LabelRow
from ocrlabel.export.base import ExportWord, Options
from ocrlabel.export.geometry import is_region
from ocrlabel.labels import Word

NO_AREA = "no_area"
"""Why a word is in no export: its polygon has fewer than three points, or they are on one line."""


def export_words(row: LabelRow, options: Options, left_out: Counter[str]) -> tuple[ExportWord, ...]:
    """Return the page's words in the table's order; those without an area are counted, not kept."""
    words: list[ExportWord] = []
    for number, word in enumerate(row.words):
        label = (row.classes[number] if number < len(row.classes) else "") or WORD_CLASS
        if not is_region(word.polygon):
            left_out[NO_AREA] += 1
            continue
        ignored = is_ignored(word, label, options)
        words.append(ExportWord(word.text, word.polygon, word.confidence, label, ignored))
    return tuple(words)


def is_ignored(word: Word, label: str, options: Options) -> bool:
    """Whether a word is do-not-care: by its class, for want of a text, or by its confidence."""
    if label == IGNORE or (not word.text.strip() and not options.keep_untranscribed):
        return True
    if options.ignore_below is None or word.confidence is None:
        return False
    return word.confidence < options.ignore_below
