"""Pages too long and thin for rapidocr, made a shape that it can read."""

from __future__ import annotations

from math import ceil

_MOST_TIMES_WIDER = 100
_MOST_TIMES_TALLER = 8
_NO_LETTERS_TIMES = 250


def padded_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The page's size with empty space to the right or below, so that it is not too thin.

    rapidocr scales a page to at most 2,000 px and at least 30 px, in steps of 32: of 20,000 x 2 px
    that makes 2,000 x 0, which it refuses. Its detector then scales the short side up to 736 px:
    of a strip 30 x 2,000 px that makes 36 megapixels, several GB and a minute and a half. Wide
    pages it pads by itself beforehand, tall ones not. Up to 8 times taller than wide, as long
    receipts are, they stay as they are and take no more than a square page.
    """
    return (
        max(width_px, ceil(height_px / _MOST_TIMES_TALLER)),
        max(height_px, ceil(width_px / _MOST_TIMES_WIDER)),
    )


def has_room_for_letters(width_px: int, height_px: int) -> bool:
    """False for a hairline, of which less than 8 px are left when its length is 2,000 px."""
    return max(width_px, height_px) <= _NO_LETTERS_TIMES * min(width_px, height_px)
