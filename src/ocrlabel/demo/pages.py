"""The demo's documents: what is on them, what became of them, and which file they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from random import Random

from PIL import Image

from ocrlabel.demo import papers
from ocrlabel.demo.sheet import Sheet
from ocrlabel.demo.wear import Wear, worn
from ocrlabel.labels import Page

_CLEAN = Wear()
_SCAN = Wear(tilt_degrees=0.6, grain=0.06)
_BAD_SCAN = Wear(tilt_degrees=-1.8, grain=0.16, blur_px=0.6)
_PHOTO = Wear(tilt_degrees=2.5, grain=0.08, shadow=0.45, blur_px=0.9)

Paper = Callable[[Random], Sheet]

_PLAN: tuple[tuple[Paper, Wear, str], ...] = (
    (papers.receipt, _PHOTO, "jpg"),
    (papers.receipt, _SCAN, "jpg"),
    (papers.receipt, _BAD_SCAN, "jpg"),
    (papers.receipt, _PHOTO, "jpg"),
    (papers.receipt, _CLEAN, "png"),
    (papers.receipt, _PHOTO, "webp"),
    (papers.receipt, _BAD_SCAN, "jpg"),
    (papers.form, _SCAN, "jpg"),
    (papers.form, _BAD_SCAN, "jpg"),
    (papers.form, _PHOTO, "jpg"),
    (papers.form, _CLEAN, "png"),
    (papers.form, _SCAN, "bmp"),
    (papers.letter, _SCAN, "jpg"),
    (papers.letter, _BAD_SCAN, "jpg"),
    (papers.letter, _PHOTO, "jpg"),
    (papers.letter, _SCAN, "png"),
    (papers.letter, _CLEAN, "jpg"),
    (papers.delivery_note, _SCAN, "jpg"),
    (papers.delivery_note, _BAD_SCAN, "jpg"),
    (papers.delivery_note, _PHOTO, "jpg"),
    (papers.blank, _SCAN, "jpg"),
)
_TWO_PAGES: tuple[tuple[Paper, Wear], ...] = (
    (papers.letter, _SCAN),
    (papers.delivery_note, _SCAN),
)
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP"}


@dataclass(frozen=True, slots=True)
class DemoDocument:
    """A file, and what stands on its pages. kind: receipt, form, letter, ..."""

    name: str
    kind: str
    data: bytes
    pages: tuple[Page, ...]


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
