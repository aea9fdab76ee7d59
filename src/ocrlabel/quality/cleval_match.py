"""CLEval's matching: which words of the truth and which read boxes belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ocrlabel.quality.cleval_boxes import CharBoxes, Held

SHARE = 0.3
"""The share of a read box that has to lie on the truth."""

_SINGLE = float(np.float32(SHARE))
"""The same in single precision, in which the authors' code compares one share."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Who belongs to whom, both ways, ascending; and the indices that count at all."""

    valid_truths: tuple[int, ...]
    valid_reads: tuple[int, ...]
    reads_of: dict[int, list[int]]
    truths_of: dict[int, list[int]]


def belong(truths: CharBoxes, reads: CharBoxes, on: Held) -> Matched:
    """Match one page: one to one, then split words, then merged ones."""
    unread = _left_out(truths, on)
    valid_truths = tuple(i for i, ignore in enumerate(truths.ignored) if not ignore)
    valid_reads = tuple(j for j in range(len(reads)) if j not in unread)
    strong = _by_both([pair for pair in on.inside if _share(on, pair) >= _SINGLE])
    links: set[tuple[int, int]] = set()
    for i in valid_truths:
        rivals = strong.reads_of.get(i, [])
        split = [j for j in rivals if j not in unread]
        if len(rivals) == 1 and split and len(strong.truths_of[split[0]]) == 1:
            links.add((i, split[0]))
        elif len(split) >= 2:
            links.update((i, j) for j in split)
    for j, holders in _by_both(list(on.inside)).truths_of.items():
        merged = [i for i in holders if not truths.ignored[i]]
        share = sum(_share(on, (i, j)) for i in merged)
        if j not in unread and len(merged) >= 2 and share >= SHARE:
            links.update((i, j) for i in merged)
    both = _by_both(sorted(links))
    return Matched(valid_truths, valid_reads, both.reads_of, both.truths_of)


@dataclass(frozen=True, slots=True)
class _Both:
    reads_of: dict[int, list[int]]
    truths_of: dict[int, list[int]]


def _by_both(pairs: list[tuple[int, int]]) -> _Both:
    both = _Both({}, {})
    for i, j in sorted(pairs):
        both.reads_of.setdefault(i, []).append(j)
        both.truths_of.setdefault(j, []).append(i)
    return both


def _share(on: Held, pair: tuple[int, int]) -> float:
    return on.precision.get(pair, 0.0)


def _left_out(truths: CharBoxes, on: Held) -> set[int]:
    """Read boxes that lie on do-not-care regions: on one, or on several together."""
    out: set[int] = set()
    sums: dict[int, np.float32] = {}
    for (i, j), share in on.precision.items():
        if not truths.ignored[i]:
            continue
        if share >= _SINGLE:
            out.add(j)
        elif on.points(i, j):
            sums[j] = sums.get(j, np.float32(0)) + np.float32(share)
    return out | {j for j, share in sums.items() if share >= np.float32(SHARE)}
