"""The demo's documents: drawn, worn, and written to a folder with the truth about them.

A sheet (receipt, form, letter, delivery note, or nothing at all) is drawn word by word, each
remembered with its polygon; then it is worn (tilt, grain, a shadow, a weak lens), and its polygons
with it. Every name, address and number is made up. The truth is written to truth.jsonl as
`ocrlabel evaluate` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Literal

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from ocrlabel.errors import ConfigError
from ocrlabel.export.geometry import turned
from ocrlabel.labels import Page, Polygon, Word

_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP"}
_WHITE = 255
SHOPS = ("CORNER BAKERY", "RIVER BOOKS", "GREEN LEAF MARKET", "HARBOUR HARDWARE", "SUNNY CAFE")
STREETS = ("Mill Lane", "Station Road", "Harbour Street", "Park Avenue", "Church Hill")
TOWNS = ("Northfield", "Eastbridge", "Westport", "Southgate", "Lakeside")
PEOPLE = ("A. Miller", "J. Turner", "K. Baker", "M. Fisher", "S. Carter", "T. Mason")
GOODS = (
    "Bread rolls", "Whole milk", "Ground coffee", "Green apples", "Paper towels", "Olive oil",
    "Note book A5", "Ball pen blue", "Wood screws", "Light bulb", "Orange juice", "Cheddar",
    "Tomato soup", "Batteries AA", "Dish soap", "Black tea", "Rice", "Masking tape",
)  # fmt: skip
FIELDS = (
    "Surname", "First name", "Date of birth", "Street", "Town", "Postcode", "Telephone",
    "Customer number", "Order number", "Account", "Department", "Reason", "Quantity", "Signed on",
)  # fmt: skip
SENTENCES = (
    "Thank you for your letter of last week about the delivery that arrived late.",
    "We have looked into the matter and found that two boxes were left at the depot.",
    "The missing items will be sent to you by courier at no extra cost.",
    "Please check the enclosed list and return the signed copy within ten days.",
    "Our new opening hours are from 8:30 to 17:00, Monday to Friday.",
    "The invoice number is printed in the top right corner of every page.",
    "If you have any further questions, do not hesitate to call our office.",
    "A refund of 24.50 has been credited to your account.",
    "The meeting has been moved to the second floor, room 214.",
    "All prices include sales tax and are valid until the end of the year.",
    "Kindly note that the warranty covers parts and labour for 36 months.",
    "We would be glad to welcome you at our stand again next spring.",
)
_PAPER = 244


@dataclass(frozen=True, slots=True)
class DemoDocument:
    """A file, and what stands on its pages. kind: receipt, form, letter, ..."""

    name: str
    kind: str
    data: bytes
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where things lie. truth: the pages by (file name, page number)."""

    images: Path
    truth_path: Path
    truth: dict[tuple[str, int], Page]
    kinds: dict[str, str]


