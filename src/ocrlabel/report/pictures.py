"""Images of pages as data URIs: small enough that a hundred of them fit into one file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Protocol

from ocrlabel.dataset.tables.rows import LabelRow

if TYPE_CHECKING:
    from PIL.Image import Image

BUDGET_BYTES = 24_000_000
# The longest side in px and JPEG's quality, from the best to what is still worth a look.
_LADDER = ((1800, 80), (1400, 72), (1100, 66), (800, 60), (560, 50), (320, 40))


class ImageReader(Protocol):
    """Finds the image of a page; `export.images.Images` is one."""

    def pixels(self, row: LabelRow) -> Image:
        """The upright page in RGB. Raises NoImage."""
        ...


class Pictures:
    """Hands out what is left of a number of bytes, page by page.

    pages: how many are still to come; each may take an equal share of what is left, so that pages
    of little detail leave room for the others.
    """

    def __init__(self, pages: int, budget_bytes: int = BUDGET_BYTES) -> None:
        self._pages = pages
        self._left_bytes = budget_bytes * 3 // 4  # base64 writes 4 characters for 3 bytes
        self._start = 0

    def without(self) -> None:
        """A page has no image: its share goes to the others."""
        self._pages -= 1

    def data_uri(self, page: Image) -> str | None:
        """The page as a JPEG, shrunk to its share; None where even the smallest is too large."""
        share = self._left_bytes // max(1, self._pages)
        self._pages -= 1
        for rung in range(self._start, len(_LADDER)):
            data = _jpeg(page, *_LADDER[rung])
            if len(data) <= share:
                self._left_bytes -= len(data)
                self._start = max(0, rung - 1)  # pages of one table are alike: encode few times
                return "data:image/jpeg;base64," + base64.b64encode(data).decode()
        return None


def _jpeg(page: Image, side_px: int, quality: int) -> bytes:
    from PIL.Image import Resampling  # noqa: PLC0415 - a report of numbers loads no Pillow

    shrink = side_px / max(page.size)
    if shrink < 1:
        size = (max(1, round(page.width * shrink)), max(1, round(page.height * shrink)))
        # HAMMING is as sharp as text needs, in half the time of Pillow's default
        page = page.resize(size, Resampling.HAMMING, reducing_gap=2.0)
    out = io.BytesIO()
    page.save(out, "JPEG", quality=quality)
    return out.getvalue()
