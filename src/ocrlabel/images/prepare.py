"""An image as an engine is given it: a file that it takes, or upright RGB pages.

A file is changed only where it does not fit as it is. Pages are in memory one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

from PIL import TiffImagePlugin
from PIL.Image import Image

from ocrlabel.errors import Unreadable
from ocrlabel.images import pdf, pillow
from ocrlabel.images.headers import HeaderFacts, check_integrity, inspect
from ocrlabel.images.identify import identify
from ocrlabel.images.limits import LOCAL_LIMITS, Accepts, ImageLimits, check_bytes
from ocrlabel.labels import Document, FailureClass

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_JPEG_QUALITY = 95
_PNG_LEVEL = 3  # of zlib: a tenth bigger than the usual 6, in a third of the time


def prepare(data: bytes, accepts: Accepts) -> Document:
    """The image itself, byte for byte, where the engine takes it so; else re-encoded upright.

    Re-encoded is what EXIF turns, what has another format or more bytes than the engine takes,
    float TIFFs, and pictures of 10 or 12 bits in 16. It becomes PNG with the same pixels, or JPEG
    where PNG would have too many bytes; of an animation the first frame; pages of a TIFF stay
    pages of a TIFF.

    Raises Unreadable, also for an image that is cut off.
    """
    facts = inspect(data, replace(accepts.limits, max_bytes=len(data)))
    must_change = facts.turned or facts.animated or _is_black_to_others(data, facts, accepts)
    taken = facts.format in accepts.formats and not must_change
    if taken and len(data) <= accepts.limits.max_bytes:
        check_integrity(data, facts.format, accepts.limits)
        return Document(data, facts.format, facts.page_count, facts.page_sizes_px)
    if facts.format == "pdf" or facts.page_count > 1:
        return _many_pages(data, facts, accepts)
    if facts.format == "heic":
        image = pillow.to_rgb(pillow.upright_heic(data, accepts.limits.max_pixels_per_page))
    else:
        image = next(_upright_pages(data, facts.format, accepts))
    encoded, format_ = _smallest_fit(image, accepts)
    return Document(encoded, format_, 1, (image.size,))


def _is_black_to_others(data: bytes, facts: HeaderFacts, accepts: Accepts) -> bool:
    """Float and 32-bit pages, and those of 16 bits that use fewer."""
    if ";16" not in facts.mode:
        return facts.mode in {"F", "I"}
    for picture in pillow.open_pages(data, facts.format, accepts.limits):
        with pillow.decoding(facts.format):
            if 2 * pillow.decoded_bytes(picture) <= pillow.MAX_DECODED_BYTES:
                picture.load()
                if pillow.is_dim(picture):
                    return True
    return False


def _many_pages(data: bytes, facts: HeaderFacts, accepts: Accepts) -> Document:
    if facts.format not in accepts.formats:
        raise Unreadable(
            f"the engine does not take {facts.format.upper()} documents; "
            "give their pages as single images",
            failure=FailureClass.UNSUPPORTED,
        )
    if facts.format == "tiff":
        data = _turned_tiff(data, accepts)
    check_bytes(len(data), accepts.limits.max_bytes)
    return Document(data, facts.format, facts.page_count, facts.page_sizes_px)


def _upright_pages(data: bytes, format_: str, accepts: Accepts) -> Iterator[Image]:
    for picture in pillow.open_pages(data, format_, accepts.limits):
        if 2 * pillow.decoded_bytes(picture) > pillow.MAX_DECODED_BYTES:
            raise Unreadable(
                f"it would have to be turned or re-encoded, and {picture.width} x {picture.height} "
                "pixels are too many for that; store it upright, as JPEG or PNG",
                failure=FailureClass.TOO_MANY_PIXELS,
            )
        with pillow.decoding(format_):
            image = pillow.decoded_upright(picture)
            if image.mode not in _PNG_MODES or pillow.is_dim(image):
                image = pillow.to_rgb(image)
        # The tag has done its work, and a profile of CMYK would not fit RGB.
        image.info = {key: image.info[key] for key in image.info if key == "transparency"}
        yield image


def _smallest_fit(image: Image, accepts: Accepts) -> tuple[bytes, str]:
    """PNG if it is taken and fits, else JPEG."""
    encoded, format_ = b"", ""
    if "png" in accepts.formats:
        encoded, format_ = _saved(image, "PNG", compress_level=_PNG_LEVEL), "png"
    if (not encoded or len(encoded) > accepts.limits.max_bytes) and "jpeg" in accepts.formats:
        flat = image if image.mode == "L" else pillow.to_rgb(image)
        encoded = _saved(flat, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        format_ = "jpeg"
    check_bytes(len(encoded), accepts.limits.max_bytes)
    return encoded, format_


def _saved(image: Image, format_: str, **options: int) -> bytes:
    out = BytesIO()
    with pillow.decoding(format_):
        image.save(out, format_, **options)
    return out.getvalue()


def _turned_tiff(data: bytes, accepts: Accepts) -> bytes:
    out = BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as writer:
        for page in _upright_pages(data, "tiff", accepts):
            with pillow.decoding("tiff"):
                page.save(writer, "TIFF", compression="tiff_adobe_deflate")
                writer.newFrame()
    return out.getvalue()


def upright_pages(
    data: bytes, limits: ImageLimits = LOCAL_LIMITS, *, dpi: float = pdf.DPI
) -> Iterator[Image]:
    """The pixels of every page of a document; of an animation the first frame.

    dpi: the raster of PDF pages. Raises Unreadable, at the page where it happens.
    """
    for image, _ in sized_pages(data, limits, dpi=dpi):
        yield image
        del image  # or its pixels stay beside the next page's


def sized_pages(
    data: bytes, limits: ImageLimits = LOCAL_LIMITS, *, dpi: float = pdf.DPI
) -> Iterator[tuple[Image, tuple[int, int]]]:
    """The same with each page's own size, which a JPEG over the limit on decoded pixels keeps."""
    check_bytes(len(data), limits.max_bytes)
    format_ = identify(data)
    if format_ == "pdf":
        for drawn in pdf.render_pages(data, limits, dpi=dpi):
            yield drawn, drawn.size
            del drawn
        return
    if format_ == "heic":
        photo = pillow.to_rgb(pillow.upright_heic(data, limits.max_pixels_per_page))
        yield photo, photo.size
        return
    for picture in pillow.open_pages(data, format_, limits):
        with pillow.decoding(format_):
            size_px = pillow.upright_size(picture)
        pillow.shrink(picture, data, limits.max_pixels_per_page)
        with pillow.decoding(format_):
            image = pillow.to_rgb(pillow.decoded_upright(picture))
        del picture  # or the file's own pixels stay beside the RGB ones while the page is read
        yield image, size_px
        del image
