"""How corrections come home: matched to pages of a labels table, and applied to them word by word.

A format's `corrections` give one `Correction` a page. `Merge` brings them onto the table:

1. `Pages` finds which page each is about, by the surest name that is known; where a name fits
   several, by the words. What fits no page, or still several, is listed as unmatched.
2. They wait in a temporary file of SQLite's, so both sides may be larger than memory.
3. `apply_correction` makes the corrected row: what a person changed is theirs, the rest stays the
   engine's. Page by page the correction wins, and its `source` says where it came from.

A word is known by its place, as it was sent: `export_words` says how, and by which rule it was
do-not-care (`rule_of`). One that comes back so keeps its confidence, its class, its text and its
corners, however the tool rounded them. One that was moved is the one that it overlaps most. A word
that was never sent stays. Every word that is altered is counted, by what was done to it.
"""

from __future__ import annotations

import json
import math
import pickle
import sqlite3
import unicodedata
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path, PurePosixPath

from ocrlabel.characters import learnable
from ocrlabel.dataset.labels_table import IGNORE, UNCERTAIN, WORD_CLASS, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportWord, export_words
from ocrlabel.export.formats import MASK, Correction, ExportOptions
from ocrlabel.export.geometry import box, is_region, scale, upright
from ocrlabel.export.icdar2015 import DO_NOT_CARE, one_line
from ocrlabel.export.import_files import words_and_classes
from ocrlabel.export.output_folder import export_root, file_name, last_part, stems
from ocrlabel.export.session import PAGES_FILE, referred
from ocrlabel.labels import Polygon, Word, readable

PageKey = tuple[str, int]
# What a name is compared with, the surest first.
_AS_EXPORTED, _PATH, _UNIQUE, _STEM = range(4)
_MOST_PARTS = 4  # of a path's end: enough to tell folders of one name apart
CORRECTED, UNCHANGED, UNTOUCHED = "corrected", "unchanged", "untouched"
TEXT, CLASS, CONFIDENCE = "with another text", "of another class", "with another confidence"
MOVED, REORDERED = "moved", "in another order"
ADDED, REMOVED = "added", "removed"
TO_IGNORED, TO_READABLE = "made do-not-care", "no longer do-not-care"
REVIEWED = f"no longer {UNCERTAIN}"
_NO_AREA = "shape without an area"
_FOREIGN = frozenset({_NO_AREA, MASK})
_SAME_PX = 0.51  # ICDAR rounds corners to whole pixels
_MOST = 0.5  # of the joint area of two boxes


