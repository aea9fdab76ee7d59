"""CLEval: detection and end-to-end quality counted in characters, kind to split and merged words.

Own implementation of Baek et al., "CLEval: Character-Level Evaluation for Text Detection and
Recognition Tasks" (CVPRW 2020); tests hold it against values of the authors' package (cleval
0.1.1).

1. Each word of the truth carries one point for each of its characters, evenly along its middle.
2. A read box and a word match when enough of the box lies on the word (30 % of the box) and the box
   holds a point of it: one to one, one to many (split) or many to one (merged).
3. Recall is points found over points there; precision is points found over points claimed; each
   split and each merge costs one character.
4. End to end, characters found are those of the longest common subsequence of both texts.

As the authors' code does, and so do we: coordinates are cut to whole pixels for areas; a box that
matches nothing claims `1/aspect` characters, at most 10, so a wide one claims one or two.
A polygon of more than 4 points is taken as its 4 corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely

from ocrlabel.labels import Polygon
from ocrlabel.quality import match
from ocrlabel.quality.match import Bools, Floats, Indices, Shapes
from ocrlabel.quality.scores import Score, Sums

_VERTICAL = 0.5
"""Below this width over height a word is taken to run from top to bottom."""
_MOST = 10
"""The most characters that a box without a text can stand for."""
_SHARE = 0.3
_SHARE_SINGLE = float(np.float32(_SHARE))


@dataclass(frozen=True, slots=True)
class CharCounts(Sums):
    """Counts that add up over pages. `penalty` is what splits and merges cost."""

    truth: int = 0
    read: int = 0
    found: int = 0
    recall_penalty: int = 0
    precision_penalty: int = 0

    @property
    def score(self) -> Score:
        """Recall, precision and their harmonic mean; 0 where there is nothing to divide by."""
        recall = max(0, self.found - self.recall_penalty) / self.truth if self.truth else 0.0
        precision = max(0, self.found - self.precision_penalty) / self.read if self.read else 0.0
        return Score(recall=recall, precision=precision)


@dataclass(frozen=True, slots=True)
class Cleval(Sums):
    """CLEval of a page, or of many: detection and end to end."""

    detection: CharCounts = CharCounts()
    end_to_end: CharCounts = CharCounts()
    splits: int = 0
    merges: int = 0


def cleval(
    truth: Sequence[tuple[str, Polygon, bool]], read: Sequence[tuple[str, Polygon]]
) -> Cleval:
    """One page. truth: (text, polygon, do-not-care); read: (text, polygon). Texts as compared."""
    truths = _char_boxes(truth)
    reads = _char_boxes([(text, polygon, False) for text, polygon in read])
    coverage = _coverage(truths, reads)
    matched = _match_boxes(truths, reads, coverage)
    penalties = (
        sum(len(reads_of) - 1 for reads_of in matched.reads_of.values()),
        sum(len(truths_of) - 1 for truths_of in matched.truths_of.values()),
    )
    there = sum(len(truths.texts[i]) for i in matched.valid_truths)
    written = sum(len(reads.texts[j]) for j in matched.valid_reads)
    claimed, found = _points_claimed_and_found(reads, coverage, matched)
    characters = _characters_read(truths, reads, coverage, matched)
    return Cleval(
        CharCounts(there, claimed, found, *penalties),
        CharCounts(there, written, characters, *penalties),
        splits=sum(len(reads_of) > 1 for reads_of in matched.reads_of.values()),
        merges=sum(len(truths_of) > 1 for truths_of in matched.truths_of.values()),
    )


def _points_claimed_and_found(
    reads: _CharBoxes, on: _Coverage, matched: _Matches
) -> tuple[int, int]:
    claimed = sum(len(on.points(i, j)) for i, read in matched.reads_of.items() for j in read)
    claimed += sum(reads.claimed[j] for j in matched.valid_reads if j not in matched.truths_of)
    found = sum(
        len(set().union(*(on.points(i, j) for j in read))) for i, read in matched.reads_of.items()
    )
    return claimed, found


@dataclass(frozen=True, slots=True)
class _CharBoxes:
    """Boxes of one page, with a point for each character.

    quads: (n, 4, 2), in whole pixels. claimed: characters that a box stands for unmatched.
    points: (characters, 2), those of box i from first[i] up to first[i + 1].
    """

    texts: tuple[str, ...]
    ignored: tuple[bool, ...]
    quads: Floats
    claimed: tuple[int, ...]
    points: Floats
    first: Indices

    def __len__(self) -> int:
        return len(self.texts)


def _char_boxes(words: Sequence[tuple[str, Polygon, bool]]) -> _CharBoxes:
    """Place each word's (text, polygon, do-not-care) characters evenly along its middle."""
    quads = np.array([match.corners(polygon) for _, polygon, _ in words], dtype=np.float64)
    quads = quads.reshape(-1, 4, 2)
    ignored = tuple(ignore for _, _, ignore in words)
    aspects = _aspects(quads)
    counts = [
        min(round(0.5 + max(aspect, 1 / aspect)), _MOST) if ignore else len(text)
        for (text, _, ignore), aspect in zip(words, aspects.tolist(), strict=True)
    ]
    return _CharBoxes(
        texts=tuple("" if ignore else text for text, _, ignore in words),
        ignored=ignored,
        # cut towards 0, as the authors' code does before it takes areas
        quads=np.trunc(quads),
        claimed=tuple(min(round(0.5 + 1 / (1e-5 + aspect)), _MOST) for aspect in aspects.tolist()),
        points=_points(quads, np.array(counts, dtype=np.intp), vertical=aspects < _VERTICAL),
        first=np.concatenate(([0], np.cumsum(counts, dtype=np.intp))),
    )


