"""Pages as an engine of our own sees them: upright, RGB, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocrlabel.dataset import heic, pdf
from ocrlabel.dataset.limits import LOCAL, Limits, check_bytes
from ocrlabel.dataset.pictures import decoded_upright, decoding, open_pages
from ocrlabel.dataset.rgb import to_rgb
from ocrlabel.dataset.sniff import known

if TYPE_CHECKING:
    from PIL.Image import Image


def upright_pages(data: bytes, limits: Limits = LOCAL, *, dpi: float = pdf.DPI) -> Iterator[Image]:
    """Every page of a document; of an animation the first frame.

    dpi: the raster of PDF pages. Raises Unreadable, at the page where it happens.
    """
    check_bytes(len(data), limits.max_bytes)
    format_ = known(data)
    if format_ == "pdf":
        yield from pdf.render_pages(data, limits, dpi=dpi)
        return
    if format_ == "heic":
        yield to_rgb(heic.upright_heic(data, limits.max_pixels_per_page))
        return
    for picture in open_pages(data, format_, limits):
        with decoding(format_):
            page = to_rgb(decoded_upright(picture))
        del picture  # or the file's own pixels stay beside the RGB ones while the page is read
        yield page