class Merge:
    """A labels table and the corrections to it.

    unmatched: what fits no page, one sentence each, and words_left_out its words; ask before
    `rows`. Complete once `rows` is exhausted: counts, pages corrected, unchanged (they came back as
    they were) and untouched (no correction); words, by what was done to them; passed_over, shapes
    that are no word, by kind; emptied, pages that came back without a word, with those they had;
    reviewed, pages of which the file or --reviewed-by says that a person was done with them;
    not_taken, what people made of a page beside the correction that counts, by kind.
    """

    def __init__(
        self,
        read_rows: Callable[[], Iterator[LabelRow]],
        corrections: Iterable[Correction],
        exported: Iterable[tuple[str, str, int]],
        rule: ExportOptions,
    ) -> None:
        self._read_rows, self._rule = read_rows, rule
        self.unmatched: list[str] = []
        self.words_left_out = 0
        self.counts: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        self.passed_over: Counter[str] = Counter()
        self.not_taken: Counter[str] = Counter()
        self.emptied: list[tuple[str, int]] = []
        self.reviewed = 0
        self._waiting = sqlite3.connect("")
        self._waiting.execute(
            "CREATE TABLE waiting (id TEXT, page INT, correction BLOB, PRIMARY KEY (id, page))"
        )
        pages = Pages(read_rows(), exported)
        unclear: list[tuple[Correction, list[PageKey]]] = []
        for correction in corrections:
            self.not_taken.update(correction.not_taken)
            if not correction.is_done:
                continue
            found = pages.find(correction)
            if len(found) > 1:
                unclear.append((correction, found))
            else:
                self._take(correction, found)
        pages.close()
        for correction, found in self._clearer(unclear):
            self._take(correction, found)

    def rows(self) -> Iterator[LabelRow]:
        """Return every row of the table in its order, corrected where there is a correction."""
        for row in self._read_rows():
            correction = self._correction_of(row.id, row.page)
            if correction is None:
                self.counts[UNTOUCHED] += 1
                yield row
                continue
            changes: Counter[str] = Counter()
            merged = apply_correction(row, correction, self._rule, changes)
            self.passed_over += Counter({kind: changes.pop(kind, 0) for kind in _FOREIGN})
            self.reviewed += correction.reviewed_at is not None
            self.counts[CORRECTED if changes.keys() - {REVIEWED} else UNCHANGED] += 1
            self.words += changes
            if changes[REMOVED] and not correction.words:
                self.emptied.append((referred(row), changes[REMOVED]))
            yield merged
        self._waiting.close()

    def _correction_of(self, row_id: str, page: int) -> Correction | None:
        query = "SELECT correction FROM waiting WHERE id = ? AND page = ?"
        found = self._waiting.execute(query, (row_id, page)).fetchone()
        # our own file, written just now
        return pickle.loads(found[0]) if found else None  # noqa: S301

    def _take(self, correction: Correction, found: list[PageKey]) -> None:
        why = f"may be {len(found)} pages" if found else "is no page of the table"
        if len(found) == 1:
            row = (*found[0], pickle.dumps(correction))
            if self._waiting.execute(
                "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)", row
            ).rowcount:
                self.passed_over.update(correction.passed_over)
                return
            why = "the page is corrected twice"
        self.unmatched.append(f"{correction.file}: {why}")
        self.words_left_out += len(correction.words)

    def _clearer(
        self, unclear: list[tuple[Correction, list[PageKey]]]
    ) -> Iterator[tuple[Correction, list[PageKey]]]:
        """Return of several pages that nothing else is about the one whose words came back."""
        kept: list[dict[PageKey, int]] = [{} for _ in unclear]
        wanted: defaultdict[PageKey, list[int]] = defaultdict(list)
        for at, (_, found) in enumerate(unclear):
            for page in found:
                if self._correction_of(*page) is None:
                    wanted[page].append(at)
        for row in self._read_rows() if wanted else ():
            for at in wanted.get((row.id, row.page), ()):
                changes: Counter[str] = Counter()
                try:
                    apply_correction(row, unclear[at][0], self._rule, changes)
                except DatasetError:
                    continue  # a page of another shape
                new = changes.total() - changes[REMOVED] - changes[REVIEWED]
                kept[at][row.id, row.page] = len(unclear[at][0].words) - new
        for (correction, found), words in zip(unclear, kept, strict=True):
            best = [page for page, number in words.items() if number == max(words.values())]
            yield correction, best if len(best) == 1 else found


