"""Join read words into lines, so that they can be held against a truth that has only lines.

By geometry alone, never by looking at the truth. Two words are neighbours on a line when
- they run the same way, within 15 degrees (the way a word runs is its top edge, left to right),
- their heights differ by no more than a factor of 2,
- the middle of one is off the other's axis by no more than half of the smaller height, and
- the gap between them along the axis is at most `GAP` heights (and they overlap by no more
  than one height).
A line is what such neighbours connect. Its words are in the order of the axis, its text has one
space between words, its polygon is the smallest rectangle along the axis around them, and its
confidence is that of its most doubtful word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrlabel.labels import Word
from ocrlabel.quality.geometry import Floats, near

GAP = 1.0
"""The widest space inside a line, in heights of the smaller word."""

_TURN = np.cos(np.radians(15))


def lines(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words of one page joined into lines, from top to bottom of the page."""
    quads = [word for word in words if len(word.polygon) >= 4]
    if not quads:
        return tuple(words)
    corners = np.array([_corners(word) for word in quads], dtype=np.float64)
    axis, height = _axes(corners)
    group = _groups(_neighbours(corners, axis, height))
    joined = [_join([quads[i] for i in at], corners[at], axis[at]) for at in group]
    rest = [word for word in words if len(word.polygon) < 4]
    return tuple(sorted((*joined, *rest), key=_reading_order))


def _corners(word: Word) -> list[tuple[float, float]]:
    # a polygon of 2n points runs along the top and back along the bottom: its corners are the
    # first and last of the two halves
    half = len(word.polygon) // 2
    return [word.polygon[i] for i in (0, half - 1, half, -1)]


def _axes(corners: Floats) -> tuple[Floats, Floats]:
    """The way each word runs, as a unit vector (n, 2), and its height (n,)."""
    along = (corners[:, 1] - corners[:, 0]) + (corners[:, 2] - corners[:, 3])
    length = np.linalg.norm(along, axis=1, keepdims=True)
    axis = np.divide(along, length, out=np.tile([1.0, 0.0], (len(along), 1)), where=length > 0)
    down = (corners[:, 3] - corners[:, 0]) + (corners[:, 2] - corners[:, 1])
    return axis, np.linalg.norm(down, axis=1) / 2


def _neighbours(corners: Floats, axis: Floats, height: Floats) -> list[tuple[int, int]]:
    reach = (GAP * height)[:, None]
    low, high = corners.min(axis=1), corners.max(axis=1)
    i, j = near(np.hstack((low - reach, high + reach)), np.hstack((low, high)))
    i, j = i[i != j], j[i != j]
    middle = corners.mean(axis=1)
    apart = middle[j] - middle[i]
    across = np.stack((-axis[:, 1], axis[:, 0]), axis=1)
    along = corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]
    half = np.einsum("nk,nk->n", along, axis) / 4
    gap = np.abs(np.einsum("nk,nk->n", apart, axis[i])) - half[i] - half[j]
    small = np.minimum(height[i], height[j])
    joined = (
        (np.einsum("nk,nk->n", axis[i], axis[j]) >= _TURN)
        & (np.maximum(height[i], height[j]) <= 2 * small)
        & (np.abs(np.einsum("nk,nk->n", apart, across[i])) <= small / 2)
        & (gap <= GAP * small)
        & (gap >= -small)
    )
    alone = [(at, at) for at in range(len(corners))]
    return [*alone, *zip(i[joined].tolist(), j[joined].tolist(), strict=True)]


def _groups(edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected words, each group in order of its indices."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in edges:
        parent[root(j)] = root(i)
    groups: dict[int, list[int]] = {}
    for i in sorted(parent):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _join(words: Sequence[Word], corners: Floats, axis: Floats) -> Word:
    if len(words) == 1:
        return words[0]
    way = axis.mean(axis=0)
    way = way / np.linalg.norm(way)
    frame = np.array([way, [-way[1], way[0]]])
    turned = corners @ frame.T
    order = np.argsort(turned[:, :, 0].mean(axis=1), kind="stable").tolist()
    (x0, y0), (x1, y1) = turned.min(axis=(0, 1)), turned.max(axis=(0, 1))
    polygon = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ frame
    known = [word.confidence for word in words if word.confidence is not None]
    return Word(
        text=" ".join(words[i].text for i in order),
        polygon=tuple((float(x), float(y)) for x, y in polygon),
        confidence=min(known) if len(known) == len(words) else None,
    )


def _reading_order(line: Word) -> tuple[float, float]:
    xs, ys = zip(*line.polygon, strict=True) if line.polygon else ((0.0,), (0.0,))
    return (sum(ys) / len(ys), sum(xs) / len(xs))
