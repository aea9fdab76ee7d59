"""Pages too long and thin for rapidocr, made a shape that it can read."""

from __future__ import annotations

from math import ceil

_MOST_TIMES_LONGER = 100


def padded_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The page's size with empty space to the right or below, so that it is not too thin.

    rapidocr scales a page to at most 2,000 px and at least 30 px, in steps of 32: of 20,000 x 2 px
    that makes 2,000 x 0, which it refuses, and of 2,000 x 2 px 30,000 x 30, for which its detector
    takes several GB. No page at most 100 times longer than wide meets either, and those stay as
    they are.
    """
    if width_px >= height_px:
        return width_px, max(height_px, ceil(width_px / _MOST_TIMES_LONGER))
    return max(width_px, ceil(height_px / _MOST_TIMES_LONGER)), height_px