def write_folder(documents: Iterable[DemoDocument], folder: Path) -> DemoFolder:
    """Write every document, and one line of truth for each of its pages."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    written = DemoFolder(images, folder / "truth.jsonl", {}, {})
    lines: list[str] = []
    for document in documents:
        (images / document.name).write_bytes(document.data)
        written.kinds[document.name] = document.kind
        for page in document.pages:
            written.truth[document.name, page.number] = page
            lines.append(json.dumps(_line(document, page)))
    written.truth_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _line(document: DemoDocument, page: Page) -> dict[str, object]:
    return {
        "image": f"images/{document.name}",
        "width": page.width_px,
        "height": page.height_px,
        "page": page.number,
        "level": "word",
        "kind": document.kind,
        "words": [{"text": word.text, "polygon": word.polygon} for word in page.words],
    }


def documents(seed: int) -> Iterator[DemoDocument]:
    """The same seed gives the same pages; one has nothing on it, the last has two pages."""
    for number, (paper, wear, ending) in enumerate(_PLAN, 1):
        image, page = _page(paper, wear, 1, Random(f"{seed}/{number}"))
        name = f"{number:02d}_{paper.__name__}.{ending}"
        yield DemoDocument(name, paper.__name__, _encoded([image], _FORMATS[ending]), (page,))
    drawn = [
        _page(paper, wear, number, Random(f"{seed}/tiff/{number}"))
        for number, (paper, wear) in enumerate(_TWO_PAGES, 1)
    ]
    yield DemoDocument(
        f"{len(_PLAN) + 1:02d}_two_pages.tiff",
        "two_pages",
        _encoded([image for image, _ in drawn], "TIFF"),
        tuple(page for _, page in drawn),
    )


def _page(paper: Paper, wear: Wear, number: int, rng: Random) -> tuple[Image.Image, Page]:
    sheet = paper(rng)
    image, words = worn(sheet.image, sheet.words, wear, rng)
    return image, Page(number, image.width, image.height, words)


def _encoded(images: list[Image.Image], format_: str) -> bytes:
    file = BytesIO()
    first, rest = images[0], images[1:]
    if format_ == "TIFF":
        first.save(file, format_, save_all=True, append_images=rest, compression="tiff_deflate")
    else:
        first.save(file, format_, quality=62)
    return file.getvalue()


def receipt(rng: Random) -> Sheet:
    """A till receipt: narrow, prices on the right."""
    items = rng.sample(GOODS, rng.randint(5, 12))
    size = rng.choice((24, 28, 32))
    step = size * 1.5
    sheet = Sheet(size * 24, int(step * (len(items) + 14)), ink=rng.randint(10, 70))
    left, right, y = size * 1.5, sheet.width_px - size * 1.5, step
    street, town = address(rng)
    for line, line_size in ((rng.choice(SHOPS), int(size * 1.3)), (street, size), (town, size)):
        sheet.write((sheet.width_px - length(line, line_size)) / 2, y, line, line_size)
        y += step * 1.15
    sheet.write(left, y, f"Date {date(rng)}", size)
    sheet.write(right, y, f"No. {rng.randint(1000, 9999)}", size, "right")
    y += step * 1.3
    sheet.rule(left, right, y)
    y += step * 0.5
    total = 0
    for item in items:
        cents = rng.randint(45, 3999)
        total += cents
        sheet.write(left, y, item, size)
        sheet.write(right, y, money(cents), size, "right")
        y += step
    sheet.rule(left, right, y + size * 0.3)
    y += step
    sheet.write(left, y, "TOTAL", int(size * 1.3))
    sheet.write(right, y, money(total), int(size * 1.3), "right")
    y += step * 1.4
    sheet.write(left, y, f"Tax 10% {money(total // 11)}", size)
    sheet.write(left, y + step * 1.5, "Thank you, please come again!", size)
    return sheet


def form(rng: Random) -> Sheet:
    """A filled-in form: labels, boxes, answers."""
    size = rng.choice((22, 26, 30))
    fields = rng.sample(FIELDS, 9)
    sheet = Sheet(size * 40, size * 46)
    left, middle, right = size * 3, size * 14, sheet.width_px - size * 3
    sheet.write(
        left, size * 2, rng.choice(("RETURN FORM", "ORDER FORM", "CHANGE OF ADDRESS")), size * 2
    )
    sheet.write(right, size * 2.3, f"Form {rng.randint(100, 999)}-B", size, "right")
    sheet.write(left, size * 5, "Please use black ink and capital letters.", size)
    y = size * 8.0
    for field in fields:
        sheet.write(left, y, field, size)
        sheet.frame(middle, y - size * 0.6, right, y + size * 1.8)
        sheet.write(middle + size, y, answer(field, rng), size)
        y += size * 3.4
    sheet.scribble(middle, y, size * 9, size * 3)
    sheet.rule(middle, right, y + size * 3)
    sheet.write(middle, y + size * 3.4, "Signature", int(size * 0.8))
    return sheet


def letter(rng: Random) -> Sheet:
    """A page of running text at about 150 dpi, A4."""
    size = rng.choice((22, 24, 26))
    sheet = Sheet(1240, 1754, ink=rng.randint(0, 40))
    left, right, y = 130.0, 1110.0, 130.0
    for line in (rng.choice(PEOPLE), *address(rng)):
        sheet.write(left, y, line, size)
        y += size * 1.5
    sheet.write(right, 130, date(rng), size, "right")
    y += size * 3
    sheet.write(left, y, f"Your order {rng.randint(10_000, 99_999)}", int(size * 1.25))
    y += size * 3
    for _ in range(rng.randint(2, 4)):
        for line in _wrapped(" ".join(rng.sample(SENTENCES, 4)), size, right - left):
            sheet.write(left, y, line, size)
            y += size * 1.5
        y += size
    sheet.write(left, y + size, "Yours sincerely,", size)
    sheet.scribble(left, y + size * 3, size * 8, size * 3)
    sheet.write(left, y + size * 7, rng.choice(PEOPLE), size)
    return sheet


def delivery_note(rng: Random) -> Sheet:
    """A table with small print at about 150 dpi: four columns."""
    size = 26
    sheet = Sheet(1240, 1400)
    left, right = 90, 1150
    sheet.write(left, 60, "DELIVERY NOTE", size * 2)
    sheet.write(right, 72, f"{rng.randint(100_000, 999_999)}", size, "right")
    columns, y = (left, 210, 900, right), 200.0
    for x, title in zip(columns, ("Pos.", "Article", "Pieces", "Price"), strict=True):
        sheet.write(x, y, title, size, "left" if x < 500 else "right")
    for position, item in enumerate(rng.sample(GOODS, 14), 1):
        y += size * 2.6
        sheet.rule(left, right, y - size * 0.7, 1)
        sheet.write(left, y, str(position), size)
        sheet.write(210, y, item, size)
        sheet.write(900, y, str(rng.randint(1, 40)), size, "right")
        sheet.write(right, y, money(rng.randint(99, 9999)), size, "right")
    sheet.write(left, y + size * 4, "Received in good order and condition", int(size * 0.8))
    return sheet


def blank(_rng: Random) -> Sheet:
    """The back of a page: nothing on it."""
    return Sheet(827, 1169)


def _wrapped(text: str, size_px: int, width_px: float) -> list[str]:
    """Lines that fit the width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer, size_px) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


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


