"""What is wrong, word by word: which pages are the worst, and what is read for what.

A word of the truth that was not read is missed, a read word that the truth does not have is
invented, and one in its place with another text is misread. All are counted; the words themselves
are kept for the worst pages only, so that memory does not grow with the pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from ocrlabel.characters import learnable
from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.labels import Word
from ocrlabel.quality.truth import Level, TruthPage, TruthWord

WORST_PAGES = 100
RIGHT, MISREAD, MISSED, INVENTED, UNJUDGED = KINDS = (
    *("right", "misread", "missed", "invented"),
    "not judged",
)
_BETWEEN_SORTS = 25
_LONGEST = 3
_MOST_CONFUSIONS = 10_000


class Verdict(NamedTuple):  # made for every word: a frozen dataclass takes longer
    """What became of one word (or line) of either side.

    at: the read word's place among those that were given; for line-level truth, among the lines.
    word: what was read, None where the truth's word was missed. truth: its partner there, None
    where it has none. right: None is unknown, for want of a text, or do-not-care.
    """

    at: int
    word: Word | None
    truth: TruthWord | None
    right: bool | None

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.right is None:
            return UNJUDGED
        if self.word is None:
            return MISSED
        return RIGHT if self.right else MISREAD if self.truth else INVENTED

    @property
    def texts(self) -> tuple[str, str]:
        """The truth's and what was read, learnable; "" for the side that has no such word."""
        truth, read = (learnable(side.text)[0] if side else "" for side in (self.truth, self.word))
        return truth, read


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page of a table beside the same page of the truth (or of another table)."""

    row: LabelRow
    truth: TruthPage
    verdicts: tuple[Verdict, ...]

    def of_kind(self, kind: str) -> list[Verdict]:
        """Those of its verdicts that are of one kind."""
        return [verdict for verdict in self.verdicts if verdict.kind == kind]

    @property
    def all_verdicts(self) -> tuple[Verdict, ...]:
        """With the do-not-care regions, and the words in them or marked so."""
        judged = {id(verdict.word) for verdict in self.verdicts}
        skipped = self.row.words if self.truth.level is Level.WORD else ()
        return (
            *self.verdicts,
            *(Verdict(-1, word, None, None) for word in skipped if id(word) not in judged),
            *(Verdict(-1, None, word, None) for word in self.truth.words if word.ignore),
        )


@dataclass(slots=True)
class WorstPages:
    """Keeps the pages with the most wrong words, the worst first; pages alike go by their ids."""

    places: int
    seen: int = 0
    _kept: list[tuple[int, str, int, ComparedPage]] = field(default_factory=list)

    def add(self, wrong: int, page: ComparedPage) -> None:
        """Take in a page with so many wrong words; one without is not kept."""
        if not wrong:
            return
        self.seen += 1
        self._kept.append((-wrong, page.row.id, page.row.page, page))
        if len(self._kept) > self.places + _BETWEEN_SORTS:
            self.pages()

    def pages(self) -> tuple[ComparedPage, ...]:
        """Those that are kept."""
        self._kept.sort(key=lambda entry: entry[:3])
        del self._kept[self.places :]
        return tuple(entry[3] for entry in self._kept)


@dataclass(slots=True)
class Confusions:
    """How often which characters of the truth were read as which others."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, truth: str, read: str) -> None:
        """Take in a pair of different texts."""
        self.counts.update(confused(truth, read))
        if len(self.counts) > 2 * _MOST_CONFUSIONS:  # the rare ones go: they are in no list
            self.counts = Counter(dict(self.counts.most_common(_MOST_CONFUSIONS)))

    def most(self, number: int) -> tuple[tuple[str, str, int], ...]:
        """(truth, read, count), the most frequent first; "" is nothing."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple((*pair, count) for pair, count in ordered[:number])


def confused(truth: str, read: str) -> Iterator[tuple[str, str]]:
    """What differs: ("0", "O"), ("rn", "m"), ("", "."). Longer pieces are another text: left out.

    Pieces of one length are taken character by character.
    """
    i = j = 0
    for block in Levenshtein.editops(truth, read).as_matching_blocks():
        there, here = truth[i : block.a], read[j : block.b]
        if len(there) == len(here):
            yield from zip(there, here, strict=True)
        elif max(len(there), len(here)) <= _LONGEST:
            yield there, here
        i, j = block.a + block.size, block.b + block.size
