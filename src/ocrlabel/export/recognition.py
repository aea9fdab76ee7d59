"""Recognition sets: each word cut out of its page and set upright, whatever way it stood.

What the formats of recognisers share (`paddleocr_rec`, `lmdb_set`): which words a recogniser can
learn from, the crop of each, and the file of characters. Left out, and counted: do-not-care words,
words without a text, texts with tabs or line breaks, too long or outside the charset, crops too
small, words of which less than half is on the page, characters that mean nothing.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Protocol

from PIL import Image

from ocrlabel.characters import LINE_BREAKS, has_no_meaning
from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import OUTSIDE, ExportPage, ExportWord
from ocrlabel.export.formats import ExportOptions, ImageFinder, NoImage
from ocrlabel.export.geometry import is_convex, quad, rectangle, sides
from ocrlabel.export.output_folder import OutputFolder
from ocrlabel.export.session import Closable, ExportSession
from ocrlabel.labels import Polygon

_JPEG_QUALITY = 95
_LEAST_ON_PAGE = 0.5
# The least width of a character that stands level, of the height of its word's box.
_SQUARE, _NARROW = 1 / 2, 1 / 7


class SampleSet(Closable, Protocol):
    """One split's samples in the files of a format."""

    def add(self, page: ExportPage, number: int, image: bytes, text: str) -> None:
        """Write a sample: the page's word of this number, counted from 1, as JPEG and text."""
        ...


def export_samples(
    session: ExportSession,
    rows: Iterator[LabelRow],
    open_set: Callable[[OutputFolder, str], SampleSet],
) -> None:
    """Write a sample set for each split that has samples, and dict.txt.

    Raises ConfigError without images.
    """
    images = session.required_images()
    seen: set[str] = set(session.options.charset or ())
    sets_of = session.by_split(lambda split: open_set(session.folder, split))
    for page in session.pages(rows):
        kept: list[ExportWord] = []
        for word, image in _crops(session, page, images):
            kept.append(word)
            sets_of(page.split).add(page, len(kept), image, word.text)
            seen.update(word.text)
        session.counts.images += len(kept)
        if kept:
            session.listed(page, f"{page.split}/{page.stem}", kept=kept)
    write_charset(session.folder.path("dict.txt"), seen)


def _crops(
    session: ExportSession, page: ExportPage, images: ImageFinder
) -> Iterator[tuple[ExportWord, bytes]]:
    """Return the page's words that a recogniser can learn from, each with its crop as JPEG.

    The others are counted with the reason. A page whose image is missing has none.
    """
    options = session.options
    reasons = [_why_not(word, page, options) for word in page.words]
    session.counts.left_out.update(why for why in reasons if why)
    fit = [word for word, why in zip(page.words, reasons, strict=True) if why is None]
    if not fit:
        return
    try:
        pixels = images.pixels(page.row)
    except NoImage as error:
        session.missing(page, str(error))
        return
    for word in fit:
        image = crop(pixels, word.polygon if word.on_page == 1 else rectangle(word.polygon))
        if options.vertical == "turn" and stands_upright(word, page):
            image = image.transpose(Image.Transpose.ROTATE_90)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=_JPEG_QUALITY)
        yield word, out.getvalue()


def _why_not(word: ExportWord, page: ExportPage, options: ExportOptions) -> str | None:
    if not word.text and (word.changed or not word.ignored):
        return "no_text"
    if word.ignored:
        return "do_not_care"
    if word.on_page < _LEAST_ON_PAGE:
        return OUTSIDE
    if min(sides(word.corners)) < options.min_crop_px:
        return "too_small"
    if options.vertical == "leave-out" and stands_upright(word, page):
        return "vertical"
    return why_unfit(word.text, options)


def why_unfit(text: str, options: ExportOptions) -> str | None:
    """Why a recognition set leaves this text out; None when it fits.

    Its label files are lines with tabs, so a text with either has no place in them.
    """
    if any(c in text for c in LINE_BREAKS + "\t"):
        return "line_break_or_tab"
    if has_no_meaning(text):
        return "private_or_unassigned_character"
    if len(text) > options.max_length:
        return "too_long"
    if options.charset is not None and not options.charset.issuperset(text):
        return "not_in_charset"
    return None


def stands_upright(word: ExportWord, page: ExportPage) -> bool:
    """Whether a word is a column of characters, or lies on its side, in a box that stands.

    Its box is at least 1.5 times as tall as wide, and too narrow for its characters to stand side
    by side in it. Where none of them is a square one (Hangul, Han, kana), it is also 1.5 times as
    tall as a line of that page usually is: "it" is not, nor a word whose box came out narrow.
    """
    width, height = sides(word.corners)
    if len(word.text) < 2 or height < 1.5 * width:
        return False
    square = [unicodedata.east_asian_width(c) in {"W", "F"} for c in word.text]
    if width > height * sum(_SQUARE if each else _NARROW for each in square):
        return False
    return any(square) or height > 1.5 * median(min(sides(each.corners)) for each in page.words)


def crop(pixels: Image.Image, polygon: Polygon) -> Image.Image:
    """Return the polygon's text line lying level, at the size that it has on the page.

    The corners are moved by a perspective, from the polygon's first point as the top left; a shape
    that no perspective maps (crossed or hollow) is cut out by its smallest rotated rectangle.
    """
    corners = quad(polygon)
    if not is_convex(corners):
        corners = rectangle(polygon)
    width, height = (max(1, round(side)) for side in sides(corners))
    return pixels.transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        _perspective(corners, width, height),
        resample=Image.Resampling.BICUBIC,
    )


def _perspective(corners: Polygon, width: int, height: int) -> tuple[float, ...]:
    """Return Pillow's eight coefficients that map the crop's pixels to the page's.

    The map of the unit square onto a quadrilateral (Heckbert 1989, section 2.2.3).
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g = (sx * dy2 - dx2 * sy) / area
    h = (dx1 * sy - sx * dy1) / area
    return (
        (x1 - x0 + g * x1) / width,
        (x3 - x0 + h * x3) / height,
        x0,
        (y1 - y0 + g * y1) / width,
        (y3 - y0 + h * y3) / height,
        y0,
        g / width,
        h / height,
    )


def read_charset(path: Path) -> frozenset[str]:
    """Read a charset file: one character a line, or all on one line. A space always counts.

    Raises ConfigError when the file cannot be read or holds nothing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--charset {path} cannot be read: {error}") from error
    # as texts are: a Mac writes Hangul in its parts
    characters = frozenset(unicodedata.normalize("NFC", text)) - {"\n", "\r", "\t"}
    if not characters:
        raise ConfigError(f"--charset {path} holds no characters\n  write one a line, in UTF-8")
    return characters | {" "}


def write_charset(path: Path, characters: Iterable[str]) -> None:
    """Write one character a line, in code point order, as PaddleOCR's character_dict_path wants.

    The space is not written: PaddleOCR adds it itself (use_space_char).
    """
    lines = [f"{c}\n" for c in sorted(set(characters) - {" "})]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
