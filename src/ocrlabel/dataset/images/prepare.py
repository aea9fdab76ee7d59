"""Making an image fit for an engine that takes files, and only where it does not fit already."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import TiffImagePlugin

from ocrlabel.dataset.images import pdf, pillow
from ocrlabel.dataset.images.identify import (
    LOCAL,
    Accepts,
    Limits,
    check_bytes,
    check_pixels,
    chunks,
    known,
    sniff,
)
from ocrlabel.dataset.images.pillow import (
    MAX_DECODED_BYTES,
    decoded_bytes,
    decoded_upright,
    decoding,
    open_pages,
    open_picture,
    orientation_of,
    shrink,
    to_rgb,
    upright_size,
)
from ocrlabel.engines.base import Document
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LOCAL", "Accepts", "Facts", "Limits", "inspect", "prepare", "sniff", "upright_pages"]

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_JPEG_QUALITY = 95
_PNG_LEVEL = 3  # of zlib: a tenth bigger than the usual 6, in a third of the time
_STRIPS = (273, 279)  # where the pixels are and how many bytes, by strips and by tiles
_TILES = (324, 325)


def prepare(data: bytes, accepts: Accepts) -> Document:
    """The image itself, byte for byte, where the engine takes it so; else re-encoded upright.

    Re-encoded is what EXIF turns, what has another format or more bytes than the engine takes,
    and float TIFFs. It becomes PNG with the same pixels, or JPEG where PNG would have too many
    bytes; of an animation the first frame; pages of a TIFF stay pages of a TIFF.

    Raises Unreadable, also for an image that is cut off.
    """
    facts = inspect(data, replace(accepts.limits, max_bytes=len(data)))
    taken = facts.format in accepts.formats and not _must_change(facts)
    if taken and len(data) <= accepts.max_bytes:
        check_whole(data, facts.format, accepts.limits)
        return Document(data, facts.format, facts.page_count, facts.page_sizes_px)
    if facts.format == "pdf" or facts.page_count > 1:
        return _many_pages(data, facts, accepts)
    image = _upright(data, facts, accepts)
    encoded, format_ = _smallest_fit(image, accepts)
    return Document(encoded, format_, 1, (image.size,))


def _must_change(facts: Facts) -> bool:
    return facts.turned or facts.animated or facts.mode == "F"


def _many_pages(data: bytes, facts: Facts, accepts: Accepts) -> Document:
    if facts.format not in accepts.formats:
        raise Unreadable(
            f"the engine does not take {facts.format.upper()} documents; "
            "give their pages as single images",
            failure=FailureClass.UNSUPPORTED,
        )
    if facts.format == "tiff":
        data = _turned_tiff(data, accepts)
    check_bytes(len(data), accepts.max_bytes)
    return Document(data, facts.format, facts.page_count, facts.page_sizes_px)


def _upright(data: bytes, facts: Facts, accepts: Accepts) -> Image:
    if facts.format == "heic":
        return to_rgb(pillow.upright_heic(data, accepts.max_pixels_per_page))
    return next(_upright_pages(data, facts.format, accepts))


def _upright_pages(data: bytes, format_: str, accepts: Accepts) -> Iterator[Image]:
    for picture in open_pages(data, format_, accepts.limits):
        _check_memory(picture)
        with decoding(format_):
            image = decoded_upright(picture)
            if image.mode not in _PNG_MODES:
                image = to_rgb(image)
        # The tag has done its work, and a profile of CMYK would not fit RGB.
        image.info = {key: image.info[key] for key in image.info if key == "transparency"}
        yield image


def _check_memory(picture: Image) -> None:
    if 2 * decoded_bytes(picture) > MAX_DECODED_BYTES:
        raise Unreadable(
            f"it would have to be turned or re-encoded, and {picture.width} x {picture.height} "
            "pixels are too many for that; store it upright, as JPEG or PNG",
            failure=FailureClass.TOO_MANY_PIXELS,
        )


def _smallest_fit(image: Image, accepts: Accepts) -> tuple[bytes, str]:
    """PNG if it is taken and fits, else JPEG."""
    encoded, format_ = b"", ""
    if "png" in accepts.formats:
        encoded, format_ = _saved(image, "PNG", compress_level=_PNG_LEVEL), "png"
    if (not encoded or len(encoded) > accepts.max_bytes) and "jpeg" in accepts.formats:
        flat = image if image.mode == "L" else to_rgb(image)
        encoded = _saved(flat, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        format_ = "jpeg"
    check_bytes(len(encoded), accepts.max_bytes)
    return encoded, format_


def _saved(image: Image, format_: str, **options: int) -> bytes:
    out = BytesIO()
    with decoding(format_):
        image.save(out, format_, **options)
    return out.getvalue()


def _turned_tiff(data: bytes, accepts: Accepts) -> bytes:
    out = BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as writer:
        for page in _upright_pages(data, "tiff", accepts):
            with decoding("tiff"):
                page.save(writer, "TIFF", compression="tiff_adobe_deflate")
                writer.newFrame()
    return out.getvalue()


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
        photo = to_rgb(pillow.upright_heic(data, limits.max_pixels_per_page))
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


@dataclass(frozen=True, slots=True)
class Facts:
    """An image before it is decoded.

    page_sizes_px: (width, height) of each page when upright; empty where it depends on who draws
    it (PDF) or is known only after decoding (HEIC). orientation: of the first page, as EXIF
    counts. turned: some page is not stored upright. mode: Pillow's name, "" for PDF and HEIC.
    """

    format: str
    page_count: int
    page_sizes_px: tuple[tuple[int, int], ...] = ()
    orientation: int = 1
    turned: bool = False
    mode: str = ""
    animated: bool = False


def inspect(data: bytes, limits: Limits) -> Facts:
    """Read the headers. Raises Unreadable, with the class that says why."""
    check_bytes(len(data), limits.max_bytes)
    format_ = known(data)
    if format_ == "pdf":
        return Facts("pdf", pdf.count_pages(data, limits))
    if format_ == "heic":
        check_pixels(*pillow.stated_size(data), limits.max_pixels_per_page)
        return Facts("heic", 1)
    sizes: list[tuple[int, int]] = []
    turns: list[int] = []
    mode, animated = "", False
    for picture in open_pages(data, format_, limits):
        with decoding(format_):
            if not sizes:
                mode = picture.mode
                animated = format_ != "tiff" and getattr(picture, "is_animated", False)
            sizes.append(upright_size(picture))
            turns.append(orientation_of(picture))
    return Facts(
        format=format_,
        page_count=len(sizes),
        page_sizes_px=tuple(sizes),
        orientation=turns[0],
        turned=any(turn != 1 for turn in turns),
        mode=mode,
        animated=animated,
    )


def check_whole(data: bytes, format_: str, limits: Limits) -> None:
    """Raises Unreadable when the pixels are not all there."""
    looks_whole = _ENDS.get(format_)
    if looks_whole is None or looks_whole(data):
        return
    for picture in open_pages(data, format_, limits):
        if decoded_bytes(picture) > MAX_DECODED_BYTES:
            raise Unreadable(
                f"the {format_.upper()} does not end as it should", failure=FailureClass.CORRUPT
            )
        with decoding(format_):
            picture.load()


def _jpeg_ends(data: bytes) -> bool:
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1]
        if marker == 0xDA:  # the pixels begin; inside them FF D9 can only be the end
            return data.find(b"\xff\xd9", at) > 0
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 2 > len(data):
            break
    return False


def _png_ends(data: bytes) -> bool:
    for chunk in chunks(data):
        if chunk.name[:1].isupper() and zlib.crc32(chunk.body, zlib.crc32(chunk.name)) != chunk.crc:
            return False
        if chunk.name == b"IEND":
            return True
    return False


def _webp_ends(data: bytes) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _boxes_end(data: bytes) -> bool:
    """HEIC: boxes one after the other, each with its size; the last may say 0 for "the rest"."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return True
        if size < 8:
            return False
        at += size
    return at == len(data)


def _tiff_ends(data: bytes) -> bool:
    with decoding("tiff"):
        page = 0
        while True:
            try:
                picture = open_picture(data, "tiff", page)
            except EOFError:
                return page > 0
            if not isinstance(picture, TiffImagePlugin.TiffImageFile):
                return False
            if not _all_parts_inside(picture.tag_v2, len(data)):
                return False
            page += 1


def _all_parts_inside(tags: TiffImagePlugin.ImageFileDirectory_v2, size_bytes: int) -> bool:
    for where, how_many in (_STRIPS, _TILES):
        if where in tags and how_many in tags:
            parts = zip(tags[where], tags[how_many], strict=False)
            return all(start + length <= size_bytes for start, length in parts)
    return False


# A PDF's end is looked for by PDFium itself. Formats that are in no list are decoded.
_ENDS: dict[str, Callable[[bytes], bool] | None] = {
    "avif": _boxes_end,
    "bmp": lambda _: False,
    "gif": lambda _: False,
    "heic": _boxes_end,
    "jpeg": _jpeg_ends,
    "pdf": None,
    "png": _png_ends,
    "tiff": _tiff_ends,
    "webp": _webp_ends,
}
