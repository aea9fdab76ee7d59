"""What happens to a page before it becomes a file: a tilt, grain, a shadow, a weak lens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageChops, ImageFilter

from ocrlabel.labels import Point, Word

_PAPER = 244


@dataclass(frozen=True, slots=True)
class Wear:
    """tilt_degrees: counter-clockwise. grain, shadow: 0 to 1. blur_px: radius of the lens."""

    tilt_degrees: float = 0.0
    grain: float = 0.0
    shadow: float = 0.0
    blur_px: float = 0.0


def worn(
    image: Image.Image, words: Sequence[Word], wear: Wear, rng: Random
) -> tuple[Image.Image, tuple[Word, ...]]:
    """The page after it, and its words where they are now."""
    if wear.tilt_degrees:
        centre = (image.width / 2, image.height / 2)
        image = image.rotate(wear.tilt_degrees, Image.Resampling.BICUBIC, fillcolor=_PAPER)
        words = [
            replace(
                word,
                polygon=tuple(turned(point, centre, wear.tilt_degrees) for point in word.polygon),
            )
            for word in words
        ]
    if wear.blur_px:
        image = image.filter(ImageFilter.GaussianBlur(wear.blur_px))
    if wear.shadow:
        image = _shaded(image, wear.shadow)
    if wear.grain:
        noise = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
        image = Image.blend(image, noise, wear.grain)
    return image, tuple(words)


def turned(point: Point, centre: Point, degrees: float) -> Point:
    """Where a point goes when the page turns counter-clockwise; y points down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = point[0] - centre[0], point[1] - centre[1]
    return (
        round(centre[0] + x * cosine + y * sine, 2),
        round(centre[1] - x * sine + y * cosine, 2),
    )


def _shaded(image: Image.Image, strength: float) -> Image.Image:
    """Darker towards the bottom, as a page photographed under a lamp."""
    dark = round(255 * strength)
    shade = Image.linear_gradient("L").point(lambda value: 255 - value * dark / 255)
    return ImageChops.multiply(image, shade.resize(image.size))
