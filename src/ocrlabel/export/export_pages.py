"""A table's rows as an export sees them: words with a place, which are do-not-care, and the split.

The split is the input's own, or one made from what the document is (`formats.SplitPlan`).
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import NamedTuple

from ocrlabel.characters import learnable
from ocrlabel.dataset.labels_table import IGNORE, UNCERTAIN, WORD_CLASS, LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import ExportOptions, SplitPlan
from ocrlabel.export.geometry import area, box, cut, rectangle, signed_area, upright
from ocrlabel.export.output_folder import safe_part
from ocrlabel.labels import Polygon
from ocrlabel.wording import counted

_SEEDS = 200  # tried for one that leaves no share empty
OUTSIDE = "outside_the_page"
READS_AS_IGNORED = "reads_as_do_not_care"


@dataclass(frozen=True, slots=True)
class ExportPage:
    """One page on its way out: its split, and a stem for its files that no other page has."""

    row: LabelRow
    split: str
    stem: str
    words: tuple[ExportWord, ...]


class ExportWord(NamedTuple):  # a frozen dataclass takes five times as long to make
    """One word as every format writes it: a text that can be learned, a polygon on the page.

    corners: the polygon's four, on the page as well. ignored: do-not-care. number: the word's
    place in the table's row, from 0. on_page: which share of the table's polygon is on the page.
    changed: what was done to it.
    """

    text: str
    polygon: Polygon
    corners: Polygon
    confidence: float | None
    label: str
    ignored: bool
    number: int
    on_page: float
    changed: tuple[str, ...]


def export_words(
    row: LabelRow, options: ExportOptions, left_out: Counter[str]
) -> tuple[ExportWord, ...]:
    """Return the page's words in the table's order, cut with the page, their texts learnable.

    Words of which nothing is left are counted. A page of unknown size cuts nothing.
    """
    if row.reviewed_at is not None:  # a person vouches for words of every confidence
        options = replace(options, ignore_below=None)
    words: list[ExportWord] = []
    classes = chain(row.classes, repeat(WORD_CLASS))
    for number, (word, own_class) in enumerate(zip(row.words, classes, strict=False)):
        whole, confidence = word.polygon, word.confidence
        polygon = _on_page(whole, row)
        if isinstance(polygon, str):
            left_out[polygon] += 1
            continue
        text, changed = learnable(word.text)
        label = own_class or WORD_CLASS
        if label == UNCERTAIN and not options.keep_uncertain:
            label, changed = WORD_CLASS, (*changed, "uncertain_made_text")
        ignored = is_ignored(text, confidence, label, options)
        corners, on_page, was_cut = polygon, 1.0, False
        if polygon is not whole:
            was_cut = not _fits(box(whole), row)
            on_page = area(polygon) / area(whole) if was_cut else 1.0
            round_ = ("made_clockwise",) if signed_area(whole) < 0 else ()
            changed = (*changed, *round_, *(("cut_at_the_page_edge",) if was_cut else ()))
        if was_cut or len(polygon) != 4:
            corners = _corners(polygon, row)
        # by position: this runs for every word of an export
        words.append(
            ExportWord(text, polygon, corners, confidence, label, ignored, number, on_page, changed)
        )
    return tuple(words)


def _on_page(polygon: Polygon, row: LabelRow) -> Polygon | str:
    """Return what of a word's polygon is on its page, or why there is nothing to export.

    Clockwise, from its first point on: people draw either way round, and text is never mirrored.
    """
    covered = signed_area(polygon)
    if covered <= 0:
        polygon = (polygon[0], *polygon[:0:-1]) if covered else polygon
        covered = area(polygon)
    if not 0 < covered < math.inf:
        return "no_area"  # fewer than three points, or all on one line
    around = box(polygon)
    if not _fits(around, row):
        polygon = cut(polygon, row.width_px, row.height_px)
        if not (covered := area(polygon)):
            return OUTSIDE
        around = box(polygon)
    _, _, width, height = around
    return polygon if covered * covered >= width * width + height * height else "under_one_pixel"


def _fits(around: tuple[float, float, float, float], row: LabelRow) -> bool:
    left, top, width, height = around
    if left >= 0 and top >= 0 and left + width <= row.width_px and top + height <= row.height_px:
        return True
    return row.width_px <= 0 or row.height_px <= 0


def _corners(polygon: Polygon, row: LabelRow) -> Polygon:
    """Return the rectangle around it: the upright one where the smallest leaves the page."""
    corners = rectangle(polygon)
    return corners if _fits(box(corners), row) else upright(*box(polygon))


def is_ignored(text: str, confidence: float | None, label: str, options: ExportOptions) -> bool:
    """Whether a word is do-not-care: by its class, for want of a text, or by its confidence."""
    if label == IGNORE or (not text and not options.keep_untranscribed):
        return True
    if options.ignore_below is None or confidence is None:
        return False
    return confidence < options.ignore_below


def with_size(rows: Iterable[LabelRow], why: str, remedy: str = "") -> Iterator[LabelRow]:
    """Return the rows. Raises ConfigError, which says why, for a page of unknown size."""
    for row in rows:
        if row.width_px <= 0 or row.height_px <= 0:
            raise ConfigError(
                f"{row.id}: the table has no size for this page, and {why}\n"
                f"  label the images with this version of ocrlabel{remedy}"
            )
        yield row


def split_of(row: LabelRow, plan: SplitPlan) -> str:
    """Return the split's name, safe as a folder's; "all" where input and table name none."""
    if not plan.shares:
        return safe_part(row.input_split or row.split, otherwise="all")
    return _drawn(document_of(row, plan), plan.seed, plan)


def _drawn(document: str, seed: str, plan: SplitPlan) -> str:
    digest = hashlib.sha256(f"{seed}\0{document}".encode()).digest()
    at = int.from_bytes(digest[:8]) / 2**64
    for name, share in plan.shares:
        at -= share
        if at < 0:
            return name
    return plan.shares[-1][0]


def document_of(row: LabelRow, plan: SplitPlan | None = None) -> str:
    """What all pages and all copies of one document share: its bytes, or else its path.

    With a plan it is what its near duplicates share, too.
    """
    document = row.image_sha256 or row.image_path or row.id
    return plan.groups.get(document, document) if plan else document


def parse_shares(text: str, *, seed: str = "") -> SplitPlan:
    """Read `train=0.8,val=0.1,test=0.1`. Raises ConfigError unless the shares sum to 1."""
    shares: list[tuple[str, float]] = []
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        split = name.strip()
        if not split or safe_part(split, otherwise="") != split or not 0 <= share <= 1:
            raise ConfigError(
                f"--splits: {part.strip()!r} is no share of a split\n"
                "  write train=0.8,val=0.1,test=0.1"
            )
        shares.append((split, share))
    if len({name.casefold() for name, _ in shares}) < len(shares):
        raise ConfigError(f"--splits: {text!r} names a split twice")
    if not math.isclose(sum(share for _, share in shares), 1.0, abs_tol=1e-6):
        raise ConfigError(
            f"--splits: the shares of {text!r} sum to {sum(s for _, s in shares):g}, not 1"
        )
    return SplitPlan(tuple(shares), seed)


class Documents:
    """Every document and its split: how many stand on two sides, and which share has none."""

    def __init__(self, plan: SplitPlan) -> None:
        self._plan = plan
        self._seen = sqlite3.connect("")  # a temporary file: memory does not grow with the pages
        self._seen.execute(
            "CREATE TABLE seen (document TEXT PRIMARY KEY, split TEXT, leaks INT) WITHOUT ROWID"
        )

    def add(self, row: LabelRow, split: str) -> None:
        """Look at one page."""
        self._seen.execute(
            "INSERT INTO seen VALUES (?, ?, 0) ON CONFLICT (document)"
            " DO UPDATE SET leaks = leaks OR split <> excluded.split",
            (document_of(row, self._plan), split),
        )

    def leaks(self) -> int:
        """Return how many documents stand in more than one split."""
        (leaks,) = self._seen.execute("SELECT coalesce(sum(leaks), 0) FROM seen").fetchone()
        return int(leaks)

    def empty_shares(self) -> str:
        """Which shares got nothing, and the seed that mends it where one does; "" for none."""
        wanted = {name for name, share in self._plan.shares if share}
        there = {split for (split,) in self._seen.execute("SELECT DISTINCT split FROM seen")}
        if not there or wanted <= there:
            return ""
        found = [d for (d,) in self._seen.execute("SELECT document FROM seen LIMIT 10000")]

        def some_in(name: str, seed: str) -> bool:
            return any(_drawn(document, seed, self._plan) == name for document in found)

        seeds = map(str, range(1, _SEEDS))
        seed = next((s for s in seeds if all(some_in(name, s) for name in wanted)), None)
        remedy = (
            f"draw again with --seed {seed}, or give it a larger share"
            if seed
            else "label more documents, or name fewer splits"
        )
        return (
            f"--splits: {', '.join(sorted(wanted - there))} would be empty:"
            f" {counted(len(found), 'document')} for {len(wanted)} splits\n"
            f"  {remedy}"
        )

    def close(self) -> None:
        """Give the temporary file back."""
        self._seen.close()