class Pages:
    """The table's pages by every name that a file may have; kept in a temporary file of SQLite's.

    The surest kind of name that is known decides: the id that the format carries, the name under
    which ocrlabel exported the page, the table's path or as much of its end as is known, the stem
    that an export gives to no other page, the file name without its suffix.
    """

    def __init__(self, rows: Iterable[LabelRow], exported: Iterable[tuple[str, str, int]]) -> None:
        self._names = sqlite3.connect("")
        self._names.execute("CREATE TABLE ids (id TEXT, page INT, PRIMARY KEY (id, page))")
        self._names.execute("CREATE TABLE names (kind INT, name TEXT, id TEXT, page INT)")
        for row in rows:
            self._names.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (row.id, row.page))
            stem, *unique = stems(row)
            own = {(_PATH, end) for end in _ends(referred(row))}
            own |= {(_UNIQUE, _key(name)) for name in unique} | {(_STEM, _key(stem))}
            if row.page_count <= 1:
                name = _key(file_name(row))
                own |= {(_PATH, name), (_STEM, PurePosixPath(name).stem)}
            self._add((kind, name, row.id, row.page) for kind, name in own)
        self._add((_AS_EXPORTED, _key(file), row_id, page) for file, row_id, page in exported)
        self._names.execute("CREATE INDEX by_name ON names (kind, name)")

    def find(self, correction: Correction) -> list[PageKey]:
        """Return (id, page) of the pages that it may be about: exactly one when it is clear."""
        if correction.id:
            return self._known([(correction.id, correction.page)])
        file = _key(correction.file)
        stem = PurePosixPath(last_part(file)).stem.removeprefix("gt_")
        ends = [(_PATH, end) for end in _ends(file)]
        for kind, text in ((_AS_EXPORTED, file), *ends, (_UNIQUE, stem), (_STEM, stem)):
            found = self._names.execute(
                "SELECT DISTINCT id, page FROM names WHERE kind = ? AND name = ? LIMIT 100",
                (kind, text),
            ).fetchall()
            if found:
                return self._known(found)
        return []

    def close(self) -> None:
        """Give the temporary file back."""
        self._names.close()

    def _add(self, names: Iterable[tuple[int, str, str, int]]) -> None:
        self._names.executemany("INSERT INTO names VALUES (?, ?, ?, ?)", names)

    def _known(self, pages: list[PageKey]) -> list[PageKey]:
        """Return those that are in this table: an export may be of a larger one."""
        query = "SELECT id, page FROM ids WHERE id = ? AND page = ?"
        return [found for page in pages if (found := self._names.execute(query, page).fetchone())]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", readable(name)).replace("\\", "/")


def _ends(path: str) -> list[str]:
    """Return a path and its last parts, the longest first."""
    parts = _key(path).split("/")
    lengths = {len(parts), *range(1, min(len(parts), _MOST_PARTS) + 1)}
    return ["/".join(parts[-length:]) for length in sorted(lengths, reverse=True)]


def by_person(corrections: Iterable[Correction], name: str, at: datetime) -> Iterator[Correction]:
    """Return each as reviewed by this person, unless its tool names one itself."""
    for each in corrections:
        tool, is_named, _ = each.source.partition(":")
        source = each.source if is_named and each.reviewed_at else f"{tool}:{name}"
        yield replace(each, source=source, reviewed_at=each.reviewed_at or at)


