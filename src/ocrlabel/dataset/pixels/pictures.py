"""Opening images with Pillow, so that whatever is wrong with them ends as Unreadable."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.Image import DecompressionBombError, Image, Transpose

from ocrlabel.dataset.pixels import png
from ocrlabel.dataset.pixels.limits import Limits, check_pages, check_pixels
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_DECODED_BYTES = 400_000_000
"""What the pixels of one page may take in memory while a file is made fit for an engine."""

ORIENTATION = 0x0112
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # 4 for all others
_EXIF = b"Exif\0\0"

# The classes themselves, not Image.open: that one refuses what is over a limit of the whole
# process, and takes a JPEG with a second picture inside for a document of two.
_OPENERS: dict[str, type[ImageFile]] = {
    "avif": AvifImagePlugin.AvifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}

# What decoders raise when they are fed garbage; each was seen from one of them.
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    DecompressionBombError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


# What decoders say, and what it means to somebody who does not know them.
_PLAIN_WORDS = (
    ("truncated", "its data ends early"),
    ("incomplete", "its data ends early"),
    ("not identified by this driver", "its header ends early, or is damaged"),
    ("checksum", "it was damaged: a checksum is wrong"),
    ("-bit layers", "it has more bits a pixel than can be read here"),
    ("-layer images", "it has more colour channels than can be read here"),
)


def _in_plain_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    said = str(error).lower()
    return next((plain for sign, plain in _PLAIN_WORDS if sign in said), "its data is damaged")


@contextmanager
def decoding(format_: str) -> Iterator[None]:
    """Inside, a decoder's errors become Unreadable, and its warnings are not shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _DECODER_ERRORS as error:
        why = _in_plain_words(error)
        raise Unreadable(
            f"it is broken {format_.upper()}: {why}", failure=FailureClass.CORRUPT
        ) from error


def open_picture(data: bytes, format_: str, page: int = 0) -> ImageFile:
    """One page (from 0; only TIFF has more than the first), its header read, nothing decoded.

    Raises EOFError past the last page; to be used inside `decoding`.
    """
    picture = _OPENERS[format_](BytesIO(data))
    if page:
        picture.seek(page)
    if block := png.exif(data) if format_ == "png" else b"":
        picture.info.setdefault("exif", _EXIF + block)
    return picture


def open_pages(data: bytes, format_: str, limits: Limits) -> Iterator[ImageFile]:
    """Each page as `open_picture` gives it, within the limits on pages and pixels.

    Every page is opened by itself, so that its pixels are gone when the next one is read.
    """
    pages = 0
    while True:
        with decoding(format_):
            try:
                picture = open_picture(data, format_, pages)
            except EOFError:
                break
        pages += 1
        check_pages(pages, limits.max_pages)
        check_pixels(*picture.size, limits.max_pixels_of(format_), page=pages)
        yield picture
        if format_ != "tiff":
            break
    check_pages(pages, limits.max_pages)


def orientation_of(picture: ImageFile) -> int:
    """How the pixels lie, 1 to 8 as EXIF counts; garbage counts as upright."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        found = picture.tag_v2.get(ORIENTATION, 1)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Pillow's PNG class would decode the whole picture to look for it behind the pixels
                found = Image.getexif(picture).get(ORIENTATION, 1)
        except _DECODER_ERRORS:
            return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def upright_size(picture: ImageFile) -> tuple[int, int]:
    """(width, height) in px once the page is turned."""
    width_px, height_px = picture.size
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return width_px, height_px  # Pillow names and decodes TIFF pages upright
    return (height_px, width_px) if orientation_of(picture) >= 5 else (width_px, height_px)


def decoded_bytes(picture: Image) -> int:
    """What its pixels take in memory once they are decoded."""
    return picture.width * picture.height * _BYTES_PER_PIXEL.get(picture.mode, 4)


def decoded_upright(picture: ImageFile) -> Image:
    """The page's pixels in the file's own mode, upright; to be used inside `decoding`."""
    turn = _TURNS.get(orientation_of(picture))
    by_pillow = isinstance(picture, TiffImagePlugin.TiffImageFile)
    picture.load()
    return picture if turn is None or by_pillow else picture.transpose(turn)
