"""A page being written: every word is drawn by itself, and remembered with its polygon."""

from __future__ import annotations

from functools import cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from ocrlabel.errors import ConfigError
from ocrlabel.labels import Word

_WHITE = 255


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """The typeface that Pillow carries (Aileron): no font of the system is needed."""
    found = ImageFont.load_default(size_px)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise ConfigError("this Pillow cannot draw text in sizes: pip install --upgrade pillow")
    return found


def height(size_px: int) -> int:
    """From the highest to the lowest letter, in px."""
    ascent, descent = font(size_px).getmetrics()
    return ascent + descent


class Sheet:
    """A white gray-scale page. ink: how dark, 0 is black."""

    def __init__(self, width_px: int, height_px: int, ink: int = 0) -> None:
        self.image = Image.new("L", (width_px, height_px), _WHITE)
        self.words: list[Word] = []
        self._draw = ImageDraw.Draw(self.image)
        self._ink = ink

    @property
    def width_px(self) -> int:
        """Of the page."""
        return self.image.width

    @property
    def height_px(self) -> int:
        """Of the page."""
        return self.image.height

    def write(
        self, x: float, y: float, text: str, size_px: int, align: Literal["left", "right"] = "left"
    ) -> None:
        """Words in one line; x is the end at which they are aligned, y the top of the line."""
        space = length("n", size_px) * 0.55
        words = text.split()
        if align == "right":
            x -= sum(length(word, size_px) for word in words) + space * (len(words) - 1)
        for word in words:
            self._word(x, y, word, size_px)
            x += length(word, size_px) + space

    def rule(self, x0: float, x1: float, y: float, width_px: int = 2) -> None:
        """A horizontal line."""
        self._draw.line([(x0, y), (x1, y)], fill=self._ink, width=width_px)

    def frame(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """An empty box, as forms have them."""
        self._draw.rectangle([(x0, y0), (x1, y1)], outline=self._ink, width=2)

    def scribble(self, x: float, y: float, width_px: float, height_px: float) -> None:
        """A signature: something that is written and is no word."""
        steps = [(0, 0.6), (0.15, 0.1), (0.25, 0.9), (0.4, 0.3), (0.5, 0.7), (0.7, 0.4), (1, 0.5)]
        line = [(x + a * width_px, y + b * height_px) for a, b in steps]
        self._draw.line(line, fill=self._ink, width=3, joint="curve")

    def _word(self, x: float, y: float, word: str, size_px: int) -> None:
        self._draw.text((x, y), word, fill=self._ink, font=font(size_px))
        # Across as wide as the ink, down as high as a line of the typeface: the way a PDF's text
        # layer has it.
        left, _, right, _ = font(size_px).getbbox(word)
        x0, x1, y0, y1 = x + left, x + right, y, y + height(size_px)
        self.words.append(Word(word, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), None))


def length(text: str, size_px: int) -> float:
    """How far the text runs, in px."""
    return float(font(size_px).getlength(text))
