"""What can be known of an image without decoding it: its header facts, and whether it is whole.

Headers do not show a file that was cut off, so `check_integrity` looks before money is spent on
it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import TiffImagePlugin

from ocrlabel.errors import Unreadable
from ocrlabel.images import pdf, pillow
from ocrlabel.images.identify import identify
from ocrlabel.images.limits import ImageLimits, check_bytes, check_pixels
from ocrlabel.labels import FailureClass

_STRIPS = (273, 279)  # where the pixels are and how many bytes, by strips and by tiles
_TILES = (324, 325)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """An image before it is decoded.

    page_sizes_px: (width, height) of each page when upright; empty where it depends on who draws
    it (PDF) or is known only after decoding (HEIC). orientation: of the first page, as EXIF
    counts. turned: some page is not stored upright. mode: as `pillow.mode_of`, "" for PDF and HEIC.
    transparent: the first page has an alpha channel, or a colour that is seen through.
    """

    format: str
    page_count: int
    page_sizes_px: tuple[tuple[int, int], ...] = ()
    orientation: int = 1
    turned: bool = False
    mode: str = ""
    animated: bool = False
    transparent: bool = False


def inspect(data: bytes, limits: ImageLimits) -> HeaderFacts:
    """Read the headers. Raises Unreadable, with the class that says why."""
    check_bytes(len(data), limits.max_bytes)
    format_ = identify(data)
    if format_ == "pdf":
        return HeaderFacts("pdf", pdf.count_pages(data, limits))
    if format_ == "heic":
        check_pixels(*pillow.stated_size(data), limits.max_pixels_per_page)
        return HeaderFacts("heic", 1)
    sizes: list[tuple[int, int]] = []
    turns: list[int] = []
    mode, animated, transparent = "", False, False
    for picture in pillow.open_pages(data, format_, limits):
        with pillow.decoding(format_):
            if not sizes:
                mode, transparent = pillow.mode_of(picture), picture.has_transparency_data
                animated = format_ != "tiff" and getattr(picture, "is_animated", False)
            sizes.append(pillow.upright_size(picture))
            turns.append(pillow.orientation_of(picture))
    return HeaderFacts(
        format=format_,
        page_count=len(sizes),
        page_sizes_px=tuple(sizes),
        orientation=turns[0],
        turned=any(turn != 1 for turn in turns),
        mode=mode,
        animated=animated,
        transparent=transparent,
    )


def check_integrity(data: bytes, format_: str, limits: ImageLimits) -> None:
    """Raises Unreadable when the pixels are not all there.

    Where the format tells where it ends, that is looked at, which takes no time; only what looks
    odd is decoded to see.
    """
    is_whole = _INTEGRITY_CHECKS.get(format_)
    if is_whole is None or is_whole(data):
        return
    for picture in pillow.open_pages(data, format_, limits):
        if pillow.decoded_bytes(picture) > pillow.MAX_DECODED_BYTES:
            raise Unreadable(
                f"the {format_.upper()} does not end as it should", failure=FailureClass.CORRUPT
            )
        with pillow.decoding(format_):
            picture.load()


def _jpeg_is_whole(data: bytes) -> bool:
    at = pillow.start_of_scan(data)
    # the pixels begin there; inside them FF D9 can only be the end
    return at is not None and data.find(b"\xff\xd9", at) > 0


def _png_is_whole(data: bytes) -> bool:
    for name, body, crc in pillow.png_chunks(data):
        if name[:1].isupper() and zlib.crc32(body, zlib.crc32(name)) != crc:
            return False
        if name == b"IEND":
            return True
    return False


def _boxes_are_whole(data: bytes) -> bool:
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


def _tiff_is_whole(data: bytes) -> bool:
    with pillow.decoding("tiff"):
        page = 0
        while True:
            try:
                picture = pillow.open_picture(data, "tiff", page)
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


# None: PDFium looks for a PDF's end itself. BMP and GIF do not tell: they are always decoded.
_INTEGRITY_CHECKS: dict[str, Callable[[bytes], bool] | None] = {
    "avif": _boxes_are_whole,
    "bmp": lambda _: False,
    "gif": lambda _: False,
    "heic": _boxes_are_whole,
    "jpeg": _jpeg_is_whole,
    "pdf": None,
    "png": _png_is_whole,
    "tiff": _tiff_is_whole,
    "webp": lambda data: int.from_bytes(data[4:8], "little") + 8 <= len(data),
}
