"""Pixels with Pillow: pages opened, turned upright, made RGB; all errors become Unreadable.

JPEGs with more pixels than may be decoded are decoded smaller: at a half, a quarter or an eighth
of width and height, without the full pixels ever being there. HEIC photos, as telephones make
them, need the extra `heic` for their pixels, and nothing for their size.
"""

from __future__ import annotations

import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import cast

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
from PIL.Image import new as new_image
from PIL.ImageFile import ImageFile

from ocrlabel.errors import Unreadable
from ocrlabel.images.limits import ImageLimits, check_pages, check_pixels
from ocrlabel.labels import FailureClass

MAX_DECODED_BYTES = 400_000_000
"""What the pixels of one page may take in memory while a file is made fit for an engine."""

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_MAX_SAMPLE_VALUE = 281
_PNG_BIT_DEPTH_AT = 24
_COLOURS = frozenset({"RGB", "RGBA", "RGBX", "LA"})
_DEEP = "16 bits a colour"
_WHITE_IS_ZERO = "white is zero"
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # 4 for all others
_EXIF = b"Exif\0\0"
_PNG_SIGNATURE_BYTES = 8
_BYTES_AROUND_CHUNK = 12  # length, name and checksum
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
_WHITE = (255, 255, 255)
_SHORT = 65535
_FACTORS = (1, 2, 4, 8)  # by which a JPEG can be decoded smaller
_MAX_HELD_BYTES = 200_000_000  # coefficients of a JPEG that comes in several scans
_COEFFICIENT_BYTES = 2
_START_OF_SCAN = 0xDA
# The size of one picture of the file, or of a tile of one: version, width, height.
_SIZE_BOX = re.compile(rb"ispe\0\0\0\0(....)(....)", re.DOTALL)


def open_pages(data: bytes, format_: str, limits: ImageLimits) -> Iterator[ImageFile]:
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
        in_jpegs = limits.max_pixels_per_jpeg if format_ == "jpeg" else 0
        check_pixels(*picture.size, max(limits.max_pixels_per_page, in_jpegs), page=pages)
        yield picture
        if format_ != "tiff":
            break
    check_pages(pages, limits.max_pages)


def open_picture(data: bytes, format_: str, page: int = 0) -> ImageFile:
    """One page (from 0; only TIFF has more than the first), its header read, nothing decoded.

    Raises EOFError past the last page; to be used inside `decoding`.
    """
    picture = _OPENERS[format_](BytesIO(data))
    if page:
        picture.seek(page)
    if format_ == "png":  # the block may stand before or after the pixels
        blocks = (body for name, body, _ in png_chunks(data) if name == b"eXIf")
        if block := bytes(next(blocks, b"")):
            picture.info.setdefault("exif", _EXIF + block)
    if picture.mode.startswith("I;16"):
        picture.info["white"] = _stated_white(picture, data)
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and picture.mode[0] in "IF":
        # of 8 bits and fewer Pillow turns it round itself
        picture.info[_WHITE_IS_ZERO] = picture.tag_v2.get(_PHOTOMETRIC) == 0
    if picture.mode in _COLOURS:
        picture.info[_DEEP] = _bits_a_sample(picture, data, format_) == 16
    return picture


def _bits_a_sample(picture: ImageFile, data: bytes, format_: str) -> int:
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return max(cast("tuple[int, ...]", picture.tag_v2.get(_BITS_PER_SAMPLE, (8,))))
    return data[_PNG_BIT_DEPTH_AT] if format_ == "png" else 8


def mode_of(picture: ImageFile) -> str:
    """Pillow's name, with ";16" behind it where a colour has 16 bits, of which Pillow reads 8."""
    return f"{picture.mode};16" if picture.info.get(_DEEP) else picture.mode


