"""Pages as the labels saw them: upright, single, at the size that the table says.

The polygons are in pixels of the upright page. So an image that is upright, single and of a kind
that every reader opens is handed on byte for byte; a page of a PDF or TIFF, an image turned by its
EXIF tag, or of a rarer kind, is handed on as the upright picture (PNG).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocrlabel.dataset.pixels.images import Limits, inspect, sniff, upright_pages
from ocrlabel.dataset.pixels.pdf import DPI
from ocrlabel.dataset.tables.rows import LabelRow
from ocrlabel.errors import Unreadable
from ocrlabel.export.base import ImageFile, NoImage

if TYPE_CHECKING:
    from PIL.Image import Image

_AS_THEY_ARE = {"jpeg": ".jpg", "png": ".png"}
# It was labelled once, so it may be as large as any engine takes.
_LIMITS = Limits(max_bytes=500_000_000, max_pages=1000)


class OpenDocument:
    """One document, decoded page by page; pages asked for in order are decoded once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._dpi: float = DPI
        self._rewind()

    def file(self, row: LabelRow) -> ImageFile:
        """Return the row's page as a file. Raises NoImage."""
        if suffix := self._suffix_as_is(row):
            return ImageFile(self._data, suffix)
        out = io.BytesIO()
        self.pixels(row).save(out, "PNG")
        return ImageFile(out.getvalue(), ".png")

    def pixels(self, row: LabelRow) -> Image:
        """Return the row's page in RGB. Raises NoImage when it is not the one labelled."""
        page = self._page(row)
        if row.width_px <= 0 or page.size == (row.width_px, row.height_px):
            return page
        if sniff(self._data) == "pdf" and _is_same_shape(page, row):
            return self._redrawn(page, row)
        raise NoImage(
            f"{row.image_path or row.id} is {page.width}x{page.height} px,"
            f" the labels are for {row.width_px}x{row.height_px}"
        )

    def _suffix_as_is(self, row: LabelRow) -> str:
        """Return the suffix if the bytes can be handed on, else "". Only reads the headers."""
        try:
            facts = inspect(self._data, _LIMITS)
        except Unreadable as error:
            raise NoImage(f"{row.image_path or row.id}: {error}") from error
        fits = row.width_px <= 0 or (row.width_px, row.height_px) in facts.page_sizes_px
        as_it_is = fits and not facts.turned and facts.page_count == row.page == 1
        return _AS_THEY_ARE.get(facts.format, "") if as_it_is else ""

    def _redrawn(self, page: Image, row: LabelRow) -> Image:
        """Return a PDF's page at the raster of the labels; drawing may round by a pixel."""
        if abs(page.width - row.width_px) > 1 or abs(page.height - row.height_px) > 1:
            self._dpi *= row.width_px / page.width
            self._rewind()
            page = self._page(row)
        return page.resize((row.width_px, row.height_px))

    def _page(self, row: LabelRow) -> Image:
        if row.page < self._next:
            self._rewind()
        try:
            for page in self._pages:
                self._next += 1
                if self._next == row.page + 1:
                    return page
        except Unreadable as error:
            raise NoImage(f"{row.image_path or row.id}: {error}") from error
        raise NoImage(f"{row.image_path or row.id} has no page {row.page}")

    def _rewind(self) -> None:
        self._next = 1
        self._pages: Iterator[Image] = upright_pages(self._data, _LIMITS, dpi=self._dpi)


def _is_same_shape(page: Image, row: LabelRow) -> bool:
    wanted = row.height_px / row.width_px
    return abs(page.height / page.width - wanted) < 0.01 * wanted
