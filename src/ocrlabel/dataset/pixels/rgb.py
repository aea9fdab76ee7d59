"""Any colour mode -> 8-bit RGB as a person would see it on white paper."""

from __future__ import annotations

import math
from typing import cast

from PIL import Image

_WHITE = (255, 255, 255)
_SHORT = 65535


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB with alpha laid on white, and 16-bit and float values scaled, not cut off.

    May be the image itself when it is RGB already.
    """
    if image.mode.startswith("I;16"):
        short = image if image.mode == "I;16" else image.convert("I")
        image = _scaled(short, 0, _SHORT)
    elif image.mode in {"I", "F"}:
        image = _scaled(image, *_white_and_black(image))
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _white_and_black(image: Image.Image) -> tuple[float, float]:
    """What counts as black and as white: the usual ranges, else the darkest and the lightest."""
    low, high = (float(value) for value in cast("tuple[float, float]", image.getextrema()))
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0, 1
    for white in (1, 255, _SHORT):
        if low >= 0 and high <= white and (white > 1 or image.mode == "F"):
            return 0, white
    return low, high


def _scaled(image: Image.Image, black: float, white: float) -> Image.Image:
    factor = 255 / (white - black) if white > black else 0
    # Pillow evaluates the function once, on a symbol: only a * x + b is possible.
    return image.point(lambda value: value * factor + -black * factor).convert("L")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    coloured = image if image.mode == "RGBA" else image.convert("RGBA")
    paper = Image.new("RGB", coloured.size, _WHITE)
    paper.paste(coloured, mask=coloured)
    return paper