def _stated_white(picture: ImageFile, data: bytes) -> int:
    """What a file of 16 bits says that its lightest value may be; 0 where it says nothing."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        stated = picture.tag_v2.get(_MAX_SAMPLE_VALUE)
        values = stated if isinstance(stated, tuple) else ()
        return max((v for v in values if isinstance(v, int)), default=0)
    bits = next((body[:1] for name, body, _ in png_chunks(data) if name == b"sBIT"), b"")
    return (1 << int.from_bytes(bits)) - 1


def upright_size(picture: ImageFile) -> tuple[int, int]:
    """(width, height) in px once the page is turned."""
    width_px, height_px = picture.size
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return width_px, height_px  # Pillow names and decodes TIFF pages upright
    return (height_px, width_px) if orientation_of(picture) >= 5 else (width_px, height_px)


def orientation_of(picture: ImageFile) -> int:
    """How the pixels lie, 1 to 8 as EXIF counts; garbage counts as upright."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        found = picture.tag_v2.get(_ORIENTATION, 1)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Pillow's PNG class would decode the whole picture to look for it behind the pixels
                found = Image.getexif(picture).get(_ORIENTATION, 1)
        except _DECODER_ERRORS:
            return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def decoded_upright(picture: ImageFile) -> Image:
    """The page's pixels in the file's own mode, upright; to be used inside `decoding`."""
    turn = _TURNS.get(orientation_of(picture))
    by_pillow = isinstance(picture, TiffImagePlugin.TiffImageFile)
    picture.load()
    return picture if turn is None or by_pillow else picture.transpose(turn)


def decoded_bytes(picture: Image) -> int:
    """What its pixels take in memory once they are decoded."""
    return picture.width * picture.height * _BYTES_PER_PIXEL.get(picture.mode, 4)


def to_rgb(image: Image) -> Image:
    """RGB with alpha laid on white, and 16-bit and float values scaled, not cut off.

    May be the image itself when it is RGB already.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _plain(image)
        black, white = _black_and_white(image)
        if image.info.get(_WHITE_IS_ZERO):
            black, white = white, black
        factor = 255 / (white - black) if white != black else 0
        # Pillow evaluates the function once, on a symbol: only a * x + b is possible.
        image = image.point(lambda value: value * factor + -black * factor).convert("L")
    if image.info.get(_DEEP):
        whites = _white_of_high_bytes(image)
        image = image.point([min(255, v * 255 // white) for white in whites for v in range(256)])
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def is_dim(image: Image) -> bool:
    """Whether it has 16 bits a colour and uses fewer: who takes all 16 for it sees it black."""
    if image.info.get(_DEEP):
        return any(white < 255 for white in _white_of_high_bytes(image))
    return image.mode.startswith("I;16") and _black_and_white(_plain(image)) != (0, _SHORT)


def _plain(image: Image) -> Image:
    """Of 16 bits in the machine's own order, or of 32: Pillow reads no values of others."""
    return image if image.mode in {"I;16", "I", "F"} else image.convert("I")


def _black_and_white(image: Image) -> tuple[float, float]:
    """What counts as black and as white.

    What the file says, else the least of the usual ranges (8, 10, 12, 14 and 16 bits) that holds
    every value, else the darkest and the lightest.
    """
    low, high = (float(value) for value in cast("tuple[float, float]", image.getextrema()))
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0, 1
    if low == high == 0:
        return 0, _SHORT
    if high <= image.info.get("white", 0) < _SHORT:
        return 0, image.info["white"]
    for white in (1, 255, 1023, 4095, 16383, _SHORT):
        if low >= 0 and high <= white and (white > 1 or image.mode == "F"):
            return 0, white
    return low, high


def _white_of_high_bytes(image: Image) -> list[int]:
    """By band, the high byte of what counts as white: all colours alike, and alpha by itself.

    Raises Unreadable where only the low bytes hold anything, which Pillow does not read.
    """
    highest = [cast("tuple[int, int]", band.getextrema())[1] for band in image.split()]
    colours = len(highest) - ("A" in image.getbands())
    if not any(highest[:colours]):
        raise Unreadable(
            "it has 16 bits a colour and uses the lowest 8 at most; save it with 8 bits a colour",
            failure=FailureClass.UNSUPPORTED,
        )
    together = [max(highest[:colours])] * colours + highest[colours:]
    return [next(white for white in (3, 15, 63, 255) if high <= white) for high in together]


