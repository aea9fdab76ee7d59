"""Lines of Korean, read by tesseract: the pixels of each line, cut out and made level by others.

Of a whole page tesseract finds 12 % of the Hangul words of six contracts, of single lines 45 %: it
need not look for them. Each line gets the height that it was taught on and an edge of its own
background. It sees gaps inside of Korean words, so pieces that are close together become one word.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ocrlabel.engines.tesseract import rows_of, tsv_of
from ocrlabel.storage.folder import temporary_folder

Piece = tuple[str, float, tuple[float, float, float, float]]
"""Text, confidence, and left, top, right and bottom in px of the line's pixels."""

_LEAST_HIGH_PX = 40
_EDGE_PX = 12
_USUAL_GAP = 0.25
_LEAST_GAP, _MOST_GAP = 0.17, 0.4
_ENOUGH_GAPS = 8
_SHORT_NUMBER = 2


def read_korean(languages: str, lines: Sequence[Any]) -> list[list[Piece]]:
    """The words of each line, of as many as there are, in one go of the program.

    languages: as tesseract calls its data.
    """
    if not lines:
        return []
    scales = [max(1.0, _LEAST_HIGH_PX / pixels.shape[0]) for pixels in lines]
    with tempfile.TemporaryDirectory(prefix="ocrlabel-", dir=temporary_folder()) as folder:
        names = [Path(folder) / f"{number}.png" for number in range(len(lines))]
        for name, pixels, scale in zip(names, lines, scales, strict=True):
            cv2.imwrite(str(name), _made_ready(pixels, scale))
        (Path(folder) / "lines.txt").write_text("\n".join(map(str, names)), encoding="utf-8")
        command = ["tesseract", str(Path(folder) / "lines.txt"), "stdout"]
        command += ["-l", languages, "--psm", "7", "tsv"]
        rows = list(rows_of(tsv_of(command)))
    found: list[list[Piece]] = [[] for _ in lines]
    for row in rows:
        number = int(row["page_num"]) - 1
        box = _own(row, scales[number], lines[number].shape)
        found[number].append((row["text"], float(row["conf"]) / 100, box))
    each = [(pieces, line.shape[0]) for pieces, line in zip(found, lines, strict=True)]
    gap = gap_of_a_word(each)
    return [joined(pieces, gap * high_px) for pieces, high_px in each]


def _made_ready(pixels: Any, scale: float) -> Any:
    """At least 40 px high, with an edge of its most usual colour."""
    if scale > 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    background = np.median(pixels.reshape(-1, 3), axis=0).tolist()
    return cv2.copyMakeBorder(
        pixels, _EDGE_PX, _EDGE_PX, _EDGE_PX, _EDGE_PX, cv2.BORDER_CONSTANT, value=background
    )


def _own(
    row: Mapping[str, str], scale: float, shape: tuple[int, ...]
) -> tuple[float, float, float, float]:
    """In px of the line's pixels, within them."""
    left, top = float(row["left"]), float(row["top"])
    corners = (left, top, left + float(row["width"]), top + float(row["height"]))
    x0, y0, x1, y1 = ((value - _EDGE_PX) / scale for value in corners)
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(shape[1])), min(y1, float(shape[0]))


def gap_of_a_word(lines: Sequence[tuple[Sequence[Piece], float]]) -> float:
    """The gap, of a line's height, from which on words are apart: fonts and spacing differ by page.

    The gaps of a page are of two kinds, inside of words and between them: it lies halfway.
    """
    gaps = np.array(
        [
            (after[2][0] - before[2][2]) / high_px
            for pieces, high_px in lines
            for before, after in pairwise(pieces)
            if _touch(before, after)
        ]
    )
    gaps = gaps[(gaps > -_MOST_GAP) & (gaps < 2 * _MOST_GAP)]
    if len(gaps) < _ENOUGH_GAPS:
        return _USUAL_GAP
    parts = gaps.min() < _USUAL_GAP <= gaps.max()
    gap = _USUAL_GAP if parts else float(gaps.mean().round(3))
    for _ in range(10):
        inside, between = gaps[gaps < gap], gaps[gaps >= gap]
        if not len(inside) or not len(between):
            return _USUAL_GAP
        gap = float(inside.mean() + between.mean()) / 2
    return min(max(gap, _LEAST_GAP), _MOST_GAP)


def joined(pieces: Sequence[Piece], gap_px: float) -> list[Piece]:
    """Words, of pieces in reading order: Hangul that is near to what is beside it makes one."""
    words: list[Piece] = []
    for piece in pieces:
        if words and _touch(words[-1], piece) and piece[2][0] - words[-1][2][2] < gap_px:
            (before, sure, (x0, y0, x1, y1)), (text, also, (a0, b0, a1, b1)) = words.pop(), piece
            box = (min(x0, a0), min(y0, b0), max(x1, a1), max(y1, b1))
            words.append((before + text, min(sure, also), box))
        else:
            words.append(piece)
    return words


def _touch(before: Piece, after: Piece) -> bool:
    """Whether they may be one word: 번호 30291847 is not, but 제3차 and 2026년."""
    long_number = after[0][0].isdigit() and len(after[0]) > _SHORT_NUMBER
    return not long_number and (is_hangul(before[0][-1]) or is_hangul(after[0][0]))


def is_hangul(character: str) -> bool:
    """A syllable, or a letter of one."""
    return "가" <= character <= "힣" or "ᄀ" <= character <= "ᇿ" or "㄰" <= character <= "㆏"