def _aspects(quads: Floats) -> Floats:
    """Mean width over mean height of each."""
    sides = np.linalg.norm(np.roll(quads, -1, axis=1) - quads, axis=2)
    width, height = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
    aspects: Floats = (width + 1e-5) / (height + 1e-5)
    return aspects


def _points(quads: Floats, counts: Indices, *, vertical: Bools) -> Floats:
    turned = np.where(vertical[:, None, None], np.roll(quads, 1, axis=1), quads)
    start, end = (turned[:, 0] + turned[:, 3]) / 2, (turned[:, 1] + turned[:, 2]) / 2
    step = (end - start) / np.maximum(counts, 1)[:, None]
    owner = np.repeat(np.arange(len(quads)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    points: Floats = start[owner] + (place[:, None] + 0.5) * step[owner]
    return points


@dataclass(frozen=True, slots=True)
class _Coverage:
    """How far the read boxes cover the truth.

    precision: (truth, read) to the share of the read box that lies on the truth's, rounded to
    single precision, as the authors' code keeps it.
    inside: (truth, read) to which of the truth's points are in the read box, ascending, where
    any are.
    """

    precision: dict[tuple[int, int], float]
    inside: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def points(self, truth: int, read: int) -> list[int]:
        """Which points of this truth are in this read box."""
        return self.inside.get((truth, read), [])


def _coverage(truths: _CharBoxes, reads: _CharBoxes) -> _Coverage:
    """Areas and points of every pair that touches."""
    of_truth, of_read = match.quad_shapes(truths.quads), match.quad_shapes(reads.quads)
    shared = match.overlaps(of_truth, of_read)
    parts = (shared.values / of_read.areas[shared.columns]).astype(np.float32)
    places = zip(shared.rows.tolist(), shared.columns.tolist(), strict=True)
    precision = dict(zip(places, parts.tolist(), strict=True))
    _cut_regions_at_words(precision, truths, of_truth, of_read)
    return _Coverage(precision, _inside(truths, reads))


def _cut_regions_at_words(
    precision: dict[tuple[int, int], float], truths: _CharBoxes, of_truth: Shapes, of_read: Shapes
) -> None:
    """A do-not-care region ends where a word of the truth begins."""
    words = np.flatnonzero(~np.array(truths.ignored, dtype=np.bool_) & (of_truth.areas > 0))
    for region in sorted({i for i, _ in precision if truths.ignored[i]}):
        at, _ = match.near(of_truth.bounds[words], of_truth.bounds[region : region + 1])
        if not len(at):
            continue
        whole = match.solids(of_truth, np.array([region]))[0]
        rest = shapely.difference(whole, shapely.union_all(match.solids(of_truth, words[at])))
        reads = np.array([j for i, j in precision if i == region], dtype=np.intp)
        areas = shapely.area(shapely.intersection(rest, match.solids(of_read, reads)))
        for j, area in zip(reads.tolist(), areas, strict=True):
            precision[region, j] = float(np.float32(area / of_read.areas[j]))


def _inside(truths: _CharBoxes, reads: _CharBoxes) -> dict[tuple[int, int], list[int]]:
    if not len(truths.points) or not len(reads):
        return {}
    owner = np.repeat(np.arange(len(truths)), np.diff(truths.first))
    bounds = np.hstack((reads.quads.min(axis=1), reads.quads.max(axis=1)))
    point_at, read_at = match.near(np.hstack((truths.points, truths.points)), bounds)
    hit = _contains(reads.quads[read_at], truths.points[point_at])
    point_at, read_at = point_at[hit], read_at[hit]
    word_at = owner[point_at]
    place = point_at - truths.first[word_at]
    found: dict[tuple[int, int], list[int]] = {}
    for i, j, at in zip(word_at.tolist(), read_at.tolist(), place.tolist(), strict=True):
        found.setdefault((i, j), []).append(at)
    return found


def _contains(quads: Floats, points: Floats) -> Bools:
    """Whether each point is in its quad: edges crossed by a ray to the right, an odd number.

    A point on a left or top edge is inside, on a right or bottom edge it is not, as in the
    polygon library of the authors' code.
    """
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = quads[:, :, 0], quads[:, :, 1]
    x1, y1 = np.roll(x0, 1, axis=1), np.roll(y0, 1, axis=1)
    crosses = (y0 > y) != (y1 > y)
    rise = np.where(crosses, y1 - y0, 1.0)
    return np.asarray(np.sum(crosses & (x < (x1 - x0) * (y - y0) / rise + x0), axis=1) % 2 == 1)


@dataclass(frozen=True, slots=True)
class _Matches:
    """Who matches whom, both ways, ascending; and the indices that count at all."""

    valid_truths: tuple[int, ...]
    valid_reads: tuple[int, ...]
    reads_of: dict[int, list[int]]
    truths_of: dict[int, list[int]]


def _match_boxes(truths: _CharBoxes, reads: _CharBoxes, on: _Coverage) -> _Matches:
    """Match one page: one to one, then split words, then merged ones."""
    unread = _left_out(truths, on)
    valid_truths = tuple(i for i, ignore in enumerate(truths.ignored) if not ignore)
    valid_reads = tuple(j for j in range(len(reads)) if j not in unread)
    strong = (pair for pair in on.inside if _share(on, pair) >= _SHARE_SINGLE)
    strong_reads_of, strong_truths_of = _links(strong)
    links: set[tuple[int, int]] = set()
    for i in valid_truths:
        rivals = strong_reads_of.get(i, [])
        split = [j for j in rivals if j not in unread]
        if len(rivals) == 1 and split and len(strong_truths_of[split[0]]) == 1:
            links.add((i, split[0]))
        elif len(split) >= 2:
            links.update((i, j) for j in split)
    for j, holders in _links(on.inside)[1].items():
        merged = [i for i in holders if not truths.ignored[i]]
        share = sum(_share(on, (i, j)) for i in merged)
        if j not in unread and len(merged) >= 2 and share >= _SHARE:
            links.update((i, j) for i in merged)
    return _Matches(valid_truths, valid_reads, *_links(links))


def _links(pairs: Iterable[tuple[int, int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """The reads of each truth, and the truths of each read, ascending."""
    reads_of: dict[int, list[int]] = {}
    truths_of: dict[int, list[int]] = {}
    for i, j in sorted(pairs):
        reads_of.setdefault(i, []).append(j)
        truths_of.setdefault(j, []).append(i)
    return reads_of, truths_of


def _share(on: _Coverage, pair: tuple[int, int]) -> float:
    return on.precision.get(pair, 0.0)


def _left_out(truths: _CharBoxes, on: _Coverage) -> set[int]:
    """Read boxes that lie on do-not-care regions: on one, or on several together."""
    out: set[int] = set()
    sums: dict[int, np.float32] = {}
    for (i, j), share in on.precision.items():
        if not truths.ignored[i]:
            continue
        if share >= _SHARE_SINGLE:
            out.add(j)
        elif on.points(i, j):
            sums[j] = sums.get(j, np.float32(0)) + np.float32(share)
    return out | {j for j, share in sums.items() if share >= np.float32(_SHARE)}


def _characters_read(
    truths: _CharBoxes, reads: _CharBoxes, on: _Coverage, matched: _Matches
) -> int:
    """Characters found over the page; one that was found is not found again for another word.

    The boxes of a word are put one after the other in the order in which they hold its points.
    """
    left = {j: reads.texts[j] for j in matched.truths_of}
    found = 0
    for i in sorted(matched.reads_of):
        boxes = matched.reads_of[i]
        if len(boxes) == 1 and left[boxes[0]] == truths.texts[i]:
            found += len(truths.texts[i])
            left[boxes[0]] = ""
            continue
        order = _reading_order(boxes, i, on)
        for character in common(truths.texts[i], "".join(left[j] for j in order)):
            holder = next(j for j in order if character in left[j])
            left[holder] = left[holder].replace(character, "", 1)
            found += 1
    return found


def _reading_order(boxes: Sequence[int], truth: int, on: _Coverage) -> list[int]:
    waiting, order = list(boxes), []
    for at in sorted(set().union(*(on.points(truth, j) for j in boxes))):
        if len(waiting) == 1:
            break
        holder = next((j for j in waiting if at in on.points(truth, j)), None)
        if holder is not None:
            order.append(holder)
            waiting.remove(holder)
    # the authors' code drops all but the first of what is still waiting
    return order + waiting[:1]


def common(a: str, b: str) -> str:
    """A longest common subsequence; where there are several, the one the authors' code takes."""
    if a == b:
        return a
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a, 1):
        above, row = lengths[i - 1], lengths[i]
        for j, other in enumerate(b, 1):
            row[j] = above[j - 1] + 1 if one == other else max(above[j], row[j - 1])
    i, j, backwards = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            backwards.append(a[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return "".join(reversed(backwards))
