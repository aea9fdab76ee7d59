"""Where two tables say the same: a sign of quality that needs no truth.

A word and its partner overlap as `match` demands (IoU above 0.5, one to one); they agree when
their normalised texts are equal. The agreement of a page, or of any set of words, is Dice's: twice
the words that agree over all words of both tables. Words that either table marks as do-not-care
are left out, as are words of the other table inside such a region.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.labels import Word
from ocrlabel.quality.faults import WORST_PAGES, ComparedPage, Verdict, WorstPages
from ocrlabel.quality.match import match
from ocrlabel.quality.scores import Sums
from ocrlabel.quality.text import compare, script
from ocrlabel.quality.truth import TruthPage, TruthWord, group_of, name_of
from ocrlabel.wording import rounded


@dataclass(frozen=True, slots=True)
class Agreed:
    """A word of the first table and what the second says of it.

    at: the word's place in its row. partner: None where there is none; likeness: 1 - normalised
    edit distance to it, 0 without a partner.
    """

    at: int
    word: Word
    partner: TruthWord | None
    iou: float
    likeness: float
    same: bool

    @property
    def other(self) -> str | None:
        """The partner's text."""
        return self.partner.text if self.partner else None


@dataclass(frozen=True, slots=True)
class PageAgreement:
    """One page: each word of the first table, and the second's words that have no partner."""

    words: tuple[Agreed, ...]
    unpartnered: tuple[TruthWord, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What became of each word, the second table taken as the truth."""
        return (
            *(Verdict(one.at, one.word, one.partner, one.same) for one in self.words),
            *(Verdict(-1, None, word, right=False) for word in self.unpartnered),
        )

    @property
    def counts(self) -> AgreementCounts:
        """Its counts."""
        matched = sum(word.partner is not None for word in self.words)
        same = sum(word.same for word in self.words)
        return AgreementCounts(1, len(self.words), len(self.unpartnered) + matched, matched, same)


@dataclass(frozen=True, slots=True)
class AgreementCounts(Sums):
    """Words of the first and of the second table, how many are partners, how many agree."""

    pages: int = 0
    first: int = 0
    second: int = 0
    matched: int = 0
    same: int = 0

    @property
    def agreement(self) -> float:
        """Dice: 1 where all agree, also where neither has a word."""
        both = self.first + self.second
        return 2 * self.same / both if both else 1.0


@dataclass(slots=True)
class Agreement:
    """Sums over pages: of all words, by script, and by the column that was asked for.

    worst: the pages on which most words differ.
    """

    total: AgreementCounts = field(default_factory=AgreementCounts)
    scripts: dict[str, AgreementCounts] = field(default_factory=dict)
    groups: dict[str, AgreementCounts] = field(default_factory=dict)
    worst: WorstPages = field(default_factory=lambda: WorstPages(WORST_PAGES))


def agree_page(row: LabelRow, other: TruthPage, normalise: Callable[[str], str]) -> PageAgreement:
    """Compare one page of a table with the same page of another (`as_truth` of its row)."""
    skipped = [at for at, kind in enumerate(row.classes) if kind == IGNORE]
    regions = [row.words[at].polygon for at in skipped]
    found = match(
        [word.polygon for word in other.words] + regions,
        [word.ignore for word in other.words] + [True] * len(regions),
        [word.polygon for word in row.words],
    )
    partner = {j: (i, iou) for i, j, iou in found.pairs}
    left_out = set(skipped)
    words = []
    for at, word in ((at, row.words[at]) for at in found.cared_read if at not in left_out):
        if at not in partner:
            words.append(Agreed(at, word, None, 0.0, 0.0, same=False))
            continue
        i, iou = partner[at]
        pair = compare(normalise(other.words[i].text), normalise(word.text))
        words.append(Agreed(at, word, other.words[i], iou, pair.likeness, pair.same))
    matched = {i for i, j, _ in found.pairs if j not in left_out}
    unpartnered = tuple(other.words[i] for i in found.cared_truth if i not in matched)
    return PageAgreement(tuple(words), unpartnered)


def agree(
    pairs: Iterable[tuple[LabelRow, TruthPage]],
    *,
    normalise: Callable[[str], str],
    by: str | None = None,
    each: Callable[[LabelRow, PageAgreement], None] | None = None,
) -> Agreement:
    """Go through the pages that both tables have; `each` sees every page as it is done."""
    sums = Agreement()
    for row, other in pairs:
        page = agree_page(row, other, normalise)
        counts = page.counts
        sums.total += counts
        differ = counts.first + counts.second - counts.matched - counts.same
        sums.worst.add(differ, ComparedPage(row, other, page.verdicts))
        for kind, by_kind in _by_script(page).items():
            sums.scripts[kind] = sums.scripts.get(kind, AgreementCounts()) + by_kind
        if by is not None:
            group = group_of(by, row, other)
            sums.groups[group] = sums.groups.get(group, AgreementCounts()) + counts
        if each is not None:
            each(row, page)
    sums.scripts = dict(sorted(sums.scripts.items()))
    sums.groups = dict(sorted(sums.groups.items()))
    return sums


def page_line(row: LabelRow, page: PageAgreement) -> dict[str, object]:
    """One page as a JSON object: its agreement, and each word with its partner."""
    name = name_of(row)
    return {
        "id": name.id,
        "page": name.page,
        "agreement": rounded(page.counts.agreement),
        "words": [
            {
                "at": word.at,
                "text": word.word.text,
                "other": word.other,
                "confidence": word.word.confidence,
                "iou": rounded(word.iou),
                "likeness": rounded(word.likeness),
            }
            for word in page.words
        ],
        "only_in_other": [word.text for word in page.unpartnered],
    }


def _by_script(page: PageAgreement) -> dict[str, AgreementCounts]:
    """Words of the first table by their script, words only in the second by theirs."""
    alone = Counter(script(word.text) for word in page.unpartnered)
    first, matched, same = Counter[str](), Counter[str](), Counter[str]()
    for word in page.words:
        kind = script(word.word.text)
        first[kind] += 1
        matched[kind] += word.partner is not None
        same[kind] += word.same
    return {
        kind: AgreementCounts(
            1, first[kind], alone[kind] + matched[kind], matched[kind], same[kind]
        )
        for kind in first.keys() | alone.keys()
    }