def exported_pages(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Read (file, id, page) as an export wrote them down; nothing where it is not ocrlabel's.

    folder: of the export, one of its folders, or a file in it.
    """
    path = export_root(folder, PAGES_FILE)
    if path is None:
        return
    with (path / PAGES_FILE).open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
                yield str(content["file"]), str(content["id"]), int(content["page"])
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path / PAGES_FILE}, line {number}: not a line of an export ({error})\n"
                    "  take the file as the export wrote it, or remove it"
                ) from error


def apply_correction(
    row: LabelRow, correction: Correction, rule: ExportOptions, changes: Counter[str]
) -> LabelRow:
    """Return the corrected page, or `row` itself where nothing was changed or reviewed.

    Every word that is not as it was is counted in changes, once, by what was done to it. Raises
    DatasetError where the corrected picture has another shape than the page.
    """
    correction = _in_pixels_of(row, correction)
    missing = ("",) * (len(row.words) - len(row.classes))
    classes = [label or WORD_CLASS for label in (*row.classes, *missing)]
    sent = {each.number: each for each in export_words(row, correction.rule or rule, Counter())}
    partners = _partners(row, correction, sent)
    made: list[tuple[int | None, Word, str]] = []  # with the word's place in the table's row
    for i, (word, label) in enumerate(zip(correction.words, correction.classes, strict=True)):
        if i in partners:
            n, is_same = partners[i]
            after, own, what = _settled(
                correction, i, row.words[n], classes[n], sent[n], is_same=is_same
            )
            made.append((n, after, own))
            changes.update(what)
        elif i in correction.masks:
            changes.update([MASK])
        elif is_region(word.polygon):
            is_seen = label == UNCERTAIN and correction.reviewed_at
            made.append((None, word, WORD_CLASS if is_seen else label or WORD_CLASS))
            changes.update([ADDED])
        else:
            changes.update([_NO_AREA])
    changes.update([REMOVED] * (len(sent) - len(partners)))
    if correction.ordered:
        order = [n for n, *_ in made if n is not None]
        changes.update([REORDERED] * sum(map(int.__ne__, order, sorted(order))))
    else:
        made.sort(key=lambda each: len(row.words) if each[0] is None else each[0])
    for n in range(len(row.words)):
        if n not in sent:  # nobody saw it, so it stays
            at = next((i for i, each in enumerate(made) if (each[0] or 0) > n), len(made))
            made.insert(at, (n, row.words[n], classes[n]))
    if not changes.keys() - _FOREIGN and correction.reviewed_at is None:
        return row
    words, labels = words_and_classes((word, label) for _, word, label in made)
    return replace(
        row,
        words=words,
        classes=labels,
        source=correction.source,
        reviewed_at=correction.reviewed_at or row.reviewed_at,
        p_correct=(),  # it was of the words as the engine gave them
    )


def _in_pixels_of(row: LabelRow, correction: Correction) -> Correction:
    """Return it in the page's pixels: tools show and give back smaller pictures."""
    factors = scale(correction.size_px, (row.width_px, row.height_px))
    if factors is None:
        width, height = correction.size_px
        raise DatasetError(
            f"{correction.file}: it says {width:g}x{height:g} px of the picture, the table"
            f" {row.width_px}x{row.height_px}: it was turned or cut\n"
            "  leave the page out of the file, or correct it on the picture as it was labelled"
        )
    if factors == (1.0, 1.0):
        return correction
    x, y = factors
    words = tuple(
        replace(word, polygon=tuple((px * x, py * y) for px, py in word.polygon))
        for word in correction.words
    )
    return replace(correction, words=words)


def _settled(
    correction: Correction,
    i: int,
    old: Word,
    old_label: str,
    sent: ExportWord,
    *,
    is_same: bool,
) -> tuple[Word, str, list[str]]:
    """Return the i-th corrected word, its class, and what was done to it, if anything.

    What the file does not say is the table's: a class or text left open, the text of a
    do-not-care word, the corners of a word that was not moved.
    """
    word, label = correction.words[i], correction.classes[i]
    is_reviewed, is_ignored = correction.reviewed_at is not None, label == IGNORE
    kept = _says(correction, i, sent) or (is_ignored and not word.text) or word.text == old.text
    was_ignored = _was_ignored(word, sent)
    # an export of a review queue says so of words that nobody touched, also onto another table
    was_queued = label == UNCERTAIN and (is_reviewed or old_label != UNCERTAIN)
    is_open = label in {"", sent.label} or was_queued
    own = old_label if is_open or (is_ignored and was_ignored) else label
    is_seen = correction.tells_ignored or (label == UNCERTAIN and is_reviewed) or not kept
    is_freed = sent.ignored and not is_ignored and is_seen
    done = {
        TEXT: not kept,
        TO_IGNORED: is_ignored and not was_ignored,
        TO_READABLE: is_freed and label != UNCERTAIN,
        CLASS: own != old_label,
        MOVED: not is_same,
        REVIEWED: UNCERTAIN in {label, own} and is_reviewed,
        CONFIDENCE: word.confidence not in {None, old.confidence},
    }
    what = [name for name, is_so in done.items() if is_so][:1]
    if (own == IGNORE and is_freed) or (own == UNCERTAIN and what):  # a person saw this word
        own = WORD_CLASS
    confidence = old.confidence
    if what not in ([], [REVIEWED]):
        # the engine's confidence says nothing about what a person wrote
        confidence = None if word.confidence == old.confidence else word.confidence
    text, polygon = old.text if kept else word.text, old.polygon if is_same else word.polygon
    return Word(text, polygon, confidence), own, what


def _says(correction: Correction, i: int, sent: ExportWord) -> bool:
    """Whether the i-th corrected word has the text that was sent, or the file has none for it."""
    said, text = (learnable(one_line(each.text))[0] for each in (correction.words[i], sent))
    return i in correction.without_text or said == text


def _was_ignored(word: Word, sent: ExportWord) -> bool:
    # a text that reads like the mark for do-not-care went out as one
    return sent.ignored or (not word.text and sent.text in {DO_NOT_CARE, "*"})


def _is_as_sent(correction: Correction, i: int, sent: ExportWord) -> bool:
    word, is_ignored = correction.words[i], correction.classes[i] == IGNORE
    if is_ignored != _was_ignored(word, sent) and correction.tells_ignored:
        return False
    return _says(correction, i, sent) or (is_ignored and not word.text)


def _partners(
    row: LabelRow, correction: Correction, sent: dict[int, ExportWord]
) -> dict[int, tuple[int, bool]]:
    """Return which word of the table each corrected word is, and whether it is in the same place.

    Words in one place belong together, first those with the same text. What is left over was moved:
    it is the word with the same text that it touches, or one that it covers for the most part.
    """
    shapes = {n: (word.polygon, row.words[n].polygon, word.corners) for n, word in sent.items()}
    boxes = {n: box(word.polygon) for n, word in sent.items()}
    tallest = max((height for *_, height in boxes.values()), default=0.0)
    by_top = sorted((top, n) for n, (_, top, *_) in boxes.items())
    partners: dict[int, tuple[int, bool]] = {}
    for is_same, is_told in ((True, True), (True, False), (False, True), (False, False)):
        for i, word in enumerate(correction.words):
            if i in partners or not is_region(word.polygon):
                continue
            own = _, top, _, height = box(word.polygon)
            # a page may have thousands: only those that it can touch
            ends = bisect(by_top, (top - tallest, -1)), bisect(by_top, (top + height, -1))
            for n in sorted(n for _, n in by_top[slice(*ends)] if n in boxes):
                shared = _shared(own, boxes[n])
                if (
                    (i not in correction.masks or (is_same and sent[n].ignored))
                    and shared > (0 if is_same or is_told else _MOST)
                    and (not is_told or _is_as_sent(correction, i, sent[n]))
                    and (not is_same or _is_in_place(word.polygon, shapes[n]))
                ):
                    partners[i] = (n, is_same)
                    del boxes[n]
                    break
    return partners


def _is_in_place(polygon: Polygon, shapes: tuple[Polygon, ...]) -> bool:
    """Whether the polygon came back as one of the shapes, or as the upright box of the first."""
    is_upright = _is_alike(polygon, upright(*box(polygon)))
    return any(_is_alike(polygon, shape) for shape in shapes) or (
        is_upright and _is_alike([box(polygon)], [box(shapes[0])])
    )


def _is_alike(found: Sequence[Sequence[float]], sent: Sequence[Sequence[float]]) -> bool:
    """Whether a tool has left these numbers as they were, but for rounding or cutting to pixels."""
    if len(found) != len(sent):
        return False
    pairs = list(zip(chain(*found), chain(*sent), strict=True))
    cuts = (math.trunc, math.floor, math.ceil)
    return all(abs(a - b) <= _SAME_PX for a, b in pairs) or any(
        all(a == cut(b) for a, b in pairs) for cut in cuts
    )


def _shared(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the share of their joint area that two boxes (left, top, width, height) share."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)