def _on_white(image: Image) -> Image:
    if image.mode == "La":
        image = image.convert("LA")
    coloured = image if image.mode == "RGBA" else image.convert("RGBA")
    paper = new_image("RGB", coloured.size, _WHITE)
    paper.paste(coloured, mask=coloured)
    return paper


def shrink(picture: Image, data: bytes, max_pixels: int) -> None:
    """Let a JPEG that is not decoded yet come out with at most max_pixels; others stay.

    Raises Unreadable for one in several scans that is too big even so.
    """
    width_px, height_px = picture.size
    factor = next(
        (factor for factor in _FACTORS if width_px * height_px <= max_pixels * factor**2),
        _FACTORS[-1],
    )
    if factor == 1 or not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return
    with decoding("jpeg"):
        held_bytes = _held_bytes(picture, data)
        picture.draft(None, (width_px // factor or 1, height_px // factor or 1))
    if held_bytes > _MAX_HELD_BYTES:
        raise Unreadable(
            f"it has {width_px * height_px / 1e6:.0f} megapixels, which is too many for a "
            "progressive JPEG; store it as a baseline JPEG",
            failure=FailureClass.TOO_MANY_PIXELS,
        )


def _held_bytes(picture: JpegImagePlugin.JpegImageFile, data: bytes) -> int:
    layers = picture.layer  # of each: name, samples across and down, table
    at = start_of_scan(data)
    in_first_scan = data[at + 4] if at is not None and at + 4 < len(data) else 0
    if not picture.info.get("progressive") and in_first_scan == len(layers):
        return 0
    most_across = max(layer[1] for layer in layers)
    most_down = max(layer[2] for layer in layers)
    samples = sum(layer[1] * layer[2] for layer in layers)
    whole = picture.width * picture.height * _COEFFICIENT_BYTES
    return whole * samples // (most_across * most_down)


def start_of_scan(data: bytes) -> int | None:
    """Where the pixels of a JPEG begin; None where they do not."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 1 < len(data):
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return at
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def upright_heic(data: bytes, max_pixels: int) -> Image:
    """The main picture; turning is part of the format, and done by the decoder."""
    check_pixels(*stated_size(data), max_pixels)
    try:
        import pillow_heif  # noqa: PLC0415 -- only the extra has it
    except ModuleNotFoundError as error:
        raise Unreadable(
            "reading HEIC needs one more package: in the clone, pip install '.[heic]'",
            failure=FailureClass.UNSUPPORTED,
        ) from error
    with decoding("heic"):
        image: Image = pillow_heif.open_heif(data).to_pillow()
    return image


def stated_size(data: bytes) -> tuple[int, int]:
    """The biggest size that the file's own boxes name, before any turning. Needs no extra.

    Raises Unreadable when it names none.
    """
    sizes = [
        (int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        for width, height in _SIZE_BOX.findall(data)
    ]
    if not sizes:
        raise Unreadable("it is broken HEIC: it names no size", failure=FailureClass.CORRUPT)
    return max(sizes, key=lambda size: size[0] * size[1])


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


def _in_plain_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    message = str(error).lower()
    return next((plain for sign, plain in _PLAIN_WORDS if sign in message), "its data is damaged")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Name, body and stated checksum of every chunk; the body of the last may be cut off."""
    view, at = memoryview(data), _PNG_SIGNATURE_BYTES
    while at + _BYTES_AROUND_CHUNK <= len(data):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        crc = int.from_bytes(view[end : end + 4], "big")
        yield bytes(view[at + 4 : at + 8]), view[at + 8 : end], crc
        at = end + 4