Paper = Callable[[Random], Sheet]


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


def length(text: str, size_px: int) -> float:
    """How far the text runs, in px."""
    return float(font(size_px).getlength(text))


def date(rng: Random) -> str:
    """A day in 2025."""
    return f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def money(cents: int) -> str:
    """An amount with two decimals, as 12.50."""
    return f"{cents // 100}.{cents % 100:02d}"


def address(rng: Random) -> tuple[str, str]:
    """A street with number, and a town with postcode."""
    return (
        f"{rng.randint(1, 180)} {rng.choice(STREETS)}",
        f"{rng.choice(TOWNS)} {rng.randint(10_000, 99_999)}",
    )


def answer(field: str, rng: Random) -> str:
    """What somebody filled in."""
    person = rng.choice(PEOPLE)
    known = {
        "Surname": person.split()[1],
        "First name": person.split()[0],
        "Date of birth": f"19{rng.randint(50, 99)}{date(rng)[4:]}",
        "Street": address(rng)[0],
        "Town": rng.choice(TOWNS),
        "Telephone": f"0{rng.randint(20, 89)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}",
        "Department": rng.choice(("Sales", "Service", "Accounts", "Returns")),
        "Reason": rng.choice(("wrong size", "late delivery", "damaged parcel", "double order")),
        "Quantity": str(rng.randint(1, 12)),
        "Signed on": date(rng),
    }
    return known.get(field) or str(rng.randint(10_000, 999_999))


@dataclass(frozen=True, slots=True)
class Wear:
    """tilt_degrees: counter-clockwise. grain, shadow: 0 to 1. blur_px: radius of the lens."""

    tilt_degrees: float = 0.0
    grain: float = 0.0
    shadow: float = 0.0
    blur_px: float = 0.0


_CLEAN = Wear()
_SCAN = Wear(tilt_degrees=0.6, grain=0.06)
_BAD_SCAN = Wear(tilt_degrees=-1.8, grain=0.16, blur_px=0.6)
_PHOTO = Wear(tilt_degrees=2.5, grain=0.08, shadow=0.45, blur_px=0.9)
_PLAN: tuple[tuple[Paper, Wear, str], ...] = (
    (receipt, _PHOTO, "jpg"),
    (receipt, _SCAN, "jpg"),
    (receipt, _BAD_SCAN, "jpg"),
    (receipt, _PHOTO, "jpg"),
    (receipt, _CLEAN, "png"),
    (receipt, _PHOTO, "webp"),
    (receipt, _BAD_SCAN, "jpg"),
    (form, _SCAN, "jpg"),
    (form, _BAD_SCAN, "jpg"),
    (form, _PHOTO, "jpg"),
    (form, _CLEAN, "png"),
    (form, _SCAN, "bmp"),
    (letter, _SCAN, "jpg"),
    (letter, _BAD_SCAN, "jpg"),
    (letter, _PHOTO, "jpg"),
    (letter, _SCAN, "png"),
    (letter, _CLEAN, "jpg"),
    (delivery_note, _SCAN, "jpg"),
    (delivery_note, _BAD_SCAN, "jpg"),
    (delivery_note, _PHOTO, "jpg"),
    (blank, _SCAN, "jpg"),
)
_TWO_PAGES: tuple[tuple[Paper, Wear], ...] = ((letter, _SCAN), (delivery_note, _SCAN))


def worn(
    image: Image.Image, words: Sequence[Word], wear: Wear, rng: Random
) -> tuple[Image.Image, tuple[Word, ...]]:
    """The page after it, and its words where they are now."""
    if wear.tilt_degrees:
        centre = (image.width / 2, image.height / 2)
        image = image.rotate(wear.tilt_degrees, Image.Resampling.BICUBIC, fillcolor=_PAPER)
        words = [
            replace(word, polygon=_rounded(turned(word.polygon, -wear.tilt_degrees, centre)))
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


def _rounded(polygon: Polygon) -> Polygon:
    return tuple((round(x, 2), round(y, 2)) for x, y in polygon)


def _shaded(image: Image.Image, strength: float) -> Image.Image:
    """Darker towards the bottom, as a page photographed under a lamp."""
    dark = round(255 * strength)
    shade = Image.linear_gradient("L").point(lambda value: 255 - value * dark / 255)
    return ImageChops.multiply(image, shade.resize(image.size))
