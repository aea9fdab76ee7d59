"""Pages as an engine of our own sees them: upright, RGB, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrlabel.dataset.pixels import heic, pdf
from ocrlabel.dataset.pixels.limits import LOCAL, Limits, check_bytes
from ocrlabel.dataset.pixels.pictures import decoded_upright, decoding, open_pages, upright_size
from ocrlabel.dataset.pixels.rgb import to_rgb
from ocrlabel.dataset.pixels.shrunk import shrink
from ocrlabel.dataset.pixels.sniff import known

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class UprightPage:
    """A page's pixels in RGB, and its size when it is decoded in full."""

    image: Image
    width_px: int
    height_px: int


def upright_pages(data: bytes, limits: Limits = LOCAL, *, dpi: float = pdf.DPI) -> Iterator[Image]:
    """The pixels of every page of a document; of an animation the first frame.

    dpi: the raster of PDF pages. Raises Unreadable, at the page where it happens.
    """
    for page in sized_pages(data, limits, dpi=dpi):
        image = page.image
        del page  # or its pixels stay beside the next page's
        yield image


def sized_pages(
    data: bytes, limits: Limits = LOCAL, *, dpi: float = pdf.DPI
) -> Iterator[UprightPage]:
    """The same with each page's own size, which a JPEG over the limit on decoded pixels keeps."""
    check_bytes(len(data), limits.max_bytes)
    format_ = known(data)
    if format_ == "pdf":
        for drawn in pdf.render_pages(data, limits, dpi=dpi):
            yield UprightPage(drawn, *drawn.size)
            del drawn
        return
    if format_ == "heic":
        photo = to_rgb(heic.upright_heic(data, limits.max_pixels_per_page))
        yield UprightPage(photo, *photo.size)
        return
    for picture in open_pages(data, format_, limits):
        with decoding(format_):
            size_px = upright_size(picture)
        shrink(picture, data, limits.max_pixels_per_page)
        with decoding(format_):
            page = UprightPage(to_rgb(decoded_upright(picture)), *size_px)
        del picture  # or the file's own pixels stay beside the RGB ones while the page is read
        yield page
        del page
