"""CLEval end to end: how many characters of the truth the boxes that belong to it have read."""

from __future__ import annotations

from collections.abc import Sequence

from ocrlabel.quality.cleval_boxes import CharBoxes, Held
from ocrlabel.quality.cleval_match import Matched


def found_characters(truths: CharBoxes, reads: CharBoxes, on: Held, matched: Matched) -> int:
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
        order = _in_order(boxes, i, on)
        for character in common(truths.texts[i], "".join(left[j] for j in order)):
            holder = next(j for j in order if character in left[j])
            left[holder] = left[holder].replace(character, "", 1)
            found += 1
    return found


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


def _in_order(boxes: Sequence[int], truth: int, on: Held) -> list[int]:
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
