"""Whether an image is all there, before money is spent on it.

Headers do not show a file that was cut off. Where the format tells where it ends, that is looked
at, which takes no time; only what looks odd is decoded to see.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from PIL import TiffImagePlugin

from ocrlabel.dataset.pixels.limits import Limits
from ocrlabel.dataset.pixels.pictures import (
    MAX_DECODED_BYTES,
    decoded_bytes,
    decoding,
    open_pages,
    open_picture,
)
from ocrlabel.dataset.pixels.png import chunks
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

_STRIPS = (273, 279)  # where the pixels are and how many bytes, by strips and by tiles
_TILES = (324, 325)


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
