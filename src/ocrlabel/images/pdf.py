"""PDF documents with pypdfium2: how many pages, how big, and their pixels.

PDFium is not thread-safe: one document at a time in a process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pypdfium2
from PIL.Image import Image

from ocrlabel.errors import Unreadable
from ocrlabel.images.limits import ImageLimits, check_pages, check_pixels
from ocrlabel.images.pillow import decoding
from ocrlabel.labels import FailureClass

DPI = 150
"""The raster at which the Upstage API reads a PDF (confirmed by a recorded answer); ours is the
same, so polygons compare."""

_PASSWORD = 4  # FPDF_ERR_PASSWORD
_WHY = {3: "its structure is damaged", 5: "it is locked in a way that is not known here"}
_POINTS_PER_INCH = 72


def count_pages(data: bytes, limits: ImageLimits) -> int:
    """The number of pages. Raises Unreadable, also for a page whose raster would be too big."""
    with _opened(data) as document:
        return _checked(document, limits, DPI)


def render_pages(data: bytes, limits: ImageLimits, *, dpi: float) -> Iterator[Image]:
    """Each page in RGB, one in memory at a time, with what was filled into its forms."""
    with _opened(data) as document:
        pages = _checked(document, limits, dpi)
        with decoding("pdf"):
            document.init_forms()
        for number in range(pages):
            with decoding("pdf"):
                image = _render(document, number, dpi)
            yield image


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise Unreadable(
                "the PDF is locked with a password", failure=FailureClass.ENCRYPTED
            ) from error
        why = _WHY.get(error.err_code, "it cannot be opened")
        raise Unreadable(f"it is a broken PDF: {why}", failure=FailureClass.CORRUPT) from error
    with closing(document):
        yield document


def _checked(document: Any, limits: ImageLimits, dpi: float) -> int:
    with decoding("pdf"):
        pages = len(document)
    check_pages(pages, limits.max_pages)
    for number in range(pages):
        with decoding("pdf"):
            width, height = document.get_page_size(number)
        check_pixels(
            math.ceil(width * dpi / _POINTS_PER_INCH),
            math.ceil(height * dpi / _POINTS_PER_INCH),
            limits.max_pixels_per_page,
            page=number + 1,
        )
    return pages


def _render(document: Any, number: int, dpi: float) -> Image:
    with closing(document[number]) as page:
        bitmap = page.render(scale=dpi / _POINTS_PER_INCH, rev_byteorder=True)
        image: Image = bitmap.to_pil()
        bitmap.close()
    return image
