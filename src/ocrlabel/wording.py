"""How counts are said to people."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """1 image, 1,200 images. many: the plural where it is not made with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
